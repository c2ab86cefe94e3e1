"""The plugin for pytest, which loads it by the entry point `pytest11`: a test client as a fixture.

Nothing else imports this module, so that the package does not need pytest.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from transom._server import Server
from transom.testing import TestClient, serve

_HOW = (
    "transom_client needs an application: define a fixture `transom_app` that returns a Server, "
    "or set `transom_app = module:app` in the configuration of pytest"
)


def pytest_addoption(parser: Any) -> None:
    """Adds the setting `transom_app`."""
    parser.addini("transom_app", "The application of the fixture transom_client, such as module:app.")


def pytest_configure(config: Any) -> None:
    """Adds the marker `transom`."""
    config.addinivalue_line(
        "markers",
        "transom(**options): options of transom.testing.TestClient for the fixture transom_client; "
        "with sockets=True, those of transom.testing.serve.",
    )


@pytest.fixture
def transom_app(request: pytest.FixtureRequest) -> Server:
    """The application that `transom_client` serves.

    Override this fixture, or set `transom_app = module:app` in the configuration of pytest.
    """
    name = str(request.config.getini("transom_app"))
    if not name:
        raise pytest.UsageError(_HOW)
    module, _, attribute = name.partition(":")
    app: Any = None
    try:
        app = importlib.import_module(module)
        for part in (attribute or "app").split("."):
            app = getattr(app, part)
    except (ImportError, AttributeError) as error:
        raise pytest.UsageError(f"transom_app = {name}: {error}") from error
    return _checked(app, f"transom_app = {name} names")


@pytest.fixture
def transom_client(request: pytest.FixtureRequest, transom_app: Any) -> Iterator[TestClient]:
    """A client of the application `transom_app`, which runs during the test, without a port or a socket.

    `@pytest.mark.transom(raise_errors=False)` sets options of `transom.testing.TestClient`, and with
    `sockets=True` the client uses a real port.
    """
    _checked(transom_app, "the fixture transom_app returns")
    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("transom"))):
        if marker.args:
            raise pytest.UsageError(f"the marker transom takes named options, got {marker.args!r:.80}")
        options.update(marker.kwargs)
    make: Any = serve if options.pop("sockets", False) else TestClient
    with make(transom_app, **options) as client:
        yield client


def _checked(app: Any, what: str) -> Server:
    if not isinstance(app, Server):
        raise pytest.UsageError(f"{what} {type(app).__name__}, not a Server. {_HOW}")
    return app
