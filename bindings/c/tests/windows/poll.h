/* poll(2) for the events of the library, which are readable when they are set. */
#ifndef TRANSOM_TESTS_POLL_H
#define TRANSOM_TESTS_POLL_H

#include <sys/socket.h>

struct posix_pollfd {
    intptr_t fd;
    short events;
    short revents;
};

static inline int posix_poll(struct posix_pollfd *fds, unsigned count, int timeout_ms)
{
    DWORD waited = WaitForSingleObject((HANDLE)fds[0].fd, timeout_ms < 0 ? INFINITE : (DWORD)timeout_ms);
    fds[0].revents = waited == WAIT_OBJECT_0 ? POLLIN : 0;
    return count == 1 && waited == WAIT_OBJECT_0;
}

#define pollfd posix_pollfd
#define poll(fds, count, timeout_ms) posix_poll(fds, count, timeout_ms)

#endif
