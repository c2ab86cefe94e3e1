"""What the applications answer with."""

from typing import Any

ITEMS = [{"id": id, "label": f"item {id}", "price": id * 1.5, "tags": ["a", "b"]} for id in range(18)]
#: A template of 10 KB with one place in it.
PAGE = "<h1>{name}</h1>" + "<p>some text of the page</p>\n" * 350
#: The body of the stream.
PIECES = [b"x" * 1024] * 16


def record(name: str) -> dict[str, Any]:
    """About 1 KB of JSON."""
    return {"name": name, "items": ITEMS}
