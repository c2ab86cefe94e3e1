"""A site of Django, asked by three clients: its admin, uploads, streams, files, redirects, cookies."""

import hashlib
import json
import logging
import os
import re
import tempfile
import threading
import unittest
from urllib.parse import urlencode

import django_site
from web_clients import CLIENTS, Requests
from wsgi_servers import SERVERS

LARGE = bytes(range(256)) * 20_000
DIGEST = hashlib.sha256(LARGE).hexdigest()


class TestDjango(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        with open(os.path.join(folder, "file.bin"), "wb") as file:
            file.write(LARGE)
        django_site.configure(folder)
        from django.contrib.staticfiles.handlers import StaticFilesHandler
        from django.core.wsgi import get_wsgi_application

        class Static(StaticFilesHandler):
            """Serves the static files, which Django itself does for its development server only."""

            def serve(self, request):
                from django.contrib.staticfiles.views import serve

                return serve(request, self.file_path(request.path), insecure=True)

        logging.disable(logging.CRITICAL)
        cls.addClassCleanup(logging.disable, logging.NOTSET)
        site = Static(get_wsgi_application())
        cls.urls = {name: cls.enterClassContext(serve(site)) for name, serve in SERVERS.items()}

    def each(self, kinds=CLIENTS):
        """Yields a client of each kind for each server."""
        for server, url in self.urls.items():
            for name, kind in kinds.items():
                client = kind(url)
                with self.subTest(server=server, client=name):
                    yield client
                client.close()

    def log_in(self, client, password="correct horse"):
        page = client.ask("GET", "/admin/login/?next=/admin/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
        form = urlencode(
            {"csrfmiddlewaretoken": token, "username": "ada", "password": password, "next": "/admin/"}
        )
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Referer": client_url(client)}
        return client.ask("POST", "/admin/login/", form.encode(), headers, follow=True)

    def test_the_admin_and_its_static_files(self):
        kept = {name: kind for name, kind in CLIENTS.items() if name != "urllib3"}
        for client in self.each(kept):
            self.assertIn("Please enter the correct username", self.log_in(client, "wrong").text)
            page = self.log_in(client)
            self.assertEqual(page.status, 200)
            self.assertIn("Site administration", page.text)
            self.assertIn("Log out", page.text)
            styles = re.findall(r'href="(/static/[^"]+\.css)"', page.text)
            self.assertGreater(len(styles), 1)
            for path in styles:
                style = client.ask("GET", path)
                self.assertEqual((style.status, style.headers["content-type"]), (200, "text/css"))
                self.assertEqual(style.headers["content-length"], str(len(style.body)))
                since = {"If-Modified-Since": style.headers["last-modified"]}
                self.assertEqual(client.ask("GET", path, headers=since).status, 304)
            self.assertIn("ada@example.org", client.ask("GET", "/admin/auth/user/").text)

    def test_the_admin_by_several_clients_at_once(self):
        for url in self.urls.values():
            pages = []

            def visit(url=url, pages=pages):
                client = Requests(url)
                pages.append(self.log_in(client).text)
                pages.append(client.ask("GET", "/admin/auth/group/").text)
                client.close()

            threads = [threading.Thread(target=visit) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(len(pages), 12)
            self.assertEqual(["Log out" in page for page in pages], [True] * 12)

    def test_requests_arrive_as_they_are(self):
        for client in self.each():
            for method in ("GET", "POST", "PUT", "DELETE"):
                body = None if method == "GET" else b"body of " + method.encode()
                path = "/echo/caf%C3%A9%20x/?a=1&a=%C3%A9"
                told = json.loads(client.ask(method, path, body, {"X-Test": "1"}).body)
                self.assertEqual((told["method"], told["name"]), (method, "caf\xe9 x"))
                self.assertEqual((told["query"], told["x"]), (["1", "\xe9"], "1"))
                self.assertEqual(told["body"], hashlib.sha256(body or b"").hexdigest())
                self.assertEqual(told["url"], client_url(client) + path)

    def test_uploads(self):
        for client in self.each():
            answer = client.send_form("/upload/", {"a": "1"}, {"upload": ("caf.bin", LARGE)})
            self.assertEqual(json.loads(answer.body), {"name": "caf.bin", "size": len(LARGE), "hash": DIGEST})
            self.assertEqual(client.ask("POST", "/read/", LARGE).text, DIGEST)

    def test_streams_and_files(self):
        for client in self.each():
            self.assertEqual(b"".join(client.pieces("/stream/")), b"".join(b"%d," % n for n in range(20)))
            answer = client.ask("GET", "/file/")
            self.assertEqual(answer.body, LARGE)
            self.assertEqual(answer.headers["content-length"], str(len(LARGE)))
            for path in ("/stream/", "/file/"):
                answer = client.ask("HEAD", path)
                self.assertEqual((answer.status, answer.body), (200, b""))

    def test_redirects_and_cookies(self):
        for client in self.each():
            answer = client.ask("GET", "/from/")
            self.assertEqual((answer.status, answer.headers["location"]), (302, "/to/?a=b"))
            told = json.loads(client.ask("GET", "/from/", follow=True).body)
            if client.cookies() is not None:
                self.assertEqual(told, {"a": "b", "cookies": {"first": "1", "second": "two words"}})
            # CommonMiddleware adds the slash.
            answer = client.ask("GET", "/stream")
            self.assertEqual((answer.status, answer.headers["location"]), (301, "/stream/"))

    def test_statuses(self):
        for client in self.each():
            self.assertEqual(client.ask("GET", "/fails/").status, 500)
            self.assertEqual(client.ask("GET", "/nothing/").status, 404)
            answer = client.ask("GET", "/empty/")
            self.assertEqual((answer.status, answer.body), (204, b""))


def client_url(client):
    """Returns the address of the server of a client."""
    return client.url if hasattr(client, "url") else str(client.client.base_url).rstrip("/")


if __name__ == "__main__":
    unittest.main()
