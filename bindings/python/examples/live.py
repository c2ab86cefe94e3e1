"""A live page with server-sent events: python3 live.py, then open http://127.0.0.1:8080/ in two windows."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from transom import HTTPError, Request, Response, Server, ServerSentEvent, ServerSentEvents

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Room</title>
<h1>Room</h1>
<p><span id="state">Connecting</span>, <span id="viewers">0</span> here</p>
<ul id="messages"></ul>
<form id="form"><input id="text" aria-label="Message" maxlength="500" required> <button>Send</button></form>
<script>
const find = (id) => document.getElementById(id);
const source = new EventSource("/events");
source.onopen = () => { find("state").textContent = "Connected"; };
// The browser connects again by itself, and asks for what it has missed.
source.onerror = () => { find("state").textContent = "Connecting"; };
source.onmessage = (event) => {
  const item = document.createElement("li");
  item.textContent = JSON.parse(event.data).text;
  find("messages").append(item);
};
source.addEventListener("viewers", (event) => { find("viewers").textContent = event.data; });
find("form").onsubmit = async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ text: find("text").value });
  const answer = await fetch("/messages", { method: "POST", body });
  if (answer.ok) find("text").value = "";
};
</script>
</html>
"""


class Room:
    """The last messages, and how many pages are open. Only the event loop uses it."""

    def __init__(self) -> None:
        #: The messages with their ids, which become larger also when the program starts again.
        self.messages: deque[tuple[str, dict[str, Any]]] = deque(maxlen=100)
        self.viewers = 0
        #: Done when something has changed.
        self.changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def add(self, message: dict[str, Any]) -> None:
        """Adds a message and shows it to everybody."""
        self.messages.append((f"{time.time_ns():020}", message))
        self.announce()

    def announce(self) -> None:
        """Wakes the streams."""
        changed, self.changed = self.changed, asyncio.get_running_loop().create_future()
        changed.set_result(None)

    async def events(self, request: Request) -> AsyncIterator[ServerSentEvent]:
        """Yields what the client has not got yet, until it leaves or the server stops."""
        last = request.headers.get("last-event-id", "")
        stop = asyncio.ensure_future(request.stopping())
        shown = 0
        self.viewers += 1
        self.announce()
        try:
            yield ServerSentEvent(retry=1)
            while not stop.done():
                changed = self.changed
                for number, message in list(self.messages):
                    if number > last:
                        last = number
                        yield ServerSentEvent(message, id=number)
                if shown != self.viewers:
                    shown = self.viewers
                    yield ServerSentEvent(shown, event="viewers")
                await asyncio.wait([stop, changed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Also if the client has left: the generator is then cancelled where it waits.
            stop.cancel()
            self.viewers -= 1
            self.announce()


def build() -> Server:
    """Returns the application."""
    app = Server()
    rooms: list[Room] = []

    @app.on_start
    async def open_room() -> None:
        rooms.append(Room())

    @app.get("/")
    def page(request: Request) -> Response:
        return Response.html(PAGE)

    @app.get("/events")
    async def events(request: Request) -> ServerSentEvents:
        return ServerSentEvents(rooms[-1].events(request))

    @app.post("/messages", max_body=4096)
    async def post(request: Request) -> None:
        match request.json():
            case {"text": str(text)} if text.strip():
                rooms[-1].add({"text": text})
            case _:
                raise HTTPError(422, "a message has a text")

    return app


if __name__ == "__main__":
    build().run("127.0.0.1:8080")
