"""The field Set-Cookie."""

from __future__ import annotations

import re
from datetime import datetime

from transom._check import flag, got, shown, text, whole
from transom._errors import BadHeaderError
from transom._headers import is_token
from transom._http_date import http_date

_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*")
#: The most bytes of a name and its value, and of an attribute: browsers ignore larger ones (RFC 6265bis 5.6).
_MOST_PAIR = 4096
_MOST_ATTRIBUTE = 1024
#: The longest `max_age` of a cookie, in seconds.
_LONGEST_AGE = 2**53


def set_cookie(
    name: str,
    value: str,
    max_age: int | None,
    path: str | None,
    domain: str | None,
    secure: bool,
    http_only: bool,
    same_site: str | None,
    expires: datetime | None,
    partitioned: bool,
) -> str:
    """Returns the value of a Set-Cookie field. Raises what `Response.set_cookie` raises."""
    if not is_token(text("the name of a cookie", name)):
        raise BadHeaderError(f"cookie name {shown(name)} is not a token")
    if not _COOKIE_VALUE.fullmatch(text(f"the value of cookie {shown(name)}", value)):
        raise BadHeaderError(f"cookie value {shown(value)} contains a character that is not allowed there")
    if len(name) + len(value) > _MOST_PAIR:
        raise BadHeaderError(f"cookie {shown(name)} is larger than {_MOST_PAIR} bytes with its value")
    parts = [f"{name}={value}"]
    if max_age is not None:
        age = whole(f"max_age of cookie {shown(name)}", max_age, -_LONGEST_AGE, _LONGEST_AGE)
        parts.append(f"Max-Age={age}")
    if expires is not None:
        if not isinstance(expires, datetime) or expires.tzinfo is None:
            raise TypeError(f"expires is a datetime with a time zone, got {got(expires)}")
        parts.append(f"Expires={http_date(expires.timestamp())}")
    for key, given in (("path", path), ("domain", domain)):
        if given is not None:
            if ";" in text(f"{key} of cookie {shown(name)}", given):
                raise BadHeaderError(f"the {key} of cookie {shown(name)} holds a `;`: {shown(given)}")
            if len(given) > _MOST_ATTRIBUTE:
                most = f"{_MOST_ATTRIBUTE} bytes"
                raise BadHeaderError(f"the {key} of cookie {shown(name)} is longer than {most}")
            parts.append(f"{key.title()}={given}")
    parts += ["Secure"] * flag("secure", secure) + ["HttpOnly"] * flag("http_only", http_only)
    known = None
    if same_site is not None:
        known = text("same_site", same_site).title()
        if known not in ("Strict", "Lax", "None"):
            raise ValueError(f"same_site is Strict, Lax, None or absent, got {shown(same_site)}")
        parts.append(f"SameSite={known}")
    parts += ["Partitioned"] * flag("partitioned", partitioned)
    if not secure:
        _check_insecure(name, known, partitioned)
    if name.lower().startswith("__host-") and (path != "/" or domain is not None):
        raise BadHeaderError(f"cookie {shown(name)} needs the path / and no domain because of its name")
    return "; ".join(parts)


def _check_insecure(name: str, same_site: str | None, partitioned: bool) -> None:
    """Raises `BadHeaderError` if browsers refuse the cookie without Secure."""
    for needs, reason in (
        (name.lower().startswith(("__host-", "__secure-")), "its name"),
        (same_site == "None", "SameSite=None"),
        (partitioned, "Partitioned"),
    ):
        if needs:
            raise BadHeaderError(f"cookie {shown(name)} needs Secure because of {reason}")
