"""Transom from Python: `transom_app.py PORT async|plain|asgi [--uvloop]`."""

import sys

from transom import Broadcast, Server

# As the other servers: messages of 16 MiB, and each compressed that may be.
SETTINGS = {"message_limit": 16 << 20, "compress_from": 0}


async def echo(socket):
    async for message in socket:
        await socket.send(message)


def plain_echo(socket):
    for message in socket:
        socket.send(message)


def main():
    port, kind = sys.argv[1:3]
    # A plain handler has a thread for each of its connections.
    app = Server(workers=1, websocket_threads=1024, limits={"connections": 20_000})
    if kind == "asgi":
        from asgi_app import app as application

        app.mount_asgi("/", application, lifespan="off", websocket=SETTINGS)
    else:
        members = Broadcast()
        app.websocket("/echo", **SETTINGS)(plain_echo if kind == "plain" else echo)

        if kind == "plain":

            @app.websocket("/broadcast", **SETTINGS)
            def talk(socket):
                members.add(socket)
                for message in socket:
                    members.send(message)

        else:

            @app.websocket("/broadcast", **SETTINGS)
            async def talk(socket):
                members.add(socket)
                async for message in socket:
                    members.send(message)

    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.install()
    app.run(f"127.0.0.1:{port}")


if __name__ == "__main__":
    main()
