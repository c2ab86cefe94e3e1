"""TLS: settings, handshakes, certificates of clients, new certificates, and the redirect."""

import contextlib
import pathlib
import runpy
import shutil
import socket
import ssl
import tempfile
import unittest

from support import LIMIT, Quiet, exchange, fetch, read_all

from transom import BadTlsError, InvalidArgumentError, Server, Tls

FOLDER = pathlib.Path(__file__).resolve().parents[3] / "tests" / "certificates"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def pair(name):
    """The files of a certificate and its key."""
    return FOLDER / f"{name}.pem", FOLDER / f"{name}.key"


def pem(name):
    """The same as bytes."""
    return tuple(path.read_bytes() for path in pair(name))


def tell(request):
    """Answers with what the handshake settled."""
    tls = request.tls
    if tls is None:
        return f"{request.scheme} none"
    own = [certificate[:1].hex() for certificate in tls.peer_certificates[:1]]
    return f"{request.scheme} {tls.version} {tls.cipher[:3]} {tls.server_name} {tls.alpn} {tls.resumed} {own}"


def app(**settings):
    server = Server(**settings)
    server.get("/")(tell)

    @server.post("/{name}")
    def post(request):
        return f"{request.params['name']} {request.body.decode()} {request.tls.version}"

    return server


def context(own=None, version=None, alpn=None):
    """The settings of a client that trusts the authority of the tests."""
    made = ssl.create_default_context(cafile=FOLDER / "authority.pem")
    if own is not None:
        made.load_cert_chain(*pair(own))
    if version is not None:
        made.minimum_version = made.maximum_version = version
    if alpn is not None:
        made.set_alpn_protocols(alpn)
    return made


def ask(port, name="localhost", request=REQUEST, session=None, **settings):
    """Sends a request. Returns the body, the first name in the certificate, and the session."""
    client = settings.pop("context", None) or context(**settings)
    with (
        socket.create_connection(("127.0.0.1", port), LIMIT) as plain,
        client.wrap_socket(plain, server_hostname=name, session=session) as secure,
    ):
        secure.sendall(request)
        body = read_all(secure).partition(b"\r\n\r\n")[2].decode()
        return body, secure.getpeercert()["subjectAltName"][0][1], secure.session


class TestHandshakes(Quiet, unittest.TestCase):
    def test_both_versions_are_spoken_and_told_in_each_model(self):
        for model in ("event", "threads", "sequential"):
            with app(model=model).start("127.0.0.1:0", tls=Tls(*pair("localhost"))) as running:
                self.assertEqual(running.url, f"https://127.0.0.1:{running.port}")
                versions = ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3"))
                for version, name in versions:
                    body, *_ = ask(running.port, version=version, alpn=["h2", "http/1.1"])
                    self.assertEqual(body, f"https {name} TLS localhost http/1.1 False []")
                fields = b"Host: h\r\nContent-Length: 5\r\nConnection: close\r\n"
                request = b"POST /a%20b HTTP/1.1\r\n" + fields + b"\r\nhello"
                self.assertEqual(ask(running.port, request=request)[0], "a b hello TLSv1.3")

    def test_an_old_version_and_a_foreign_protocol_are_refused(self):
        tls = Tls(*pem("rsa"), least_version="1.3", protocols=["mine"])
        with app().start("127.0.0.1:0", tls=tls) as running:
            self.assertIn(" mine ", ask(running.port, alpn=["mine"])[0])
            for settings in ({"version": ssl.TLSVersion.TLSv1_2}, {"alpn": ["h2"]}):
                with self.assertRaises(OSError):
                    ask(running.port, **settings)

    def test_each_name_has_its_certificate(self):
        tls = Tls(*pair("localhost"), certificates=[pem("example")])
        with app().start("127.0.0.1:0", tls=tls) as running:
            self.assertEqual(ask(running.port)[1], "localhost")
            self.assertEqual(ask(running.port, "www.example.org")[1], "example.org")
            self.assertEqual(ask(running.port, "127.0.0.1")[0], "https TLSv1.3 TLS None None False []")

    def test_sessions_are_resumed(self):
        with app().start("127.0.0.1:0", tls=Tls(*pair("localhost"))) as running:
            client = context()
            _, _, session = ask(running.port, context=client)
            self.assertIn(" True ", ask(running.port, context=client, session=session)[0])

    def test_certificates_of_clients_are_asked_for_and_verified(self):
        authority = FOLDER / "authority.pem"
        tls = Tls(*pair("localhost"), client_authorities=authority, client_revocations=FOLDER / "revoked.crl")
        with app().start("127.0.0.1:0", tls=tls) as running:
            self.assertTrue(ask(running.port, own="client")[0].endswith(" ['30']"))
            for own in (None, "revoked", "stranger", "expired"):
                with self.assertRaises(OSError):
                    # With TLS 1.3 the client learns of the refusal after its handshake.
                    ask(running.port, own=own, version=ssl.TLSVersion.TLSv1_2)
        tls = Tls(
            *pair("localhost"), client_authorities=authority.read_bytes(), client_certificates_optional=True
        )
        with app().start("127.0.0.1:0", tls=tls) as running:
            self.assertTrue(ask(running.port)[0].endswith(" []"))
            self.assertTrue(ask(running.port, own="client")[0].endswith(" ['30']"))


class TestExample(Quiet, unittest.TestCase):
    def test_the_example_answers_by_https(self):
        example = runpy.run_path(str(FOLDER.parents[1] / "bindings" / "python" / "examples" / "tls.py"))
        with example["app"].start("127.0.0.1:0", tls=Tls(*pair("localhost"), watch=60)) as running:
            self.assertEqual(ask(running.port)[0], "hello by https, TLSv1.3\n")


class TestNewCertificates(Quiet, unittest.TestCase):
    def setUp(self):
        super().setUp()
        folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.files = folder / "site.pem", folder / "site.key"

    def install(self, name):
        for source, target in zip(pair(name), self.files, strict=True):
            shutil.copy(source, target)

    def test_a_reload_reads_the_files_and_a_bad_one_changes_nothing(self):
        self.install("localhost")
        tls = Tls(*map(str, self.files))
        with app().start("127.0.0.1:0", tls=tls) as running:
            self.install("example")
            self.assertEqual(ask(running.port)[1], "localhost")
            tls.reload()
            self.assertEqual(ask(running.port, "example.org")[1], "example.org")
            self.files[1].write_text("no key")
            with self.assertRaisesRegex(BadTlsError, "site.key: there is no private key"):
                tls.reload()
            self.assertEqual(ask(running.port, "example.org")[1], "example.org")
            tls.replace(*pem("renewed"))
            self.assertEqual(ask(running.port)[1], "localhost")
            with self.assertRaises(BadTlsError):
                tls.replace(b"", b"")

    def test_files_that_change_are_read_again_if_that_is_asked_for(self):
        self.install("localhost")
        with app().start("127.0.0.1:0", tls=Tls(*self.files, watch=0)) as running:
            self.assertEqual(ask(running.port)[1], "localhost")
            self.install("example")
            self.assertEqual(ask(running.port, "example.org")[1], "example.org")

    def test_a_server_keeps_tls_that_the_program_has_dropped(self):
        self.install("localhost")
        server = app()
        with server.start("127.0.0.1:0", tls=Tls(*self.files)) as running:
            self.assertEqual(ask(running.port)[1], "localhost")


class TestSettings(Quiet, unittest.TestCase):
    def test_what_cannot_be_used_is_told_with_the_name_of_the_file(self):
        for certificate, key, reason in (
            ("none.pem", "localhost.key", "none.pem: No such file"),
            ("localhost.key", "localhost.key", "localhost.key: there is no certificate in PEM"),
            ("localhost.pem", "localhost.pem", "localhost.pem: there is no private key in PEM"),
            ("localhost.pem", "renewed.key", "renewed.key: the key is not that of the certificate"),
            ("localhost.pem", "passphrase.key", "passphrase.key: the key has a passphrase"),
        ):
            with self.assertRaisesRegex(BadTlsError, reason):
                Tls(FOLDER / certificate, FOLDER / key)
        for settings in (
            {"client_certificates_optional": True},
            {"client_authorities": b"nothing"},
            {"protocols": [""]},
            {"least_version": "1.1"},
        ):
            with self.assertRaises(BadTlsError):
                Tls(*pair("localhost"), **settings)

    def test_arguments_of_a_wrong_type_are_refused(self):
        path, key = map(str, pair("localhost"))
        for arguments, settings in (
            ((1, key), {}),
            ((path, b"key"), {}),
            ((path, key), {"protocols": "http/1.1"}),
            ((path, key), {"least_version": 1.2}),
            ((path, key), {"watch": "often"}),
            ((path, key), {"client_authorities": 1}),
            ((path, key), {"client_revocations": b"list"}),
            ((path, key), {"client_certificates_optional": 1}),
        ):
            with self.assertRaises(TypeError):
                Tls(*arguments, **settings)
        with self.assertRaises(InvalidArgumentError):
            Tls("a\0b", key)
        with self.assertRaises(TypeError):
            Tls(path, key).replace(path, key)
        for settings in ({"tls": path}, {"tls": Tls(path, key), "redirect": 80}):
            with self.assertRaises(TypeError):
                app().start("127.0.0.1:0", **settings)
        with self.assertRaises(InvalidArgumentError):
            app().start("127.0.0.1:0", redirect="127.0.0.1:0")


class TestWrongPorts(Quiet, unittest.TestCase):
    def test_a_request_without_tls_gets_an_answer_and_a_redirect_leads_to_tls(self):
        tls = Tls(*pair("localhost"))
        with app().start("127.0.0.1:0", tls=tls, redirect="127.0.0.1:0") as running:
            answer = exchange(running, REQUEST)
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "))
            self.assertIn(b"https", answer)
            port = int(running.addresses[1].rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), LIMIT) as plain:
                plain.sendall(REQUEST)
                head = read_all(plain).decode()
            self.assertTrue(head.startswith("HTTP/1.1 308 "))
            self.assertIn(f"https://localhost:{running.port}/", head)

    def test_a_handshake_on_a_port_without_tls_fails_and_a_plain_request_has_no_tls(self):
        with app().start("127.0.0.1:0") as running:
            with contextlib.suppress(ConnectionResetError), self.assertRaises(ssl.SSLError):
                ask(running.port)
            self.assertEqual(fetch(running, "/").text, "http none")


if __name__ == "__main__":
    unittest.main()
