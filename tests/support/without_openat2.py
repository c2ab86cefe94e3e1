"""Runs a program for which openat2(2) fails with an errno, as in old kernels and in some sandboxes.

    python3 without_openat2.py ERRNO PROGRAM [ARGUMENT ...]

The errno is a number. A filter of the kernel (seccomp(2)) holds for the program and its children.
"""

import ctypes
import os
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
#: The number of the call, on each architecture.
OPENAT2 = 437


def main(errno, program):
    """Sets the filter and becomes the program."""
    # Load the number of the call; if it is that of openat2, go on, or skip one; fail; allow.
    filters = b"".join(
        struct.pack("=HBBI", *step)
        for step in (
            (0x20, 0, 0, 0),
            (0x15, 0, 1, OPENAT2),
            (0x06, 0, 0, 0x0005_0000 | errno),
            (0x06, 0, 0, 0x7FFF_0000),
        )
    )
    kept = ctypes.create_string_buffer(filters)
    rules = struct.pack("@HP", 4, ctypes.addressof(kept))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, rules)):
        option, value, *more = arguments
        pointer = ctypes.c_char_p(more[0]) if more else ctypes.c_ulong(0)
        if libc.prctl(option, ctypes.c_ulong(value), pointer, ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
            sys.exit(f"prctl fails: {os.strerror(ctypes.get_errno())}")
    os.execv(program[0], program)


main(int(sys.argv[1]), sys.argv[2:])
