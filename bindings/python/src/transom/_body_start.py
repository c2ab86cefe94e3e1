"""The start of a response whose body comes in pieces."""

from __future__ import annotations

from ctypes import Array, byref, c_void_p

from transom import _native as native
from transom._errors import ErrorSlot, make
from transom._headers import SECRET, fields_of_block
from transom._native import FieldStruct, field_array, quick

#: The most header blocks that are kept, and the longest.
_MOST_KEPT = 256
_LONGEST_KEPT = 512

# Applications repeat their header fields, and an array of two fields takes 2.5 us (CPython 3.11, 2026-12).
_arrays: dict[bytes, Array[FieldStruct]] = {}


def start_body(token: int, status: int, block: bytes, first: bytes) -> int | None:
    """Sends the status and the header fields of a response with the first piece of its body, in one write.

    Returns the native writer of the rest, or `None` if nobody waits for the response any more. Raises what
    the library says of the header fields, and `MemoryError`.
    """
    fields = _arrays.get(block)
    if fields is None:
        fields = _array_of(block)
    responder = quick.token_responder(token)
    writer = c_void_p()
    arguments = responder, status, fields, len(fields), first, len(first), byref(writer)
    code = quick.responder_start_with(*arguments, None)
    if code == native.OK:
        return writer.value
    if code in (native.ALREADY_ANSWERED, native.GONE, native.STOPPED):
        return None
    if code == native.NO_MEMORY:
        raise MemoryError("no memory for the first piece of a stream")
    if code in (native.BAD_HEADER, native.BAD_STATUS_CODE):
        # Nothing was sent. Asked again, the library says what is wrong.
        slot = ErrorSlot()
        slot.check(quick.responder_start_with(*arguments, slot.reference))
    raise make(code)


def _array_of(block: bytes) -> Array[FieldStruct]:
    """Returns the fields of a header block, as the library takes them."""
    fields = fields_of_block(block)
    array = field_array(fields)
    if len(block) <= _LONGEST_KEPT and not any(name.lower() in SECRET for name, _ in fields):
        if len(_arrays) >= _MOST_KEPT:
            _arrays.clear()
        _arrays[block] = array
    return array
