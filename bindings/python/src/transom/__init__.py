"""Transom: an embeddable HTTP server for Rust, C and Python.

>>> from transom import Server
>>> app = Server()
>>> @app.get("/hello/{name}")
... def hello(request):
...     return f"hello {request.params['name']}"

`app.run()` serves until Ctrl-C or SIGTERM. `app.start()` returns once the server listens, and
`await app.serve()` serves in the event loop that is running.
"""

from transom._access_log import AccessLog
from transom._asgi.errors import StartupError
from transom._asgi.serve import serve_asgi
from transom._body import BodyStream
from transom._broadcast import Broadcast
from transom._compression import Coding as Coding
from transom._compression import Compression
from transom._decompression import Decompression
from transom._errors import (
    AddressInUseError,
    AlreadyStartedError,
    BadAddressError,
    BadHeaderError,
    BadRouteError,
    BadStatusError,
    BadTlsError,
    Error,
    ForkedError,
    InvalidArgumentError,
    PermissionDeniedError,
    SystemCallError,
)
from transom._event_broadcast import EventBroadcast
from transom._form import Form, FormLimits
from transom._http_error import BodyError, ClientGoneError, HTTPError, MissingValueError
from transom._json_limits import JsonLimits

# For annotations: an alias has no docstring.
from transom._layers import AsyncNext as AsyncNext
from transom._layers import Next as Next
from transom._metrics import Metrics, MetricSeries, MetricsSnapshot, MetricValue
from transom._multi import Headers, MultiDict
from transom._overload import Overload
from transom._overload import Priority as Priority
from transom._processes import Processes
from transom._ready import (
    BasicAuth,
    BearerAuth,
    CacheControl,
    CanonicalHost,
    ConcurrencyLimit,
    Cors,
    RateLimit,
    ReadyMiddleware,
    RequestIds,
    SecurityHeaders,
    TrailingSlash,
)
from transom._report import Report
from transom._request import Request
from transom._response import Response
from transom._response_headers import ResponseHeaders
from transom._route import Handler as Handler
from transom._route import HandlerResult as HandlerResult
from transom._router import Router
from transom._running import Running
from transom._server import Server
from transom._signing_keys import SigningKeys
from transom._slow_reader import SlowReader as SlowReader
from transom._sse import ServerSentEvent, ServerSentEvents
from transom._stats import Connection, Stats
from transom._stuck import Stuck
from transom._tls import Tls, TlsInfo
from transom._upload_file import Files, UploadFile
from transom._websocket import AsyncWebSocket, WebSocket
from transom._websocket_closed import WebSocketClosed
from transom._websocket_connection import WebSocketPiece
from transom._websocket_handshake import WebSocketHandler as WebSocketHandler
from transom._wsgi.serve import serve_wsgi

__version__ = "0.1.0"

__all__ = [
    "AccessLog",
    "AddressInUseError",
    "AlreadyStartedError",
    "AsyncWebSocket",
    "BadAddressError",
    "BadHeaderError",
    "BadRouteError",
    "BadStatusError",
    "BadTlsError",
    "BasicAuth",
    "BearerAuth",
    "BodyError",
    "BodyStream",
    "Broadcast",
    "CacheControl",
    "CanonicalHost",
    "ClientGoneError",
    "Compression",
    "ConcurrencyLimit",
    "Connection",
    "Cors",
    "Decompression",
    "Error",
    "EventBroadcast",
    "Files",
    "ForkedError",
    "Form",
    "FormLimits",
    "HTTPError",
    "Headers",
    "InvalidArgumentError",
    "JsonLimits",
    "MetricSeries",
    "MetricValue",
    "Metrics",
    "MetricsSnapshot",
    "MissingValueError",
    "MultiDict",
    "Overload",
    "PermissionDeniedError",
    "Processes",
    "RateLimit",
    "ReadyMiddleware",
    "Report",
    "Request",
    "RequestIds",
    "Response",
    "ResponseHeaders",
    "Router",
    "Running",
    "SecurityHeaders",
    "Server",
    "ServerSentEvent",
    "ServerSentEvents",
    "SigningKeys",
    "StartupError",
    "Stats",
    "Stuck",
    "SystemCallError",
    "Tls",
    "TlsInfo",
    "TrailingSlash",
    "UploadFile",
    "WebSocket",
    "WebSocketClosed",
    "WebSocketPiece",
    "serve_asgi",
    "serve_wsgi",
]
