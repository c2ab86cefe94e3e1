"""Middleware: the functions around the handlers of a route, and how they are put together."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, Literal, TypeAlias

from transom._check import got
from transom._converters import Converter
from transom._dispatch import Dispatcher
from transom._error_handlers import ErrorAnswers
from transom._errors import InvalidArgumentError
from transom._functions import is_async, name_of
from transom._http_error import HTTPError
from transom._pending import Pending
from transom._request import Request
from transom._response import Response
from transom._result import from_value
from transom._route import Handler

#: The function that a plain middleware calls: the rest of the way to the handler.
Next: TypeAlias = Callable[[Request], Response]
#: The same for an `async def` middleware.
AsyncNext: TypeAlias = Callable[[Request], Awaitable[Response]]

_Kind = Literal["around", "before", "after"]
_PARAMETERS = {"around": ("request", "next"), "before": ("request",), "after": ("request", "response")}


@dataclass(frozen=True, slots=True)
class Layer:
    """A function around handlers, before them or after them."""

    kind: _Kind
    function: Callable[..., Any]
    is_async: bool

    @classmethod
    def checked(cls, kind: _Kind, function: Any) -> Layer:
        """Returns the layer. Raises `TypeError` if the function cannot be called as it will be."""
        taken = _PARAMETERS[kind]
        if not callable(function):
            raise TypeError(f"middleware is a function that takes ({', '.join(taken)}), got {got(function)}")
        try:
            inspect.signature(function).bind(*taken)
        except TypeError as error:
            raise TypeError(f"middleware takes ({', '.join(taken)}): {error}") from None
        except ValueError:
            pass  # some builtins have no signature
        if kind != "around" and is_async(function):
            raise TypeError(f"a function that runs {kind} handlers is plain: make it a middleware")
        return cls(kind, function, is_async(function))


class Bridge:
    """The way of asynchronous middleware to plain handlers: they run on the thread pool."""

    def __init__(self) -> None:
        #: Set once the server runs.
        self.dispatcher: Dispatcher | None = None
        #: `True` if a route needs the bridge.
        self.is_used = False

    def over(self, handler: Callable[[Request], Any], priority: bytes) -> Callable[[Request], Awaitable[Any]]:
        """Returns an asynchronous function that runs a plain handler on the pool."""
        self.is_used = True

        async def on_pool(request: Request) -> Any:
            from asyncio import get_running_loop

            dispatcher = self.dispatcher
            assert dispatcher is not None
            loop = get_running_loop()
            future = loop.create_future()
            context = copy_context()

            def settle(value: Any, error: BaseException | None) -> None:
                if future.done():
                    return
                if error is None:
                    future.set_result(value)
                else:
                    future.set_exception(error)

            def work() -> None:
                value: Any = None
                failed: BaseException | None = None
                try:
                    value = dispatcher.in_turn(context.run, handler, request)
                except StopIteration:
                    # A future does not take this exception.
                    failed = RuntimeError(f"handler {name_of(handler)} raised StopIteration")
                except BaseException as error:
                    failed = error
                try:
                    loop.call_soon_threadsafe(settle, value, failed)
                except RuntimeError:
                    pass  # The loop is closed, and with it all clients.

            def tell() -> None:
                # The client has its response, and the refusal counts. The middleware ends.
                try:
                    loop.call_soon_threadsafe(settle, None, _refused())
                except RuntimeError:
                    pass  # The loop is closed, and with it all clients.

            if not dispatcher.to_pool(request, priority, work, tell):
                raise _refused()
            return await future

        return on_pool


def _refused() -> HTTPError:
    """Returns the exception for middleware whose handler was refused."""
    return HTTPError(503, headers={"retry-after": "1"})


def convert(handler: Handler, converters: dict[str, Converter]) -> Handler:
    """Returns a handler that converts the parameters of the path first, or raises a 404."""

    def take(request: Request) -> None:
        params: dict[str, Any] = dict(request.params)
        for name, converter in converters.items():
            try:
                params[name] = converter(params[name])
            except ValueError:
                raise HTTPError(404) from None
        request._set_params(params)

    converting: Handler
    if is_async(handler):

        async def converting(request: Request) -> Any:
            take(request)
            return await _awaited(handler(request))
    else:

        def converting(request: Request) -> Any:
            take(request)
            return handler(request)

    return update_wrapper(converting, handler)


def surround(
    handler: Handler,
    layers: list[Layer],
    errors: ErrorAnswers,
    bridge: Bridge,
    in_place: bool,
    priority: bytes,
) -> Handler:
    """Returns a handler that runs the layers around another; the first is the outermost.

    Raises `InvalidArgumentError` if plain middleware is around an asynchronous handler.
    """
    waits = is_async(handler) or is_async(inspect.unwrap(handler))
    plain = next((layer for layer in layers if layer.kind == "around" and not layer.is_async), None)
    needs_loop = waits or any(layer.is_async for layer in layers)
    if plain is not None and needs_loop:
        what = "the handler" if waits else "other middleware"
        raise InvalidArgumentError(
            f"middleware {name_of(plain.function)} is a plain function, and {what} of "
            f"{name_of(handler)} is asynchronous: make the middleware `async def`"
        )
    if needs_loop:
        inner: Any = handler if waits or in_place else bridge.over(handler, priority)
        step = _guarded_async(inner, errors)
        for layer in reversed(layers):
            step = _guarded_async(_async_step(layer, step), errors)

        async def chain(request: Request) -> Any:
            return await step(request)

        return update_wrapper(chain, handler)
    plain_step = _guarded(handler, errors)
    for layer in reversed(layers):
        plain_step = _guarded(_step(layer, plain_step), errors)

    def plain_chain(request: Request) -> Any:
        return plain_step(request)

    return update_wrapper(plain_chain, handler)


def _guarded(call: Callable[[Request], Any], errors: ErrorAnswers) -> Next:
    """Returns a function that gives a response also if an `HTTPError` is raised, or one with a handler."""

    def guarded(request: Request) -> Response:
        try:
            response = _own(call(request))
            if isinstance(response._chunks, Pending):
                response._chunks.close()
                raise TypeError(
                    f"{name_of(call)} has returned an awaitable to plain middleware: make it `async def`"
                )
            return response
        except Exception as error:
            return errors.guarded(request, error)

    return guarded


def _guarded_async(call: Callable[[Request], Any], errors: ErrorAnswers) -> AsyncNext:
    async def guarded(request: Request) -> Response:
        try:
            return _own(await _awaited(call(request)))
        except Exception as error:
            return errors.guarded(request, error)

    return guarded


def _own(value: Any) -> Response:
    """Returns a response that middleware may change. One of the application may be returned again."""
    response = from_value(value)
    return response.copy() if response is value else response


def _step(layer: Layer, inner: Next) -> Callable[[Request], Any]:
    function = layer.function
    if layer.kind == "around":
        return lambda request: function(request, inner)
    if layer.kind == "before":

        def before(request: Request) -> Any:
            value = function(request)
            return inner(request) if value is None else value

        return before

    def after(request: Request) -> Any:
        response = inner(request)
        value = function(request, response)
        return response if value is None else value

    return after


def _async_step(layer: Layer, inner: AsyncNext) -> Callable[[Request], Any]:
    function = layer.function
    if layer.kind == "around":
        return lambda request: function(request, inner)
    if layer.kind == "before":

        async def before(request: Request) -> Any:
            value = function(request)
            return await inner(request) if value is None else value

        return before

    async def after(request: Request) -> Any:
        response = await inner(request)
        value = function(request, response)
        return response if value is None else value

    return after


async def _awaited(value: Any) -> Any:
    while hasattr(value, "__await__"):
        value = await value
    return value
