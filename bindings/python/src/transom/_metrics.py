"""Metrics: counts of responses, connections and the process."""

from __future__ import annotations

import weakref
from ctypes import byref, c_char, c_double, c_size_t
from dataclasses import dataclass
from struct import Struct
from typing import Any, Literal

from transom import _native as native
from transom._check import whole
from transom._errors import check, make
from transom._native import quick, waiting

#: `transom_series_record` and `transom_metric_record`.
_SERIES = Struct("=IIQQQIIIIIHHII")
_METRIC = Struct("=IIdIIIIII")
_HEAD = Struct("=II")
_RECORD_SERIES = 1
_RECORD_METRIC = 2
_COUNTER = 1
_MOST_SERIES = 1_000_000


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """The responses that have the same labels, counted; see `MetricsSnapshot`."""

    #: The method; `"_OTHER"` if it is not well known, or if the head of the request was refused.
    method: str
    #: `"http"` or `"https"`.
    scheme: str
    #: The pattern of the route; `None` for the fallback, and if no route was found.
    route: str | None
    #: The status; `None` if the request ended before there was a response.
    status: int | None
    #: `"1.0"` or `"1.1"`; `None` if the head was refused.
    version: str | None
    #: The reason of a refusal, such as `"missing-host"`; `"left"`, `"timed-out"`, `"failed"` or `"cut"`
    #: if the response did not reach the client; a status of 500 or more; `None` if there was no error.
    error: str | None
    #: `True` for the one series of the responses that would have made one series too many. It has no
    #: labels.
    overflow: bool
    #: How many responses took how long: one bucket more than `Metrics.BOUNDS`.
    buckets: tuple[int, ...]
    #: The sum of the durations in seconds.
    seconds: float
    #: Bytes of the requests, with heads and framing.
    bytes_in: int
    #: Bytes of the responses, with heads and framing.
    bytes_out: int

    @property
    def count(self) -> int:
        """The number of responses."""
        return sum(self.buckets)


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A metric that counts no responses, with its value; see `MetricsSnapshot`."""

    #: The name, such as `"transom.connections"`.
    name: str
    #: The meaning, in a sentence.
    description: str
    #: `"By"`, `"s"`, or a noun in braces.
    unit: str
    #: A counter only grows.
    kind: Literal["counter", "gauge"]
    #: A label and its value, which tell several values of the metric apart; `None` without.
    label: tuple[str, str] | None
    #: The value.
    value: float


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """All metrics at one moment; see `Metrics.snapshot`."""

    #: The responses by their labels.
    series: list[MetricSeries]
    #: The other metrics: of the servers, summed up, and of the process.
    values: list[MetricValue]


class Metrics:
    """Counts the responses of servers by method, route, status, version and error.

    Each series has a histogram of the durations and the sums of the bytes. Connections by state,
    refusals, deadlines, TLS handshakes and the process are in the metrics too.

    A server gets them with `Server(metrics=)`, and several servers may count in the same.
    `Server.metrics_route` answers Prometheus. There are at most `max_series` series; the
    responses beyond that count in one series, the overflow.

    >>> from transom import Metrics, Server
    >>> metrics = Metrics()
    >>> app = Server(metrics=metrics)
    >>> app.metrics_route("/metrics")
    >>> metrics.snapshot().series
    []
    """

    __slots__ = ("__weakref__", "_finalizer", "_pointer")

    #: The bounds between the buckets of the histograms, in seconds. A bound belongs to the bucket below.
    BOUNDS: tuple[float, ...] = ()

    def __init__(self, *, max_series: int = 2000) -> None:
        pointer = quick.metrics_new(whole("max_series", max_series, 1, _MOST_SERIES))
        if not pointer:
            raise make(native.FORKED)
        #: The native object.
        self._pointer: int = pointer
        self._finalizer = weakref.finalize(self, quick.metrics_free, pointer)
        self._finalizer.atexit = False

    def snapshot(self) -> MetricsSnapshot:
        """Returns the counts since the metrics were made, those of servers that are gone included."""
        return _unpacked(self._filled(waiting.metrics_snapshot))

    def shards(self) -> list[MetricsSnapshot]:
        """Returns the counts of each shard alone, without the other metrics: `values` is empty.

        A thread of a server counts in a shard of its own, which another thread goes on with when it has
        ended. There are more shards than cores, and the threads for which there is none share the last
        one. There are always as many, in the same order; a shard without a thread has no series. So a
        worker with much less to do than the others shows.
        """
        count = quick.metrics_shard_count(self._pointer)
        return [_unpacked(self._filled(waiting.metrics_shard_snapshot, index)) for index in range(count)]

    def text(self) -> str:
        """Returns the metrics as text for Prometheus, version 0.0.4."""
        return self._filled(waiting.metrics_text).decode()

    def _filled(self, function: Any, *of: int) -> bytes:
        """Calls a function until its result fits the buffer."""
        length = c_size_t(16 * 1024)
        while True:
            room = length.value + length.value // 8
            buffer = (c_char * room)()
            code = function(self._pointer, *of, buffer, room, byref(length))
            if code != native.BUFFER_TOO_SMALL:
                check(code)
                return bytes(memoryview(buffer)[: length.value])

    def __repr__(self) -> str:
        return "<Metrics>"


def _bounds() -> tuple[float, ...]:
    count = c_size_t()
    first = quick.metrics_bounds(byref(count))
    return tuple((c_double * count.value).from_address(first))


Metrics.BOUNDS = _bounds()


def _unpacked(records: bytes) -> MetricsSnapshot:
    """Reads the records of `transom_metrics_snapshot`."""
    snapshot = MetricsSnapshot([], [])
    at = 0
    while at < len(records):
        length, kind = _HEAD.unpack_from(records, at)
        if kind == _RECORD_SERIES:
            snapshot.series.append(_series(records, at))
        elif kind == _RECORD_METRIC:
            snapshot.values.append(_value(records, at))
        at += length
    return snapshot


def _texts(records: bytes, at: int, lengths: list[int]) -> list[str]:
    found = []
    for length in lengths:
        found.append(records[at : at + length].decode())
        at += length
    return found


def _series(records: bytes, at: int) -> MetricSeries:
    _, _, nanoseconds, bytes_in, bytes_out, count, *rest = _SERIES.unpack_from(records, at)
    *lengths, status, version, is_overflow, _ = rest
    buckets = Struct(f"={count}Q")
    at += _SERIES.size
    method, scheme, route, error = _texts(records, at + buckets.size, lengths)
    return MetricSeries(
        method=method,
        scheme=scheme,
        route=route or None,
        status=status or None,
        version=f"{version // 10}.{version % 10}" if version else None,
        error=error or None,
        overflow=bool(is_overflow),
        buckets=buckets.unpack_from(records, at),
        seconds=nanoseconds / 1e9,
        bytes_in=bytes_in,
        bytes_out=bytes_out,
    )


def _value(records: bytes, at: int) -> MetricValue:
    _, _, value, kind, *lengths = _METRIC.unpack_from(records, at)
    name, description, unit, label, label_value = _texts(records, at + _METRIC.size, lengths)
    return MetricValue(
        name=name,
        description=description,
        unit=unit,
        kind="counter" if kind == _COUNTER else "gauge",
        label=(label, label_value) if label else None,
        value=value,
    )
