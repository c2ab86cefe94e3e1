"""An application of ASGI: `/echo` sends each message back, `/broadcast` to all that are there."""

members = []


async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/echo":
        while (event := await receive())["type"] == "websocket.receive":
            if event.get("text") is not None:
                await send({"type": "websocket.send", "text": event["text"]})
            else:
                await send({"type": "websocket.send", "bytes": event["bytes"]})
        return
    members.append(send)
    try:
        while (event := await receive())["type"] == "websocket.receive":
            answer = {"type": "websocket.send", "text": event["text"]}
            for member in members:
                await member(answer)
    finally:
        members.remove(send)
