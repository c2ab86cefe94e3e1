"""Uploads and downloads of any size: python3 files.py FOLDER, then open http://127.0.0.1:8080/

Or, with curl:

    curl -F file=@holiday.mp4 http://127.0.0.1:8080/files
    curl -T holiday.mp4 http://127.0.0.1:8080/files/holiday.mp4
    curl -r 0-99 http://127.0.0.1:8080/files/holiday.mp4

Files come in pieces and go to the disk, so that they may be larger than the memory.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from transom import FormLimits, HTTPError, Request, Response, Server

GIB = 2**30
#: A name of letters, digits, spaces and `-_.()`, which does not begin with a dot.
SAFE_NAME = re.compile(r"[\w(-][\w .()-]{0,99}")
PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Files</title>
<h1>Files</h1>
<ul>{items}</ul>
<form action="/files" method="post" enctype="multipart/form-data">
  <input type="file" name="file" multiple required> <button>Upload</button>
</form>
"""


def build(folder: Path) -> Server:
    """Returns the application, which keeps its files in a folder."""
    app = Server()

    def path_of(name: str) -> Path:
        """Returns the path of a file. A name that is not safe gets a 422."""
        if not SAFE_NAME.fullmatch(name):
            raise HTTPError(422, "a name has 1 to 100 letters, digits, spaces or -_.(), and no dot in front")
        return folder / name

    def names() -> list[str]:
        return sorted(path.name for path in folder.iterdir() if SAFE_NAME.fullmatch(path.name))

    @contextmanager
    def replacing(target: Path) -> Iterator[IO[bytes]]:
        """Opens a temporary file, which gets the name of the target once it is whole."""
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".upload-", delete=False) as part:
            try:
                yield part
            except BaseException:
                os.unlink(part.name)
                raise
        os.replace(part.name, target)

    @app.get("/")
    def page(request: Request) -> Response:
        items = (f'<li><a href="/files/{quote(name)}">{escape(name)}</a></li>' for name in names())
        return Response.html(PAGE.format(items="".join(items)))

    @app.get("/files")
    def listing(request: Request) -> list[dict[str, Any]]:
        return [{"name": name, "size": (folder / name).stat().st_size} for name in names()]

    @app.get("/files/{name}")
    def download(request: Request) -> Response:
        path = path_of(request.params["name"])
        try:
            # As an attachment: a browser does not run a page that somebody has uploaded.
            return Response.file(path, download_as=path.name)
        except FileNotFoundError:
            raise HTTPError(404) from None

    @app.post("/files", stream=True, max_body=10 * GIB)
    async def upload_form(request: Request) -> Response:
        # Parts that do not fit into memory are written to this folder while they come.
        form = await request.read_form(FormLimits(files=20, file=GIB, folder=folder))
        uploads = form.files.get_all("file")
        if not uploads:
            raise HTTPError(422, "the form has no file")
        targets = [path_of(upload.filename) for upload in uploads]
        for upload, target in zip(uploads, targets, strict=True):
            with replacing(target) as part:
                await asyncio.to_thread(upload.save_to, part.name)
        return Response.redirect("/")

    @app.put("/files/{name}", stream=True, max_body=GIB)
    async def upload(request: Request) -> tuple[dict[str, Any], int]:
        target = path_of(request.params["name"])
        with replacing(target) as part:
            # If the client leaves, or the body is larger than `max_body`, the iteration raises.
            async for piece in request.stream():
                await asyncio.to_thread(part.write, piece)
        return {"name": target.name, "size": target.stat().st_size}, 201

    @app.delete("/files/{name}")
    def delete(request: Request) -> None:
        try:
            path_of(request.params["name"]).unlink()
        except FileNotFoundError:
            raise HTTPError(404) from None

    return app


if __name__ == "__main__":
    build(Path(sys.argv[1])).run("127.0.0.1:8080")
