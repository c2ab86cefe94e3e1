/* Files are opened without translation of their lines, as on POSIX, and no program inherits them. */
#ifndef TRANSOM_TESTS_FCNTL_H
#define TRANSOM_TESTS_FCNTL_H

#include_next <fcntl.h>

#include <io.h>
#include <string.h>

#define O_CLOEXEC O_NOINHERIT

static inline int posix_open(const char *path, int flags)
{
    return _open(strcmp(path, "/dev/null") == 0 ? "NUL" : path, flags | O_BINARY);
}

#define open(path, flags) posix_open(path, flags)

#endif
