"""A plugin of pytest: the suites of clients ask Transom in place of the servers that they start themselves.

It comes before the code of a suite (`-p served_by_transom`), and replaces what the suite imports: the server
of uvicorn for httpx, that of pytest-httpbin for requests, and that of hypercorn for urllib3.
"""

import asyncio
import contextlib
import importlib.util
import os
import socket
import ssl
import sys
import threading
from types import SimpleNamespace

import transom

SUITE = os.environ["TRANSOM_SUITE"]
LIMITS = {"body": 2**30}


def sockets_of(host):
    """Returns listening sockets for each address of a host, on one port."""
    found = []
    port = 0
    for family, _, _, _, at in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
        listener = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((at[0], port))
        listener.listen(100)
        port = listener.getsockname()[1]
        found.append(listener)
    return found, port


def serve_httpx():
    """Has `uvicorn.server.Server` be a server of Transom."""
    import uvicorn.server

    class Server:
        """What the suite uses of a server of uvicorn."""

        def __init__(self, config):
            self.config = config
            self.started = False
            self.should_exit = False
            self._over = threading.Event()

        def run(self):
            """Serves until `should_exit` is set."""
            config = self.config
            with transom.serve_asgi(
                config.app, f"{config.host}:{config.port}", lifespan="off", limits=LIMITS
            ):
                self.started = True
                while not self.should_exit:
                    self._over.wait(0.05)

    uvicorn.server.Server = uvicorn.Server = Server


def serve_requests():
    """Has the servers of pytest-httpbin be servers of Transom."""
    from pytest_httpbin import certs, serve

    class Server:
        """What the suite uses of a server of pytest-httpbin."""

        port_envvar = "HTTPBIN_HTTP_PORT"
        protocol = "http"
        tls = None

        def __init__(self, host="127.0.0.1", port=0, application=None, **_):
            self._running = transom.serve_wsgi(
                application, f"{host}:{port}", tls=self.tls and self.tls(), limits=LIMITS
            )
            self.host, self.port = host, self._running.port

        def start(self):
            """Does nothing: the server runs."""

        def stop(self):
            """Stops the server."""
            self._running.stop(0)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.stop()

        @property
        def url(self):
            """The URL of the server."""
            return f"{self.protocol}://{self.host}:{self.port}"

        def __add__(self, other):
            return self.url + other

        def join(self, url, allow_fragments=True):
            """Returns a URL on this server."""
            from urllib.parse import urljoin

            return urljoin(self.url, url, allow_fragments=allow_fragments)

    class SecureServer(Server):
        """The same by https."""

        port_envvar = "HTTPBIN_HTTPS_PORT"
        protocol = "https"

        @staticmethod
        def tls():
            """Returns the certificate of the suite."""
            folder = os.path.join(os.path.dirname(certs.__file__), "certs")
            return transom.Tls(os.path.join(folder, "server.pem"), os.path.join(folder, "server.key"))

    serve.Server, serve.SecureServer = Server, SecureServer


def serve_urllib3():
    """Has `run_hypercorn_in_thread` start a server of Transom, for all but the proxy of the suite."""
    import quart
    import quart_trio

    # The event loop of Transom is one of asyncio.
    quart_trio.QuartTrio = quart.Quart
    from dummyserver import app, asgi_proxy, hypercornserver

    app.trio = SimpleNamespace(sleep=asyncio.sleep)
    theirs = hypercornserver.run_hypercorn_in_thread

    @contextlib.contextmanager
    def run(host, certs, application):
        # Its proxy takes the connection itself, by an extension that hypercorn alone has.
        if isinstance(application, asgi_proxy.ProxyApp):
            with theirs(host, certs, application) as port:
                yield port
            return
        listeners, port = sockets_of(host.strip("[]"))
        with contextlib.ExitStack() as stack:
            for listener in listeners:
                stack.callback(listener.close)
            stack.enter_context(
                transom.serve_asgi(application, listeners, tls=tls_of(certs), lifespan="off", limits=LIMITS)
            )
            yield port

    hypercornserver.run_hypercorn_in_thread = run


def tls_of(certs):
    """Returns the TLS that a test of urllib3 asks for."""
    if not certs:
        return None
    asks = certs.get("cert_reqs") in (ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL)
    return transom.Tls(
        certs["certfile"],
        certs["keyfile"],
        client_authorities=certs["ca_certs"] if asks else None,
        client_certificates_optional=certs.get("cert_reqs") == ssl.CERT_OPTIONAL,
    )


if importlib.util.find_spec("transom") is None:
    sys.exit("transom is not in PYTHONPATH")
{"httpx": serve_httpx, "requests": serve_requests, "urllib3": serve_urllib3}[SUITE]()
