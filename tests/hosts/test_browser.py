"""Applications of Flask and of Starlette, used by a page in headless Chromium."""

import asyncio
import html
import itertools
import json
import re
import shutil
import subprocess
import tempfile
import threading
import unittest

import asgi_servers
import flask
import wsgi_servers
from starlette.applications import Starlette
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

LARGE = bytes(range(256)) * 40_000
#: How long Chromium may take, in seconds.
LIMIT = 120

PAGE = """<!doctype html>
<pre id="result">nothing</pre>
<script>
async function run() {
    const result = {};
    const fields = new URLSearchParams({name: "Ada \\u20ac"});
    const signIn = await fetch("/sign-in", {method: "POST", body: fields});
    result.signIn = [signIn.redirected, new URL(signIn.url).pathname, await signIn.text()];
    const form = new FormData();
    form.append("file", new Blob([new Uint8Array(300000)]), "a b.bin");
    result.upload = await (await fetch("/upload", {method: "POST", body: form})).json();
    result.large = (await (await fetch("/large")).arrayBuffer()).byteLength;
    result.missing = (await fetch("/missing")).status;
    result.empty = (await fetch("/empty", {method: "DELETE"})).status;
    const leave = new AbortController();
    const reader = (await fetch("/endless", {signal: leave.signal})).body.getReader();
    result.endless = new TextDecoder().decode((await reader.read()).value).startsWith("0,");
    leave.abort();
    result.events = await new Promise(resolve => {
        const events = [], source = new EventSource("/events");
        source.onmessage = event => {
            if (events.push(event.data) === 3) { source.close(); resolve(events); }
        };
    });
    return result;
}
run().catch(String).then(result => {
    document.getElementById("result").textContent = JSON.stringify(result);
});
</script>
"""

EXPECTED = {
    "signIn": [True, "/who", "Ada \u20ac"],
    "upload": ["a b.bin", 300_000],
    "large": len(LARGE),
    "missing": 404,
    "empty": 204,
    "endless": True,
    "events": ["0", "1", "2"],
}


def of_flask(left):
    """Returns an application of Flask. It sets `left` when the endless stream has ended."""
    app = flask.Flask(__name__)
    app.secret_key = "test"

    @app.get("/")
    def page():
        return PAGE

    @app.post("/sign-in")
    def sign_in():
        flask.session["name"] = flask.request.form["name"]
        return flask.redirect("/who", 303)

    @app.get("/who")
    def who():
        return flask.session["name"]

    @app.post("/upload")
    def upload():
        file = flask.request.files["file"]
        return [file.filename, len(file.read())]

    @app.get("/large")
    def large():
        return flask.Response(LARGE, mimetype="application/octet-stream")

    @app.delete("/empty")
    def empty():
        return "", 204

    @app.get("/endless")
    def endless():
        def pieces():
            try:
                for number in itertools.count():
                    yield f"{number}," * 1000
            finally:
                left.set()

        return flask.Response(pieces(), mimetype="text/plain")

    @app.get("/events")
    def events():
        return flask.Response((f"data: {n}\n\n" for n in range(3)), mimetype="text/event-stream")

    return app


def of_starlette(left):
    """Returns an application of Starlette that does the same."""

    async def page(request):
        return HTMLResponse(PAGE)

    async def sign_in(request):
        response = RedirectResponse("/who", 303)
        async with request.form() as form:
            response.set_cookie("name", form["name"].encode().hex(), httponly=True)
        return response

    async def who(request):
        return PlainTextResponse(bytes.fromhex(request.cookies["name"]))

    async def upload(request):
        async with request.form() as form:
            return JSONResponse([form["file"].filename, len(await form["file"].read())])

    async def large(request):
        return Response(LARGE, media_type="application/octet-stream")

    async def empty(request):
        return Response(status_code=204)

    async def endless(request):
        async def pieces():
            try:
                for number in itertools.count():
                    yield f"{number}," * 1000
                    await asyncio.sleep(0)
            finally:
                left.set()

        return StreamingResponse(pieces(), media_type="text/plain")

    async def events(request):
        return StreamingResponse((f"data: {n}\n\n" for n in range(3)), media_type="text/event-stream")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/sign-in", sign_in, methods=["POST"]),
            Route("/who", who),
            Route("/upload", upload, methods=["POST"]),
            Route("/large", large),
            Route("/empty", empty, methods=["DELETE"]),
            Route("/endless", endless),
            Route("/events", events),
        ]
    )


def page_of(url):
    """Returns what a page has written, once its scripts have nothing left to do."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        # The clock of the page stands still while it waits for an answer.
        command = ["chromium", *options, "--virtual-time-budget=10000", "--dump-dom", url]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True)
    return json.loads(html.unescape(re.search(r'<pre id="result">(.*?)</pre>', ran.stdout, re.DOTALL)[1]))


@unittest.skipUnless(shutil.which("chromium"), "there is no Chromium")
class TestBrowser(unittest.TestCase):
    def test_flask(self):
        self.check(of_flask, wsgi_servers.on_transom)

    def test_starlette(self):
        self.check(of_starlette, asgi_servers.on_transom)

    def check(self, make_app, serve):
        left = threading.Event()
        with serve(make_app(left)) as url:
            self.assertEqual(page_of(url), EXPECTED)
            self.assertTrue(left.wait(LIMIT), "the application is not told that its client has left")


if __name__ == "__main__":
    unittest.main()
