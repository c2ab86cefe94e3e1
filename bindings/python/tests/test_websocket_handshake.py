"""WebSocket handshakes: requests, refusals, subprotocols, mistakes in the definition."""

import socket as sockets
import unittest

from support import LIMIT, Quiet, fetch, receive
from websocket_case import HANDSHAKE

from transom import BadRouteError, HTTPError, InvalidArgumentError, Server, WebSocketClosed
from transom.testing import TestClient, WebSocketRefused


class AsyncNothing:
    """An asynchronous handler that is an object."""

    async def __call__(self, socket):
        pass


class TestHandshakes(Quiet, unittest.TestCase):
    def test_a_handler_looks_at_the_request_and_refuses(self):
        app = Server(error_format="json")

        def check(socket):
            if socket.request.query.get("token") != "secret":
                raise HTTPError(403, "no token", headers={"x-why": "token"})
            socket.accept(headers=[("set-cookie", "room=7"), ("x-room", socket.request.params["room"])])

        @app.websocket("/async/{room}")
        async def handler(socket):
            check(socket)
            await socket.send(socket.request.params["room"])

        @app.websocket("/plain/{room}")
        def plain(socket):
            check(socket)
            socket.send(socket.request.params["room"])

        with TestClient(app) as client:
            for kind in ("async", "plain"):
                with self.assertRaises(WebSocketRefused) as caught:
                    client.websocket(f"/{kind}/7")
                response = caught.exception.response
                self.assertEqual((response.status, response.headers["x-why"]), (403, "token"))
                self.assertEqual(response.json()["detail"], "no token")
                with client.websocket(f"/{kind}/7", params={"token": "secret"}) as socket:
                    self.assertEqual((socket.receive(), socket.headers["x-room"]), ("7", "7"))
                    self.assertEqual(socket.headers["set-cookie"], "room=7")

    def test_converters_and_routers_and_the_state(self):
        from transom import Router

        rooms = Router()

        @rooms.websocket("/{number:int}")
        async def room(socket):
            await socket.send(repr((socket.request.params["number"], socket.request.state.user)))

        app = Server()
        app.mount("/rooms", rooms)

        @app.before
        def sign_in(request):
            request.state.user = request.cookies.get("user")
            if request.state.user is None:
                return "sign in", 401

        with TestClient(app, cookies={"user": "ada"}) as client:
            with client.websocket("/rooms/7") as socket:
                self.assertEqual(socket.receive(), "(7, 'ada')")
            with self.assertRaises(WebSocketRefused) as caught:
                client.websocket("/rooms/seven")
            self.assertEqual(caught.exception.response.status, 404)
        with TestClient(app) as client, self.assertRaises(WebSocketRefused) as caught:
            client.websocket("/rooms/7")
        self.assertEqual((caught.exception.response.status, caught.exception.response.text), (401, "sign in"))

    def test_middleware_adds_fields_to_the_answer_and_has_ended_before_the_handler(self):
        app = Server()
        order = []

        @app.middleware
        async def around(request, next):
            response = await next(request)
            order.append(response.status)
            response.set_header("x-trace", "7")
            response.headers["content-type"] = "text/plain"
            return response

        @app.websocket("/async")
        async def handler(socket):
            order.append("handler")

        @app.websocket("/plain")
        def plain(socket):
            order.append("handler")

        with TestClient(app) as client:
            for path in ("/async", "/plain"):
                with client.websocket(path) as socket:
                    self.assertEqual(socket.headers["x-trace"], "7")
                    self.assertNotIn("content-type", socket.headers)
        self.assertEqual(order, [101, "handler"] * 2)

    def test_requests_that_ask_for_no_websocket(self):
        app = Server()
        runs = []

        @app.websocket("/echo")
        async def echo(socket):
            runs.append(socket)

        with app.start("127.0.0.1:0") as running:
            answer = fetch(running, "/echo")
            self.assertEqual((answer.status, answer.headers["upgrade"]), (426, "websocket"))
            self.assertEqual(answer.headers["sec-websocket-version"], "13")
            self.assertEqual(fetch(running, "/echo", "POST").status, 405)
            for change, status in (
                ((b"Version: 13", b"Version: 8"), b"426"),
                ((b"dGhlIHNhbXBsZSBub25jZQ==", b"c2hvcnQ="), b"400"),
                ((b"dGhlIHNhbXBsZSBub25jZQ==", b"!!!!!!!!!!!!!!!!!!!!!!!="), b"400"),
                ((b"Host: a\r\n", b"Host: a\r\nOrigin: https://elsewhere\r\n"), b"403"),
            ):
                with sockets.create_connection(("127.0.0.1", running.port), timeout=LIMIT) as connection:
                    connection.sendall(HANDSHAKE.replace(*change))
                    self.assertEqual(receive(connection, b"\r\n\r\n").split()[1], status, change)
        # The handler that was called before its handshake was refused did not hear of a connection.
        self.assertTrue(all(socket.is_closed and socket.close_code == 1006 for socket in runs))

    def test_subprotocols_and_origins(self):
        app = Server()
        names = []

        @app.websocket("/", subprotocols=["chat.v2", "chat.v1"], origins=["https://app.example.com"])
        async def handler(socket):
            names.append(socket.subprotocol)

        @app.websocket("/chosen")
        def chosen(socket):
            socket.accept("own")
            names.append(socket.subprotocol)

        @app.websocket("/any", any_origin=True)
        def any_origin(socket):
            pass

        with TestClient(app) as client:
            for listed, expected in ((["chat.v1", "chat.v2"], "chat.v1"), (["other"], None), ([], None)):
                with client.websocket("/", subprotocols=listed) as socket:
                    self.assertEqual(socket.subprotocol, expected)
            with client.websocket("/chosen", subprotocols=["a", "own"]) as socket:
                self.assertEqual(socket.subprotocol, "own")
            client.websocket("/", headers={"origin": "https://app.example.com"}).close()
            client.websocket("/any", headers={"origin": "https://elsewhere"}).close()
            with self.assertRaises(WebSocketRefused) as caught:
                client.websocket("/", headers={"origin": "https://elsewhere"})
            self.assertEqual(caught.exception.response.status, 403)
        self.assertEqual(names, ["chat.v1", None, None, "own", None])

    def test_a_handler_that_never_uses_its_connection_opens_and_closes_it(self):
        app = Server()
        app.websocket("/async")(AsyncNothing())
        app.websocket("/plain")(lambda socket: None)
        with TestClient(app) as client:
            for path in ("/async", "/plain"):
                socket = client.websocket(path)
                with self.assertRaises(WebSocketClosed) as caught:
                    socket.receive()
                self.assertEqual(caught.exception.code, 1000)

    def test_mistakes_in_the_definition(self):
        app = Server()
        for options, text in (
            ({"message_limit": 0}, "message_limit is 1 to 1099511627776, got 0"),
            ({"message_limit": "1"}, "message_limit is an int from 1 to 1099511627776, got str '1'"),
            (
                {"ping_timeout": None},
                "ping_timeout is 0.001 to 1000000000 seconds, as int or float, got None",
            ),
            ({"compression": 1}, "compression is True or False, got int 1"),
            ({"subprotocols": "chat"}, "subprotocols are several str, such as ['chat'], got str 'chat'"),
            ({"subprotocols": ["a b"]}, "a subprotocol is a token (RFC 6455 4.1), got 'a b'"),
            ({"origins": ["example.com"]}, "an origin is such as 'https://example.com', got 'example.com'"),
            ({"origins": ["http://a"], "any_origin": True}, "origins and any_origin=True exclude each other"),
        ):
            with self.subTest(text), self.assertRaises((TypeError, InvalidArgumentError)) as caught:
                app.websocket("/", **options)
            self.assertEqual(str(caught.exception), text)
        with self.assertRaisesRegex(
            InvalidArgumentError, "there is no setting 'size' of WebSocket; there are: m"
        ):
            app.websocket("/", size=7)
        with self.assertRaisesRegex(TypeError, "cannot be called with one connection"):
            app.websocket("/")(lambda: None)
        with self.assertRaisesRegex(TypeError, "a handler is a function that takes a connection, got int"):
            app.websocket("/")(7)
        with self.assertRaises(BadRouteError):
            app.websocket("no-slash")(lambda socket: None)
        app.websocket("/")(lambda socket: None)
        with self.assertRaises(BadRouteError):
            app.get("/")(lambda request: "")
        app.websocket("/", replace=True)(lambda socket: None)


if __name__ == "__main__":
    unittest.main()
