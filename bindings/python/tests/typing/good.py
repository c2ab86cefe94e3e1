"""Handlers of each kind that the server accepts: a type checker must report nothing."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Any, NoReturn, TypedDict

from transom import (
    AsyncNext,
    AsyncWebSocket,
    Broadcast,
    EventBroadcast,
    FormLimits,
    HTTPError,
    Metrics,
    MetricSeries,
    Next,
    Report,
    Request,
    Response,
    Router,
    Running,
    Server,
    ServerSentEvent,
    ServerSentEvents,
    Tls,
    TlsInfo,
    UploadFile,
    WebSocket,
    WebSocketClosed,
    WebSocketPiece,
)
from transom import Handler as Taken
from transom.testing import StreamedResponse, TestClient, TestResponse, WebSocketRefused
from transom.testing import serve as serve_for_tests

app = Server(
    model="threads",
    workers=2,
    threads=None,
    limits={"body": 1024, "connections": 10},
    timeouts={"idle": 5, "handler": 0.5, "write": None},
)


class User(TypedDict):
    id: str


@app.get("/text")
def text(request: Request) -> str:
    return request.method


@app.get("/bytes")
def data(request: Request) -> bytes:
    return request.body


@app.get("/view")
def view(request: Request) -> memoryview:
    return memoryview(request.body)


@app.get("/dict")
def mapping(request: Request) -> dict[str, int]:
    return {"a": 1}


@app.get("/typed-dict")
def typed(request: Request) -> User:
    return {"id": request.params["id"]}


@app.get("/list")
def several(request: Request) -> list[dict[str, Any]]:
    return [{"a": 1}]


@app.get("/none")
def nothing(request: Request) -> None:
    pass


@app.get("/never")
def never(request: Request) -> NoReturn:
    raise HTTPError(404, "no such page", {"X-Why": "because"})


@app.get("/status")
def status(request: Request) -> tuple[str, int]:
    return "made", HTTPStatus.CREATED


@app.get("/headers")
def headers(request: Request) -> tuple[dict[str, str], int, dict[str, str]]:
    return {"a": "b"}, 201, {"X-A": "b"}


@app.get("/pairs")
async def pairs(request: Request) -> tuple[None, int, list[tuple[str, str]]]:
    return None, 204, [("X-A", "b"), ("X-A", "c")]


@app.get("/either")
def either(request: Request) -> Response | str | None:
    return Response("x") if request.body else None


@app.get("/iterator")
def iterator(request: Request) -> Iterator[str]:
    yield "one"
    yield "two"


@app.get("/async-iterator")
async def async_iterator(request: Request) -> AsyncIterator[bytes]:
    yield b"one"


@app.get("/async", blocking=None)
async def asynchronous(request: Request) -> Response:
    await asyncio.sleep(0)
    response = Response.json({"a": 1}, headers=[("X-A", "b")])
    response.set_cookie("a", "b", max_age=60, same_site="lax")
    return response


@app.get("/unknown")
def unknown(request):  # type: ignore[no-untyped-def]
    return request.state.unknown


@app.get("/any")
def anything(request: Request) -> Any:
    return 5


@app.get("/more")
def more(request: Request, word: str = "usual") -> str:
    return word


class Object:
    def __call__(self, request: Request) -> str:
        return "object"

    def method(self, request: Request) -> dict[str, str]:
        return {}


app.get("/object")(Object())
app.post("/method")(Object().method)
app.any("/lambda")(lambda request: request.path)
app.put("/partial")(functools.partial(more, word="partial"))


def awaited(function: Callable[[Request], Awaitable[str]]) -> Callable[[Request], Awaitable[str]]:
    return lambda request: function(request)


@app.get("/decorated")
@awaited
async def decorated(request: Request) -> str:
    return "decorated"


@app.post("/upload", stream=True, max_body=2**30, timeout=None)
def upload(request: Request) -> str:
    return str(sum(len(piece) for piece in request.stream()))


@app.put("/upload", stream=True, timeout=1.5, blocking=None)
async def async_upload(request: Request) -> AsyncIterator[bytes]:
    async for piece in request.stream():
        yield piece


@app.fallback()
def fallback(request: Request) -> tuple[str, int]:
    return "none", 404


taken: Taken = text
#: The decorators return their argument.
same: Callable[[Request], tuple[str, int]] = status


@app.get("/tls")
def tls_info(request: Request) -> tuple[str, int]:
    info: TlsInfo | None = request.tls
    return (f"{info.version} {info.server_name or ''}", 200) if info else ("none", 404)


def serve_tls() -> Running:
    tls = Tls("site.pem", "site.key", watch=60.0)
    tls.reload()
    return app.start("127.0.0.1:8443", tls=tls, redirect="127.0.0.1:8080")


async def serve() -> Report:
    def ready(running: Running) -> None:
        names: list[str | None] = running.names
        print(running.url, names)

    return await app.serve("127.0.0.1:0", ready=ready, stop_timeout=1)


api = Router()


@api.middleware
async def around(request: Request, next: AsyncNext) -> Response:
    response = await next(request)
    response.set_header("x-a", "b")
    return response


@app.middleware
def plain_around(request: Request, next: Next) -> Response:
    return next(request)


@api.error(404)
def missing(request: Request, error: HTTPError) -> tuple[dict[str, str], int]:
    return {"missing": request.path}, error.status


@api.before
def keyed(request: Request) -> tuple[str, int] | None:
    return None if request.headers.get("x-key") else ("a key is needed", 401)


@api.after
def stamped(request: Request, response: Response) -> None:
    response.headers["x-a"] = "b"


@api.error(KeyError)
def unknown_key(request: Request, error: KeyError) -> NoReturn:
    raise HTTPError(404, json={"no": error.args[0]})


@app.on_stop
def end() -> None: ...


@app.lifespan
def both() -> Iterator[None]:
    yield


@app.get("/vital", priority="vital")
@app.get("/events")
async def events(request: Request) -> ServerSentEvents:
    async def ticks() -> AsyncIterator[ServerSentEvent | dict[str, int] | None]:
        yield ServerSentEvent({"tick": 1}, event="tick", id="1", retry=0.5)
        yield {"tick": 2}
        yield None
        await request.stopping()

    return ServerSentEvents(ticks(), keep_alive=None)


@app.post("/form", stream=True)
async def form(request: Request) -> str:
    fields = await request.read_form(FormLimits(file=2**20))
    title: str = fields["title"]
    note: str | None = fields.get("note")
    uploads: list[UploadFile] = fields.files.get_all("photo")
    return f"{title} {note} {sum(upload.size for upload in uploads)}"


@app.on_start
async def begin() -> None: ...


@app.lifespan
async def whole() -> AsyncIterator[None]:
    yield


app.mount("/api", api)
app.get("/again", replace=True)(text)


def slowest(metrics: Metrics) -> list[tuple[str | None, float]]:
    found: list[MetricSeries] = metrics.snapshot().series
    return [(series.route, series.seconds / series.count) for series in found]


counted = Server(metrics=Metrics(max_series=100))
counted.metrics_route("/metrics")
counted.status_page("/here")
counted.static("/static", "public", cache_control={"*.js": "no-cache"}, index=None)
counted.status_page("/status", password=("ada", "sesame"))


async def send_letter(to: str, *, copies: int = 1) -> None: ...


@app.post("/orders")
def order(request: Request) -> Response:
    local: tuple[str, int] | None = request.local
    request.background(send_letter, "ada", copies=2)
    response = Response.json({"local": local})
    response.background(print, "done")
    return response


def ask(client: TestClient) -> tuple[int, str, list[str]]:
    answer: TestResponse = client.post("/orders", json={"a": 1}, params={"b": [1, 2]}, cookies={"c": "d"})
    client.put("/files", data=[("a", 1)], files={"photo": ("a.png", b"", "image/png")}, headers={"x": "y"})
    with client.stream("GET", "/events") as streamed:
        stream: StreamedResponse = streamed
        lines = list(stream.lines())
    client.cookies["session"] = "7"
    return answer.status, answer.headers["content-type"], lines


with TestClient(app, raise_errors=False) as in_memory, serve_for_tests(app) as over_a_port:
    ask(in_memory)
    ask(over_a_port)


@app.websocket("/chat/{room}", subprotocols=["chat"], message_limit=65536, ping_interval=None)
async def chat(socket: AsyncWebSocket) -> None:
    socket.accept(headers={"x-room": socket.request.params["room"]})
    async for message in socket:
        kept: str | bytes = message
        await socket.send(kept, timeout=5)
    code: int | None = socket.close_code
    if code is None and not socket.try_send(b""):
        socket.close(4000, "too slow")
    try:
        received: str | bytes = await socket.receive(timeout=1.5)
        await socket.send(received)
    except (TimeoutError, WebSocketClosed):
        await socket.wait_closed()


@api.websocket("/plain")
def plain_chat(socket: WebSocket) -> None:
    for message in socket:
        socket.send(message)
    socket.send(socket.receive())


@app.websocket("/pieces", in_pieces=True, message_rate=0, message_timeout=None)
async def in_pieces(socket: AsyncWebSocket) -> None:
    piece = await socket.receive_piece(timeout=5)
    payload, is_last = piece
    if not socket.try_send_piece(payload, is_last):
        await socket.send_piece(piece.payload, piece.is_last, timeout=5)


@api.websocket("/plain-pieces", in_pieces=True)
def in_plain_pieces(socket: WebSocket) -> None:
    piece: WebSocketPiece = socket.receive_piece()
    socket.send_piece(piece.payload, piece.is_last)


app.websocket("/lambda")(lambda socket: None)
room, news = Broadcast("coalesce"), EventBroadcast("close", history=10)


@app.websocket("/room")
async def member(socket: AsyncWebSocket) -> None:
    room.add(socket)
    async for message in socket:
        reached: int = room.send(message) + news.send(ServerSentEvent(message, id="1"))
        await socket.send(f"{reached} of {len(room)}")


@app.get("/news")
def feed(request: Request) -> Response:
    return news.subscribe(request, keep_alive=None)


def talk(client: TestClient) -> str | bytes:
    try:
        with client.websocket("/chat/7", subprotocols=["chat"], params={"a": 1}) as talking:
            talking.send("a")
            return talking.receive()
    except WebSocketRefused as refused:
        return refused.response.text
