"""A JSON API with sign-in: each user has notes, which nobody else sees.

Run it with python3 api.py, then:

    curl -c jar -d 'name=ada' -d 'password=correct horse' http://127.0.0.1:8080/users
    curl -b jar -d '{"text": "buy milk"}' http://127.0.0.1:8080/api/notes
    curl -b jar http://127.0.0.1:8080/api/notes
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from transom import HTTPError, Request, Response, Router, Server

SESSION_SECONDS = 7 * 24 * 3600
TABLES = """
    CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, salt BLOB, hash BLOB);
    CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, user TEXT, ends REAL);
    CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, user TEXT, text TEXT);
"""


def build(path: str) -> Server:
    """Returns the application, with its database in a file."""
    app = Server(error_format="json")
    api = Router()

    @contextmanager
    def database() -> Iterator[sqlite3.Connection]:
        # Handlers run on several threads, so each request has a connection of its own.
        with closing(sqlite3.connect(path)) as connection, connection:
            yield connection

    @app.on_start
    def create_tables() -> None:
        with database() as db:
            db.executescript(TABLES)

    @app.post("/users")
    def sign_up(request: Request) -> Response:
        name, password = credentials(request)
        if len(password) < 8:
            raise HTTPError(422, "a password has at least 8 characters")
        salt = os.urandom(16)
        with database() as db:
            try:
                db.execute("INSERT INTO users VALUES (?, ?, ?)", (name, salt, hashed(password, salt)))
            except sqlite3.IntegrityError:
                raise HTTPError(409, "this name is taken") from None
            return signed_in(db, request, name, 201)

    @app.post("/session")
    def sign_in(request: Request) -> Response:
        name, password = credentials(request)
        with database() as db:
            found = db.execute("SELECT salt, hash FROM users WHERE name = ?", (name,)).fetchone()
            # An unknown name takes as long as a wrong password.
            salt, wanted = found or (b"", b"")
            if not hmac.compare_digest(hashed(password, salt), wanted):
                raise HTTPError(401, "no such user, or a wrong password")
            return signed_in(db, request, name, 200)

    @app.delete("/session")
    def sign_out(request: Request) -> Response:
        with database() as db:
            db.execute("DELETE FROM sessions WHERE token = ?", (request.cookies.get("session"),))
        response = Response(status=204)
        response.delete_cookie("session")
        return response

    @app.error(OverflowError)
    def no_such_number(request: Request, error: OverflowError) -> None:
        # An `int` of a path may be larger than what SQLite stores.
        raise HTTPError(404)

    @app.error(UnicodeEncodeError)
    def no_unicode(request: Request, error: UnicodeEncodeError) -> None:
        # Forms and JSON may have half of a surrogate pair, which SQLite does not store.
        raise HTTPError(422, "the text is not Unicode")

    @api.before
    def expect_user(request: Request) -> None:
        with database() as db:
            found = db.execute(
                "SELECT user FROM sessions WHERE token = ? AND ends > ?",
                (request.cookies.get("session"), time.time()),
            ).fetchone()
        if found is None:
            raise HTTPError(401, "sign in first")
        request.state.user = found[0]

    @api.get("/notes")
    def notes(request: Request) -> list[dict[str, Any]]:
        with database() as db:
            rows = db.execute("SELECT id, text FROM notes WHERE user = ? ORDER BY id", (request.state.user,))
            return [{"id": number, "text": text} for number, text in rows]

    @api.post("/notes")
    def add_note(request: Request) -> tuple[dict[str, Any], int, dict[str, str]]:
        match request.json():
            case {"text": str(text)} if text:
                pass
            case _:
                raise HTTPError(422, 'a note is an object such as {"text": "buy milk"}')
        with database() as db:
            made = db.execute("INSERT INTO notes (user, text) VALUES (?, ?)", (request.state.user, text))
        number = made.lastrowid
        return {"id": number, "text": text}, 201, {"Location": f"/api/notes/{number}"}

    @api.get("/notes/{id:int}")
    def note(request: Request) -> dict[str, Any]:
        key = (request.params["id"], request.state.user)
        with database() as db:
            found = db.execute("SELECT id, text FROM notes WHERE id = ? AND user = ?", key).fetchone()
        if found is None:
            raise HTTPError(404, "no such note")
        return {"id": found[0], "text": found[1]}

    @api.delete("/notes/{id:int}")
    def delete_note(request: Request) -> None:
        key = (request.params["id"], request.state.user)
        with database() as db:
            if not db.execute("DELETE FROM notes WHERE id = ? AND user = ?", key).rowcount:
                raise HTTPError(404, "no such note")

    app.mount("/api", api)
    return app


def credentials(request: Request) -> tuple[str, str]:
    """Returns the name and the password of a form. Without one of them, the client gets a 400."""
    form = request.form()
    return form["name"], form["password"]


def hashed(password: str, salt: bytes) -> bytes:
    """Returns the hash of a password. It takes some 50 ms, so that nobody can try many passwords."""
    return hashlib.scrypt(password.encode("utf-8", "surrogateescape"), salt=salt, n=2**14, r=8, p=1)


def signed_in(db: sqlite3.Connection, request: Request, name: str, status: int) -> Response:
    """Begins a session, and returns a response with its cookie."""
    token, now = secrets.token_urlsafe(), time.time()
    db.execute("DELETE FROM sessions WHERE ends < ?", (now,))
    db.execute("INSERT INTO sessions VALUES (?, ?, ?)", (token, name, now + SESSION_SECONDS))
    response = Response.json({"name": name}, status=status)
    # `SameSite=Lax`, the default, keeps other sites from posting with this cookie.
    response.set_cookie(
        "session", token, max_age=SESSION_SECONDS, http_only=True, secure=request.scheme == "https"
    )
    return response


if __name__ == "__main__":
    build("notes.db").run("127.0.0.1:8080")
