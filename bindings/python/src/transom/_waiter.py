"""A wait for a descriptor of the library that another thread can end."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import ctypes
    from ctypes import c_void_p, c_wchar_p
    from ctypes.wintypes import BOOL, DWORD, HANDLE

    _system = ctypes.WinDLL("kernel32", use_last_error=True)
    _system.CreateEventW.restype = HANDLE
    _system.CreateEventW.argtypes = c_void_p, BOOL, BOOL, c_wchar_p
    _system.WaitForMultipleObjects.restype = DWORD
    _system.WaitForMultipleObjects.argtypes = DWORD, c_void_p, BOOL, DWORD
    _system.SetEvent.argtypes = _system.CloseHandle.argtypes = (HANDLE,)
    _FOREVER = 0xFFFFFFFF

    class Waiter:
        """Waits until the event of a handle is set."""

        def __init__(self, handle: int) -> None:
            self._end = _system.CreateEventW(None, True, False, None)
            if not self._end:
                raise ctypes.WinError(ctypes.get_last_error())
            self._handles = (HANDLE * 2)(self._end, handle)

        def wait(self) -> bool:
            """Waits. Returns `False` if the wait was ended."""
            # The number of the first that is set.
            return bool(_system.WaitForMultipleObjects(2, self._handles, False, _FOREVER) == 1)

        def end(self) -> None:
            """Ends the wait, and those that come later."""
            _system.SetEvent(self._end)

        def close(self) -> None:
            """Frees what the wait needs. Nobody waits any more."""
            _system.CloseHandle(self._end)

else:
    import os
    import select

    class Waiter:
        """Waits until a descriptor is readable."""

        def __init__(self, descriptor: int) -> None:
            self._reader, self._writer = os.pipe()
            self._poll = select.poll()
            for each in (self._reader, descriptor):
                self._poll.register(each, select.POLLIN)

        def wait(self) -> bool:
            """Waits. Returns `False` if the wait was ended."""
            return all(number != self._reader for number, _ in self._poll.poll())

        def end(self) -> None:
            """Ends the wait, and those that come later."""
            os.write(self._writer, b"e")

        def close(self) -> None:
            """Frees what the wait needs. Nobody waits any more."""
            os.close(self._reader)
            os.close(self._writer)
