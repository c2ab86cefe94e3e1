"""Dates of HTTP, as text and as seconds of the Unix clock (RFC 9110 5.6.7)."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import formatdate

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONG_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CLOCK = r"(?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})"
_DAY, _MONTH = r"(?P<day>[0-9]{2})", rf"(?P<month>{'|'.join(_MONTHS)})"
_FORMS = (
    # Sun, 06 Nov 1994 08:49:37 GMT
    re.compile(rf"(?P<name>{'|'.join(_DAYS)}), {_DAY} {_MONTH} (?P<year>[0-9]{{4}}) {_CLOCK} GMT"),
    # Sunday, 06-Nov-94 08:49:37 GMT (RFC 850)
    re.compile(rf"(?P<name>{'|'.join(_LONG_DAYS)}), {_DAY}-{_MONTH}-(?P<year>[0-9]{{2}}) {_CLOCK} GMT"),
    # Sun Nov  6 08:49:37 1994 (asctime)
    re.compile(rf"(?P<name>{'|'.join(_DAYS)}) {_MONTH} (?P<day>[ 0-9][0-9]) {_CLOCK} (?P<year>[0-9]{{4}})"),
)


def http_date(seconds: float) -> str:
    """Returns a time as a date of HTTP. Seconds are those of the Unix clock.

    >>> http_date(0)
    'Thu, 01 Jan 1970 00:00:00 GMT'
    """
    return formatdate(seconds, usegmt=True)


def seconds_of(text: str) -> int | None:
    """Returns the time of a date of HTTP; `None` if the text has none of the three forms, or names no day.

    >>> seconds_of("Thu, 01 Jan 1970 00:01:00 GMT"), seconds_of("yesterday")
    (60, None)
    """
    found = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    if found is None:
        return None
    year = int(found["year"])
    if len(found["year"]) == 2:
        year += 2000 if year < 70 else 1900
    hour, minute, second = map(int, found["clock"].split(":"))
    try:
        month, day = _MONTHS.index(found["month"]) + 1, int(found["day"])
        time = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None
    # A day that is not that of the week is a mistake in either.
    is_named = found["name"].startswith(_DAYS[time.weekday()])
    return int(time.timestamp()) if is_named and year >= 1970 else None
