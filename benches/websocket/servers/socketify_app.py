"""socketify, which is uWebSockets under Python: `socketify_app.py PORT [deflate]`."""

import sys

from socketify import App, AppListenOptions, CompressOptions, OpCode


def settings(message, opened=None):
    compression = CompressOptions.SHARED_COMPRESSOR if "deflate" in sys.argv else CompressOptions.DISABLED
    return {
        "compression": compression,
        "max_payload_length": 16 << 20,
        "max_backpressure": 16 << 20,
        "idle_timeout": 120,
        "message": message,
        "open": opened or (lambda socket: None),
    }


def echo(socket, message, opcode):
    socket.send(message, opcode, "deflate" in sys.argv)


app = App()
app.ws("/echo", settings(echo))
app.ws(
    "/broadcast",
    settings(
        lambda socket, message, opcode: app.publish("news", message, OpCode.TEXT),
        lambda socket: socket.subscribe("news"),
    ),
)
app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"), lambda _: None)
app.run()
