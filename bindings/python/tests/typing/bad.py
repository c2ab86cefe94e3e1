"""A type checker must report each marked line, and no other."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Iterator

from transom import (
    AsyncNext,
    AsyncWebSocket,
    Broadcast,
    EventBroadcast,
    FormLimits,
    HTTPError,
    Request,
    Response,
    Server,
    ServerSentEvents,
    WebSocket,
)
from transom.testing import TestClient

app = Server()


@app.get("/int")  # error
def number(request: Request) -> int:
    return 5


@app.get("/async-int")  # error
async def async_number(request: Request) -> int:
    return 5


@app.post("/float", blocking=True)  # error
def fraction(request: Request) -> float:
    return 0.5


@app.route("/set", methods=["GET"])  # error
def unordered(request: Request) -> set[str]:
    return {"a"}


@app.fallback()  # error
def date(request: Request) -> datetime.date:
    return datetime.date.today()


@app.get("/text-status")  # error
def text_status(request: Request) -> tuple[str, str]:
    return "made", "201"


@app.get("/chunks")  # error
def chunks(request: Request) -> Iterator[int]:
    yield 1


@app.get("/async-chunks")  # error
async def async_chunks(request: Request) -> AsyncIterator[float]:
    yield 0.5


@app.get("/maybe")  # error
def maybe(request: Request) -> str | int:
    return 5


@app.get("/other-argument")  # error
def other(request: str) -> str:
    return request


@app.get("/two-arguments")  # error
def two(request: Request, other: str) -> str:
    return other


@app.get("/no-argument")  # error
def none() -> str:
    return ""


@app.middleware  # error
async def around(request: Request) -> Response:
    return Response("")


@app.middleware  # error
async def number_around(request: Request, next: AsyncNext) -> int:
    return 5


@app.before  # error
async def async_before(request: Request) -> None: ...


@app.after  # error
def after(request: Request) -> None: ...


@app.error(KeyError)  # error
def answer(request: Request) -> str:
    return ""


@app.error("404")  # error
def text_answer(request: Request, error: Exception) -> str:
    return ""


@app.on_start  # error
def begin(server: Server) -> None: ...


@app.lifespan  # error
def whole() -> None: ...


@app.get("/attributes")
def attributes(request: Request) -> str:
    request.query.get("page") + 1  # error
    request.header["a"]  # error
    request.client[0]  # error
    request.body.encode()  # error
    raise HTTPError("404")  # error


app.get("/lambda")(lambda request: 5)  # error
Server(model="evnet")  # error
Server(limits={"body": "1"})  # error
Server(timeouts={"idle": "1"})  # error
Response("").set_cookie("a", 5)  # error
Response("", headers={"a": 1})  # error
app.post("/", stream=1)  # error
app.post("/", max_bdy=1)  # error
app.get("/", priority="urgent")  # error
app.get("/", timeout="1")  # error
app.start(8080)  # error
app.mount("/api", "api")  # error
Response.json({}, status="200")  # error
Response.file(5)  # error
ServerSentEvents("news", keep_alive="1")  # error
FormLimits(file="1")  # error
Response("").background("text")  # error
TestClient("app")  # error
TestClient(app).get(7)  # error
TestClient(app).post("/", jsn={})  # error
TestClient(app).post("/", files={"a": 5})  # error


@app.websocket("/")  # error
async def waits_with_the_plain_kind(socket: WebSocket) -> None:
    socket.send("a")


@app.websocket("/")  # error
def plain_with_the_asynchronous_kind(socket: AsyncWebSocket) -> None:
    socket.close()


@app.websocket("/")  # error
def takes_a_request(request: Request) -> None:
    request.json()


@app.websocket("/")  # error
def returns_a_value(socket: WebSocket) -> str:
    return "a"


app.websocket("/", message_limt=5)  # error
Broadcast("wait")  # error
Broadcast().add("socket")  # error
EventBroadcast().subscribe("request")  # error
app.websocket("/", message_limit="5")  # error


def uses(socket: WebSocket, other: AsyncWebSocket) -> None:
    socket.send(5)  # error
    socket.receive().upper().decode()  # error
    socket.close("1000")  # error
    socket.send_piece("a")  # error
    socket.send(socket.receive_piece())  # error
    for message in other:  # error
        print(message)
