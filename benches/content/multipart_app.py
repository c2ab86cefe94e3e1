"""python-multipart on uvicorn: an upload that is written to a file while it comes."""

import sys
from pathlib import Path

import uvicorn
from python_multipart.multipart import MultipartParser, parse_options_header

port, folder = int(sys.argv[1]), Path(sys.argv[2])


async def app(scope, receive, send):
    _, options = parse_options_header(dict(scope["headers"])[b"content-type"])
    total = 0
    with (folder / "saved-python-multipart").open("wb") as file:

        def on_part_data(data, start, end):
            nonlocal total
            total += file.write(memoryview(data)[start:end])

        parser = MultipartParser(options[b"boundary"], {"on_part_data": on_part_data})
        more = True
        while more:
            message = await receive()
            parser.write(message.get("body", b""))
            more = message.get("more_body", False)
        parser.finalize()
    body = str(total).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


uvicorn.run(
    app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", lifespan="off", access_log=False
)
