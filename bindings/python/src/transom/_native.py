"""The native library: its file, its constants, and the prototypes of its functions.

There are two views of the library. The functions in `quick` never wait, so they are called
with the GIL held, which is cheaper. The functions in `waiting` may wait, so they are called
without the GIL. The library never calls Python code.
"""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import (
    c_bool,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_ssize_t,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
    py_object,
)
from pathlib import Path
from types import SimpleNamespace
from typing import Any

#: `transom_descriptor`: on Windows a handle, elsewhere the number of a descriptor.
c_descriptor = c_ssize_t if sys.platform == "win32" else c_int

#: The version of the library's binary interface that this package uses.
ABI_VERSION = 0

#: No timeout, in place of a number of milliseconds.
FOREVER = -1
#: The length that stands for the rest of a file.
TO_END = 2**64 - 1

OK = 0
NULL_ARGUMENT = -1
INVALID_ARGUMENT = -2
BAD_ADDRESS = -3
ADDRESS_IN_USE = -4
PERMISSION_DENIED = -5
IO = -6
BAD_ROUTE = -7
BAD_HEADER = -8
BAD_STATUS_CODE = -9
ALREADY_STARTED = -10
NOT_STARTED = -11
GONE = -12
ALREADY_ANSWERED = -13
WOULD_BLOCK = -14
WOULD_DEADLOCK = -15
TIMEOUT = -16
STOPPED = -17
BUFFER_TOO_SMALL = -18
FORKED = -19
PANIC = -20
OUT_OF_RANGE = -21
MALFORMED = -22
NOT_UTF8 = -23
BODY_TOO_LONG = -24
BODY_TOO_SHORT = -25
NO_MEMORY = -26
BODY_TOO_LARGE = -27
BAD_BODY = -28
TOO_SLOW = -29
BAD_TLS = -30
BAD_HANDSHAKE = -31

#: Reasons of a refusal.
REJECT_POOL_FULL = 31
REJECT_NO_MEMORY = 33
REJECT_OVERLOADED = 39

#: Flags of a request record, such as: the target has a `?`; the body comes piece by piece.
HAS_QUERY = 1
STREAMS = 2
WITHOUT_LENGTH = 1
HTTPS = 4
FORWARDED = 8
TLS = 16
UPGRADE = 32

EVENT_GONE = 1
EVENT_OVER = 2
EVENT_WRITABLE = 3
EVENT_WRITER_GONE = 4
EVENT_LOG = 5
EVENT_READABLE = 6
EVENT_STOPPING = 7
EVENT_WRITER_STOPPING = 8
EVENT_UPGRADED_READABLE = 9
EVENT_UPGRADED_WRITABLE = 10
EVENT_UPGRADED_STOPPING = 11
EVENT_WATCHDOG = 12
EVENT_WEBSOCKET_MESSAGE = 13
EVENT_WEBSOCKET_WRITABLE = 14
EVENT_WEBSOCKET_CLOSED = 15

WEBSOCKET_TEXT = 1
WEBSOCKET_BINARY = 2

#: Settings of WebSocket connections.
WEBSOCKET_MESSAGE_LIMIT = 1
WEBSOCKET_FRAME_LIMIT = 2
WEBSOCKET_QUEUE_LIMIT = 3
WEBSOCKET_COMPRESSION = 4
WEBSOCKET_CONTEXT_TAKEOVER = 5
WEBSOCKET_COMPRESS_FROM = 6
WEBSOCKET_PING_INTERVAL_MS = 7
WEBSOCKET_PING_TIMEOUT_MS = 8
WEBSOCKET_CLOSE_TIMEOUT_MS = 9
WEBSOCKET_IN_PIECES = 10
WEBSOCKET_ANY_ORIGIN = 11
WEBSOCKET_MESSAGE_RATE = 12
WEBSOCKET_MESSAGE_TIMEOUT_MS = 13


class ReportStruct(ctypes.Structure):
    """`transom_report`."""

    _fields_ = [("size", c_size_t), ("finished", c_uint64), ("cut", c_uint64), ("pending", c_uint64)]


class FieldStruct(ctypes.Structure):
    """`transom_field`."""

    _fields_ = [("name", c_char_p), ("name_len", c_size_t), ("value", c_char_p), ("value_len", c_size_t)]


def field_array(fields: list[tuple[str, str]]) -> ctypes.Array[FieldStruct]:
    """Converts header fields to an array of `transom_field`."""
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    return (FieldStruct * len(pairs))(
        *(FieldStruct(name, len(name), value, len(value)) for name, value in pairs)
    )


#: The functions that the package uses: name, result, arguments. Pointers are `c_void_p`, which
#: takes an address as a plain int and is the cheapest type to pass.
QUICK: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "transom_abi_version": (c_uint32, ()),
    "transom_version": (c_char_p, ()),
    "transom_status_text": (c_char_p, (c_int32,)),
    "transom_error_message": (c_char_p, (c_void_p,)),
    "transom_error_errno": (c_int32, (c_void_p,)),
    "transom_error_free": (None, (c_void_p,)),
    "transom_server_new": (c_void_p, ()),
    "transom_server_set_model": (c_int32, (c_void_p, c_char_p, c_void_p)),
    "transom_server_set_workers": (c_int32, (c_void_p, c_size_t, c_void_p)),
    "transom_server_set_unix_mode": (c_int32, (c_void_p, c_uint32, c_void_p)),
    "transom_server_set_reuse_port": (c_int32, (c_void_p, c_bool, c_void_p)),
    "transom_server_set_proxy_protocol": (c_int32, (c_void_p, c_char_p, c_void_p)),
    "transom_server_trust_forwarded": (c_int32, (c_void_p, c_char_p, c_char_p, c_bool, c_void_p)),
    "transom_server_set_limit": (c_int32, (c_void_p, c_char_p, c_uint64, c_void_p)),
    "transom_server_set_overload": (c_int32, (c_void_p, c_int64, c_int64, c_void_p)),
    "transom_compression_new": (c_void_p, ()),
    "transom_compression_free": (None, (c_void_p,)),
    "transom_compression_set_codings": (c_int32, (c_void_p, c_char_p, c_void_p)),
    "transom_compression_set_level": (c_int32, (c_void_p, c_char_p, c_uint32, c_void_p)),
    "transom_compression_set_min_size": (c_int32, (c_void_p, c_uint64)),
    "transom_compression_set_types": (c_int32, (c_void_p, c_char_p)),
    "transom_compression_set_max_streams": (c_int32, (c_void_p, c_size_t)),
    "transom_server_set_compression": (c_int32, (c_void_p, c_void_p, c_void_p)),
    "transom_route_set_decompression": (c_int32, (c_void_p, c_uint64)),
    "transom_route_set_decompression_memory": (c_int32, (c_void_p, c_size_t)),
    "transom_middleware_new": (c_int32, (c_char_p, c_char_p, c_void_p, c_void_p)),
    "transom_middleware_set": (c_int32, (c_void_p, c_char_p, c_char_p, c_void_p)),
    "transom_middleware_free": (None, (c_void_p,)),
    "transom_route_use": (c_int32, (c_void_p, c_void_p)),
    "transom_server_use": (c_int32, (c_void_p, c_void_p)),
    "transom_server_set_listener_reserve": (c_int32, (c_void_p, c_size_t, c_size_t, c_void_p)),
    "transom_congestion_new": (c_void_p, (c_int64, c_int64)),
    "transom_congestion_free": (None, (c_void_p,)),
    "transom_congestion_is_overloaded": (c_bool, (c_void_p,)),
    "transom_congestion_note_idle": (None, (c_void_p,)),
    "transom_congestion_note_start": (None, (c_void_p, c_uint64, c_uint32)),
    "transom_congestion_admits": (c_bool, (c_void_p, c_char_p, c_size_t, c_uint64)),
    "transom_congestion_may_start": (c_bool, (c_void_p, c_char_p, c_uint64)),
    "transom_limit_range": (c_int32, (c_char_p, c_void_p, c_void_p)),
    "transom_timeout_range": (c_int32, (c_char_p, c_void_p, c_void_p)),
    "transom_server_set_timeout": (c_int32, (c_void_p, c_char_p, c_int64, c_void_p)),
    "transom_tls_new": (c_void_p, ()),
    "transom_tls_free": (None, (c_void_p,)),
    "transom_tls_add_files": (c_int32, (c_void_p, c_char_p, c_char_p)),
    "transom_tls_add_pem": (c_int32, (c_void_p, c_char_p, c_size_t, c_char_p, c_size_t)),
    "transom_tls_add_client_authorities_file": (c_int32, (c_void_p, c_char_p)),
    "transom_tls_add_client_authorities": (c_int32, (c_void_p, c_char_p, c_size_t)),
    "transom_tls_add_client_revocations_file": (c_int32, (c_void_p, c_char_p)),
    "transom_tls_set_client_certificates_optional": (c_int32, (c_void_p,)),
    "transom_tls_set_protocols": (c_int32, (c_void_p, c_void_p, c_size_t)),
    "transom_tls_set_least_version": (c_int32, (c_void_p, c_char_p, c_void_p)),
    "transom_tls_set_watch": (c_int32, (c_void_p, c_int64)),
    "transom_access_log_set_format": (c_int32, (c_void_p, c_char_p, c_void_p)),
    "transom_access_log_set_buffer": (c_int32, (c_void_p, c_size_t)),
    "transom_access_log_lost": (c_uint64, (c_void_p,)),
    "transom_server_add_access_log": (c_int32, (c_void_p, c_void_p)),
    "transom_metrics_new": (c_void_p, (c_size_t,)),
    "transom_metrics_free": (None, (c_void_p,)),
    "transom_metrics_bounds": (c_void_p, (c_void_p,)),
    "transom_metrics_shard_count": (c_size_t, (c_void_p,)),
    "transom_server_add_metrics": (c_int32, (c_void_p, c_void_p)),
    "transom_server_add_metrics_route": (c_int32, (c_void_p, c_char_p, c_void_p, c_void_p)),
    "transom_files_set": (c_int32, (c_void_p, c_char_p, c_uint64, c_void_p)),
    "transom_files_set_index": (c_int32, (c_void_p, c_char_p, c_void_p)),
    "transom_files_set_single_page": (c_int32, (c_void_p, c_char_p, c_void_p)),
    "transom_files_set_charset": (c_int32, (c_void_p, c_char_p, c_void_p)),
    "transom_files_add_cache_control": (c_int32, (c_void_p, c_char_p, c_char_p, c_void_p)),
    "transom_files_add_content_type": (c_int32, (c_void_p, c_char_p, c_char_p, c_void_p)),
    "transom_files_free": (None, (c_void_p,)),
    "transom_server_add_files": (c_int32, (c_void_p, c_char_p, c_void_p, c_void_p)),
    "transom_server_add_status": (
        c_int32,
        (c_void_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p),
    ),
    "transom_server_add_status_password": (
        c_int32,
        (c_void_p, c_char_p, c_void_p, c_char_p, c_char_p, c_void_p),
    ),
    "transom_server_listen_fd": (c_int32, (c_void_p, c_descriptor, c_void_p)),
    "transom_server_set_listener_tls": (c_int32, (c_void_p, c_size_t, c_void_p, c_void_p)),
    "transom_server_set_listener_redirect": (c_int32, (c_void_p, c_size_t, c_uint16, c_void_p)),
    "transom_route_new_pull": (c_void_p, (c_char_p, c_char_p, c_uint32)),
    "transom_route_set_streaming": (c_int32, (c_void_p, c_bool)),
    "transom_route_set_body_limit": (c_int32, (c_void_p, c_uint64)),
    "transom_route_set_timeout": (c_int32, (c_void_p, c_int64)),
    "transom_route_set_priority": (c_int32, (c_void_p, c_char_p)),
    "transom_server_add": (c_int32, (c_void_p, c_void_p, c_void_p)),
    "transom_server_add_readiness": (c_int32, (c_void_p, c_char_p, c_void_p)),
    "transom_server_add_liveness": (c_int32, (c_void_p, c_char_p, c_void_p)),
    "transom_server_stuck": (c_int32, (c_void_p, c_void_p, c_size_t, c_size_t, c_void_p)),
    "transom_server_set_load": (c_int32, (c_void_p, c_char_p, c_uint64, c_uint64)),
    "transom_server_watch_events": (c_int32, (c_void_p, c_void_p, c_char_p, c_char_p)),
    "transom_server_set_own_body": (
        c_int32,
        (c_void_p, c_uint16, c_char_p, c_char_p, c_size_t, c_void_p),
    ),
    "transom_server_note_successor": (c_int32, (c_void_p,)),
    "transom_server_notify_systemd": (c_int32, (c_void_p,)),
    "transom_server_notify_reloading": (c_int32, (c_void_p,)),
    "transom_server_notify_ready": (c_int32, (c_void_p,)),
    "transom_server_notify_status": (c_int32, (c_void_p, c_char_p)),
    "transom_server_set_fallback": (c_int32, (c_void_p, c_void_p, c_void_p)),
    "transom_server_port": (c_uint16, (c_void_p,)),
    "transom_server_address": (c_size_t, (c_void_p, c_size_t, c_void_p, c_size_t)),
    "transom_server_listener_name": (c_size_t, (c_void_p, c_size_t, c_void_p, c_size_t)),
    "transom_server_set_unbound": (c_int32, (c_void_p,)),
    "transom_server_connect": (c_int32, (c_void_p, c_char_p, c_void_p, c_void_p)),
    "transom_client_finish": (c_int32, (c_void_p,)),
    "transom_client_free": (None, (c_void_p,)),
    "transom_server_stop": (c_int32, (c_void_p, c_int64)),
    "transom_server_report": (c_int32, (c_void_p, c_void_p)),
    "transom_server_stats": (c_int32, (c_void_p, c_void_p)),
    "transom_server_connections": (c_int32, (c_void_p, c_void_p, c_size_t, c_size_t, c_void_p)),
    "transom_server_in_state": (c_uint64, (c_void_p, c_int32)),
    "transom_server_expired": (c_uint64, (c_void_p, c_int32)),
    "transom_server_refused": (c_uint64, (c_void_p, c_int32)),
    "transom_connection_state_name": (c_char_p, (c_int32,)),
    "transom_deadline_name": (c_char_p, (c_int32,)),
    "transom_reject_name": (c_char_p, (c_int32,)),
    "transom_server_event_fd": (c_descriptor, (c_void_p,)),
    "transom_server_next_batch": (
        c_int32,
        (c_void_p, c_void_p, c_size_t, c_uint32, c_int64, c_void_p, c_void_p),
    ),
    "transom_server_respond_batch": (
        c_int32,
        (c_void_p, c_char_p, c_size_t, c_void_p, c_uint32, c_void_p),
    ),
    "transom_server_refuse_larger": (c_int32, (c_void_p, c_size_t)),
    "transom_token_responder": (c_void_p, (c_uint64,)),
    "transom_token_read": (c_int32, (c_uint64, c_void_p, c_size_t, c_int64, c_void_p)),
    "transom_responder_start_with": (
        c_int32,
        (c_void_p, c_uint16, c_void_p, c_size_t, c_char_p, c_size_t, c_void_p, c_void_p),
    ),
    "transom_responder_send_file": (
        c_int32,
        (c_void_p, c_uint16, c_void_p, c_size_t, c_descriptor, c_uint64, c_uint64, c_void_p),
    ),
    "transom_responder_early_hints": (c_int32, (c_void_p, c_void_p, c_size_t, c_void_p)),
    "transom_responder_refuse": (c_int32, (c_void_p, c_int32)),
    "transom_responder_is_gone": (c_bool, (c_void_p,)),
    "transom_responder_local_address": (c_size_t, (c_void_p, c_void_p, c_size_t)),
    "transom_writer_write": (c_int32, (c_void_p, c_char_p, c_size_t, c_int64)),
    "transom_writer_feed": (c_int32, (c_void_p, c_char_p, c_size_t)),
    "transom_writer_flush": (c_int32, (c_void_p, c_size_t)),
    "transom_writer_finish": (c_int32, (c_void_p,)),
    "transom_writer_finish_with": (c_int32, (c_void_p, c_void_p, c_size_t, c_void_p)),
    "transom_writer_is_gone": (c_bool, (c_void_p,)),
    "transom_writer_free": (None, (c_void_p,)),
    "transom_events_new": (c_void_p, ()),
    "transom_events_free": (None, (c_void_p,)),
    "transom_events_close": (c_int32, (c_void_p,)),
    "transom_events_fd": (c_descriptor, (c_void_p,)),
    "transom_events_next": (c_int32, (c_void_p, c_void_p, c_uint32, c_int64, c_void_p)),
    "transom_events_watch_request": (c_int32, (c_void_p, c_uint64)),
    "transom_events_watch_writer": (c_int32, (c_void_p, c_void_p)),
    "transom_events_await_room": (c_int32, (c_void_p, c_void_p)),
    "transom_events_answer": (c_int32, (c_void_p, c_uint64)),
    "transom_events_await_body": (c_int32, (c_void_p, c_uint64)),
    "transom_events_receive_websocket_message": (
        c_int32,
        (c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_void_p, c_void_p),
    ),
    "transom_events_await_websocket_writable": (c_int32, (c_void_p, c_void_p)),
    "transom_responder_accept_websocket": (
        c_int32,
        (c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_void_p),
    ),
    "transom_websocket_upgrade_new": (c_void_p, ()),
    "transom_websocket_upgrade_free": (None, (c_void_p,)),
    "transom_websocket_upgrade_set": (c_int32, (c_void_p, c_int32, c_int64)),
    "transom_websocket_upgrade_add_subprotocol": (c_int32, (c_void_p, c_char_p)),
    "transom_websocket_upgrade_add_origin": (c_int32, (c_void_p, c_char_p)),
    "transom_websocket_receive_into": (
        c_int32,
        (c_void_p, c_void_p, c_size_t, c_int64, c_void_p, c_void_p, c_void_p),
    ),
    "transom_websocket_send": (c_int32, (c_void_p, c_int32, c_char_p, c_size_t, c_int64)),
    "transom_websocket_feed": (c_int32, (c_void_p, c_int32, c_char_p, c_size_t)),
    "transom_websocket_flush": (c_int32, (c_void_p, c_size_t)),
    "transom_websocket_send_piece": (c_int32, (c_void_p, c_int32, c_char_p, c_size_t, c_bool, c_int64)),
    "transom_websocket_ping": (c_int32, (c_void_p, c_char_p, c_size_t)),
    "transom_websocket_close": (c_int32, (c_void_p, c_uint16, c_char_p)),
    "transom_websocket_close_code": (c_uint16, (c_void_p,)),
    "transom_websocket_close_reason": (c_size_t, (c_void_p, c_void_p, c_size_t)),
    "transom_websocket_is_closed": (c_bool, (c_void_p,)),
    "transom_websocket_queued": (c_size_t, (c_void_p,)),
    "transom_websocket_subprotocol": (c_size_t, (c_void_p, c_void_p, c_size_t)),
    "transom_websocket_free": (None, (c_void_p,)),
    "transom_broadcast_new": (c_int32, (c_int32, c_void_p)),
    "transom_broadcast_add": (c_int32, (c_void_p, c_void_p)),
    "transom_broadcast_remove": (c_int32, (c_void_p, c_void_p)),
    "transom_broadcast_send": (c_int32, (c_void_p, c_int32, c_char_p, c_size_t, c_void_p)),
    "transom_broadcast_count": (c_size_t, (c_void_p,)),
    "transom_broadcast_free": (None, (c_void_p,)),
    "transom_log_to_events": (c_int32, (c_void_p, c_int32)),
    "transom_log_next": (c_int32, (c_void_p, c_void_p, c_size_t, c_void_p)),
}

WAITING: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "transom_metrics_shard_snapshot": (c_int32, (c_void_p, c_size_t, c_void_p, c_size_t, c_void_p)),
    "transom_metrics_snapshot": (c_int32, (c_void_p, c_void_p, c_size_t, c_void_p)),
    "transom_metrics_text": (c_int32, (c_void_p, c_void_p, c_size_t, c_void_p)),
    "transom_server_start": (c_int32, (c_void_p, c_char_p, c_void_p)),
    "transom_server_bind": (c_int32, (c_void_p, c_char_p, c_void_p)),
    "transom_server_bind_tls": (c_int32, (c_void_p, c_char_p, c_void_p, c_void_p)),
    "transom_server_bind_redirect": (c_int32, (c_void_p, c_char_p, c_uint16, c_void_p)),
    "transom_files_new": (c_int32, (c_char_p, c_void_p, c_void_p)),
    "transom_access_log_open": (c_int32, (c_char_p, c_void_p, c_void_p)),
    "transom_access_log_open_fd": (c_int32, (c_descriptor, c_void_p, c_void_p)),
    "transom_access_log_reopen": (c_int32, (c_void_p, c_void_p)),
    "transom_access_log_flush": (c_int32, (c_void_p, c_int64)),
    "transom_access_log_free": (None, (c_void_p,)),
    "transom_tls_reload": (c_int32, (c_void_p, c_void_p)),
    "transom_tls_replace": (c_int32, (c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p)),
    "transom_server_listen_inherited": (c_int32, (c_void_p, c_void_p, c_void_p)),
    "transom_server_hand_over": (c_int32, (c_void_p, c_void_p, c_int64, c_void_p, c_void_p)),
    "transom_server_wait": (c_int32, (c_void_p, c_int64)),
    "transom_server_free": (None, (c_void_p,)),
    "transom_client_read": (c_int32, (c_void_p, c_void_p, c_size_t, c_int64, c_void_p)),
    "transom_client_write": (c_int32, (c_void_p, c_char_p, c_size_t, c_int64)),
    "transom_server_next_batch": QUICK["transom_server_next_batch"],
    "transom_events_next": QUICK["transom_events_next"],
    "transom_token_read": QUICK["transom_token_read"],
    "transom_writer_write": QUICK["transom_writer_write"],
    "transom_websocket_receive_into": QUICK["transom_websocket_receive_into"],
    "transom_websocket_send": QUICK["transom_websocket_send"],
    "transom_websocket_send_piece": QUICK["transom_websocket_send_piece"],
}


def _candidates() -> list[Path]:
    """Returns the paths at which the library may be, in the order of preference."""
    name = {"darwin": "libtransom.dylib", "win32": "transom.dll"}.get(sys.platform, "libtransom.so")
    package = Path(__file__).resolve().parent
    found = [package / "_lib" / name]
    root = package.parents[3] if len(package.parents) > 3 else package
    if (root / "bindings" / "python" / "src" / "transom") == package:
        found += [root / "target" / "release" / name, root / "target" / "debug" / name]
    return found


def _find() -> Path:
    override = os.environ.get("TRANSOM_LIBRARY")
    if override:
        if not Path(override).is_file():
            raise ImportError(f"TRANSOM_LIBRARY names {override!r}, which is not a file")
        return Path(override).resolve()
    places = _candidates()
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(map(str, places))
    raise ImportError(
        f"the native library of transom was not found; looked at: {looked}. Install the package, run "
        "`cargo build --release -p transom-capi` in the source tree, or set TRANSOM_LIBRARY to the file"
    )


def _bind(library: ctypes.CDLL, prototypes: dict[str, tuple[Any, tuple[Any, ...]]]) -> SimpleNamespace:
    functions = SimpleNamespace()
    for name, (restype, argtypes) in prototypes.items():
        function = getattr(library, name)
        function.restype = restype
        function.argtypes = argtypes
        setattr(functions, name.removeprefix("transom_"), function)
    return functions


def _load() -> tuple[Path, SimpleNamespace, SimpleNamespace]:
    path = _find()
    try:
        held = ctypes.PyDLL(str(path))
        released = ctypes.CDLL(str(path))
        held.transom_abi_version.restype = c_uint32
        held.transom_abi_version.argtypes = ()
        version = held.transom_abi_version()
        if version != ABI_VERSION:
            raise ImportError(f"{path} has ABI version {version}, this package needs {ABI_VERSION}")
        return path, _bind(held, QUICK), _bind(released, WAITING)
    except (OSError, AttributeError) as error:
        raise ImportError(f"{path} is not a usable native library of transom: {error}") from error


#: Makes `bytes` of which nothing else knows yet, so that the library may fill them: called with `None` and
#: their length. It is the function of CPython's C interface that its own extensions read with.
uninitialized: Any = ctypes.pythonapi.PyBytes_FromStringAndSize
uninitialized.argtypes = (c_void_p, c_ssize_t)
uninitialized.restype = py_object

#: The file that was loaded, and its functions without the prefix `transom_`.
path, quick, waiting = _load()
