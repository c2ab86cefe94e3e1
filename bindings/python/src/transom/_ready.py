"""Ready middleware: what many programs need around their routes, run by the library before Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from transom._check import flag, got, shown, text, whole
from transom._errors import InvalidArgumentError


class ReadyMiddleware:
    """Middleware of the library: its name there, its argument, and its settings in their order."""

    __slots__ = ("_argument", "_name", "_settings")

    def __init__(self, name: str, argument: str | None, settings: list[tuple[str, str | None]]) -> None:
        self._name = name
        self._argument = argument
        self._settings = settings

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Cors(ReadyMiddleware):
    """Lets pages of other origins read the answers, errors and the server's own answers included, and
    answers their preflight requests.

    An origin is written as browsers do: `"https://app.example"`. With `any_origin`, requests have no
    credentials. `max_age` is how long a browser keeps the answer to a preflight request, in seconds.
    """

    __slots__ = ()

    def __init__(
        self,
        origins: Iterable[str] = (),
        *,
        any_origin: bool = False,
        methods: Iterable[str] = (),
        request_headers: Iterable[str] = (),
        expose: Iterable[str] = (),
        credentials: bool = False,
        max_age: int | None = None,
    ) -> None:
        settings: list[tuple[str, str | None]] = []
        for setting, values in (
            ("origin", _texts("origins", origins)),
            ("method", _texts("methods", methods)),
            ("request_header", _texts("request_headers", request_headers)),
            ("expose", _texts("expose", expose)),
        ):
            settings += [(setting, value) for value in values]
        settings += [("any_origin", None)] * flag("any_origin", any_origin)
        settings += [("credentials", None)] * flag("credentials", credentials)
        if max_age is not None:
            settings.append(("max_age", _seconds("max_age", max_age)))
        super().__init__("cors", None, settings)


class BasicAuth(ReadyMiddleware):
    """Lets requests through that have the name and the password of a user (RFC 7617); others get a 401.

    Passwords are compared in constant time. Use it over TLS only: the password is readable.
    """

    __slots__ = ()

    def __init__(self, realm: str, users: Mapping[str, str]) -> None:
        super().__init__("basic_auth", text("realm", realm), _pairs("user", users))


class BearerAuth(ReadyMiddleware):
    """Lets requests through that have a token (RFC 6750); others get a 401. `tokens` has the tokens by the
    names of their users. They are compared in constant time.
    """

    __slots__ = ()

    def __init__(self, realm: str, tokens: Mapping[str, str]) -> None:
        super().__init__("bearer_auth", text("realm", realm), _pairs("token", tokens))


class SecurityHeaders(ReadyMiddleware):
    """Adds fields that tell browsers to be strict: `X-Content-Type-Options`, `X-Frame-Options`,
    `Referrer-Policy`, `Cross-Origin-Opener-Policy`. A field that the handler has set stays as it is.

    `fields` has more of them, or other values; an empty value leaves a field out. `hsts` is the time of
    `Strict-Transport-Security`, in seconds, for responses over TLS.
    """

    __slots__ = ()

    def __init__(self, fields: Mapping[str, str] | None = None, *, hsts: int | None = None) -> None:
        settings: list[tuple[str, str | None]] = [
            ("field", f"{text('the name of a field', name)}: {text('the value of a field', value)}")
            for name, value in (fields or {}).items()
        ]
        if hsts is not None:
            settings.append(("hsts", _seconds("hsts", hsts)))
        super().__init__("security_headers", None, settings)


class RequestIds(ReadyMiddleware):
    """Gives each request an identifier in its field `X-Request-Id`, and the response the same; and a field
    `traceparent` (W3C Trace Context), if it has none. With `trust_client`, a request keeps its identifier.
    """

    __slots__ = ()

    def __init__(self, *, trust_client: bool = False) -> None:
        super().__init__("request_ids", None, [("trust_client", None)] * flag("trust_client", trust_client))


class CanonicalHost(ReadyMiddleware):
    """Sends requests that came under another name to this host with a 308; with `https`, those without
    TLS too.
    """

    __slots__ = ()

    def __init__(self, host: str, *, https: bool = False) -> None:
        super().__init__("canonical_host", text("host", host), [("https", None)] * flag("https", https))


class TrailingSlash(ReadyMiddleware):
    """Sends a request whose path no route has to the path without the slash at its end, or with `add` to
    the one with it, with a 308.
    """

    __slots__ = ()

    def __init__(self, *, add: bool = False) -> None:
        super().__init__("trailing_slash", "add" if flag("add", add) else "remove", [])


class RateLimit(ReadyMiddleware):
    """Lets so many requests through in so many seconds, of each address; others get a 429 with Retry-After.

    A client of IPv6 is its network of 64 bits. At most so many `addresses` are remembered.
    """

    __slots__ = ()

    def __init__(
        self, requests: int, seconds: int, *, for_all_clients: bool = False, addresses: int | None = None
    ) -> None:
        count = whole("requests", requests, 1, 2**32 - 1)
        settings: list[tuple[str, str | None]] = []
        if addresses is not None:
            settings.append(("addresses", str(whole("addresses", addresses, 1, 2**31 - 1))))
        settings += [("for_all_clients", None)] * flag("for_all_clients", for_all_clients)
        super().__init__("rate_limit", f"{count}/{whole('seconds', seconds, 1, 2**32 - 1)}", settings)


class ConcurrencyLimit(ReadyMiddleware):
    """Lets so many requests be handled at once, of all clients or of each address; others get a 503."""

    __slots__ = ()

    def __init__(self, most: int, *, for_each_address: bool = False) -> None:
        settings: list[tuple[str, str | None]] = [("for_each_address", None)]
        super().__init__(
            "concurrency_limit",
            str(whole("most", most, 0, 2**31 - 1)),
            settings * flag("for_each_address", for_each_address),
        )


class CacheControl(ReadyMiddleware):
    """Sets `Cache-Control` of responses to GET and HEAD that have none. `types` has other values for media
    types that begin so, such as `{"image/": "public, max-age=86400"}`.
    """

    __slots__ = ()

    def __init__(self, value: str, types: Mapping[str, str] | None = None) -> None:
        settings: list[tuple[str, str | None]] = [
            ("for_type", f"{text('a media type', kind)}: {text('a value of Cache-Control', own)}")
            for kind, own in (types or {}).items()
        ]
        super().__init__("cache_control", text("a value of Cache-Control", value), settings)


def ready_middleware(given: Iterable[ReadyMiddleware]) -> list[ReadyMiddleware]:
    """Returns middleware as a list. Raises `TypeError` for anything else."""
    if isinstance(given, ReadyMiddleware) or not isinstance(given, Iterable):
        raise TypeError(f"middleware is several of them, such as [RateLimit(5, 60)], got {got(given)}")
    listed = list(given)
    for one in listed:
        if not isinstance(one, ReadyMiddleware):
            raise TypeError(f"ready middleware is such as Cors or RateLimit, got {got(one)}")
    return listed


def _texts(what: str, given: Iterable[str]) -> list[str]:
    if isinstance(given, str):
        raise TypeError(f"{what} is several texts, got one: {shown(given)}")
    return [text(what, value) for value in given]


def _pairs(setting: str, given: Mapping[str, str]) -> list[tuple[str, str | None]]:
    for name in given:
        if ":" in text("the name of a user", name):
            raise InvalidArgumentError(f"the name of a user has no colon, got {shown(name)}")
    return [(setting, f"{name}:{text('a secret', secret)}") for name, secret in given.items()]


def _seconds(what: str, value: int) -> str:
    return str(whole(what, value, 0, 2**32 - 1))
