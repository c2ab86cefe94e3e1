"""The settings of a server: they are checked here and given to a native server."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict

from transom._access_log import AccessLog
from transom._access_log import access_log as make_access_log
from transom._check import flag, got, shown, whole
from transom._compression import Compression, made_compression
from transom._errors import BadAddressError, InvalidArgumentError, WrongTypeError
from transom._handle import Handle
from transom._metrics import Metrics
from transom._overload import Overload
from transom._ready import ReadyMiddleware, ready_middleware
from transom._wording import ErrorFormat

ForwardedFields = Literal["x-forwarded", "forwarded"]
Model = Literal["sequential", "threads", "event"]

_MOST_THREADS = 1024
_MOST_PLACES = 1_000_000
#: The library's default for the limit `pool_queue`, which also bounds the jobs of the thread pool.
POOL_QUEUE = 1024
#: The most threads for plain handlers of WebSocket connections, by default.
WEBSOCKET_THREADS = 100


class ServerSettings(TypedDict, total=False):
    """The keyword arguments of `Server`, which documents them."""

    model: Model
    workers: int
    threads: int | None
    limits: Mapping[str, int] | None
    timeouts: Mapping[str, float | None] | None
    unix_mode: int | None
    reuse_port: bool
    inherit: bool
    notify_systemd: bool
    metrics: Metrics | None
    proxy_protocol: Iterable[str] | None
    forwarded: ForwardedFields | None
    trusted_proxies: Iterable[str] | None
    forwarded_host: bool
    access_log: AccessLog | str | os.PathLike[str] | None
    error_format: ErrorFormat
    overload: Overload | None
    reserve: Iterable[int]
    middleware: Iterable[ReadyMiddleware]
    compression: Compression | bool
    websocket_threads: int


class Settings:
    """The settings of a server, as `Server` documents them.

    Raises `InvalidArgumentError`, `WrongTypeError` or `BadAddressError` for a value that cannot be one.
    What only the library knows, such as the range of a limit, it checks in `configured`.
    """

    def __init__(
        self,
        *,
        model: Model,
        workers: int,
        threads: int | None,
        limits: Mapping[str, int] | None,
        timeouts: Mapping[str, float | None] | None,
        unix_mode: int | None,
        reuse_port: bool,
        inherit: bool,
        notify_systemd: bool,
        metrics: Metrics | None,
        proxy_protocol: Iterable[str] | None,
        forwarded: ForwardedFields | None,
        trusted_proxies: Iterable[str] | None,
        forwarded_host: bool,
        access_log: AccessLog | str | os.PathLike[str] | None,
        error_format: ErrorFormat,
        overload: Overload | None,
        reserve: Iterable[int],
        middleware: Iterable[ReadyMiddleware],
        compression: Compression | bool,
        websocket_threads: int,
    ) -> None:
        if not isinstance(model, str):
            raise WrongTypeError(f"model is a str, got {got(model)}")
        self.model = model
        self.workers = whole("workers", workers, 1, _MOST_THREADS)
        usual = min(32, (os.cpu_count() or 1) + 4)
        self.threads = usual if threads is None else whole("threads", threads, 1, _MOST_THREADS)
        self.limits = _mapping("limits", limits)
        self.timeouts = _mapping("timeouts", timeouts)
        if unix_mode is not None:
            whole("unix_mode", unix_mode, 0, 0o777)
        self.unix_mode = unix_mode
        self.reuse_port = flag("reuse_port", reuse_port)
        self.inherit = flag("inherit", inherit)
        self.notify_systemd = flag("notify_systemd", notify_systemd)
        if metrics is not None and not isinstance(metrics, Metrics):
            raise WrongTypeError(f"metrics is a Metrics, got {got(metrics)}")
        self.metrics = metrics
        self.proxy_protocol = _networks("proxy_protocol", proxy_protocol)
        if forwarded is not None and not isinstance(forwarded, str):
            raise WrongTypeError(f"forwarded is a str, got {got(forwarded)}")
        self.forwarded = forwarded
        self.trusted_proxies = _networks("trusted_proxies", trusted_proxies)
        if (self.forwarded is None) != (self.trusted_proxies is None):
            raise InvalidArgumentError("forwarded and trusted_proxies are given together or not at all")
        self.forwarded_host = flag("forwarded_host", forwarded_host)
        if self.forwarded_host and self.forwarded is None:
            raise InvalidArgumentError("forwarded_host needs forwarded and trusted_proxies")
        self.access_log = make_access_log(access_log)
        if error_format not in ("text", "json"):
            raise InvalidArgumentError(f"error_format is 'text' or 'json', got {shown(error_format)}")
        self.error_format = error_format
        if overload is not None and not isinstance(overload, Overload):
            raise WrongTypeError(f"overload is an Overload, got {got(overload)}")
        self.overload = overload
        if isinstance(reserve, (str, bytes)) or not isinstance(reserve, Iterable):
            raise WrongTypeError(f"reserve is several numbers, such as [0, 8], got {got(reserve)}")
        self.websocket_threads = whole("websocket_threads", websocket_threads, 1, _MOST_THREADS)
        self.middleware = ready_middleware(middleware)
        self.compression = made_compression(compression)
        self.reserve = [whole("reserve", places, 0, _MOST_PLACES) for places in reserve]

    def configured(self) -> Handle:
        """Returns a native server with these settings. Raises what `Handle` raises if it refuses one."""
        handle = Handle()
        handle.set_model(self.model)
        handle.set_workers(self.workers)
        if self.unix_mode is not None:
            handle.set_unix_mode(self.unix_mode)
        if self.reuse_port:
            handle.set_reuse_port()
        if self.notify_systemd:
            handle.notify_systemd()
        if self.metrics is not None:
            handle.count_in(self.metrics)
        if self.proxy_protocol is not None:
            handle.set_proxy_protocol(self.proxy_protocol)
        if self.forwarded is not None and self.trusted_proxies is not None:
            handle.trust_forwarded(self.forwarded, self.trusted_proxies, self.forwarded_host)
        if self.overload is not None:
            handle.set_overload(self.overload)
        handle.reserved = self.reserve
        for middleware in self.middleware:
            handle.use(middleware)
        if self.compression is not None:
            handle.compress(self.compression)
        if self.access_log is not None:
            handle.add_access_log(self.access_log)
        for name, value in self.limits.items():
            handle.set_limit(name, value)
        for name, timeout in self.timeouts.items():
            handle.set_timeout(name, timeout)
        return handle


def _networks(what: str, given: Iterable[str] | None) -> list[str] | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{what} is several networks, such as ['10.0.0.0/8', 'unix'], got {got(given)}")
    networks = list(given)
    if not all(isinstance(network, str) for network in networks):
        raise TypeError(f"networks are str, got {shown(networks)}")
    for network in networks:
        if "," in network or "\0" in network:
            raise BadAddressError(f"bad address {network!r}: it is more than one network")
    return networks


def _mapping(what: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"{what} is a mapping from names to numbers, got {got(given)}")
    return dict(given or {})
