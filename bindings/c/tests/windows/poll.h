/* poll(2) for one socket, or an event of the library, which is readable when it is set. */
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
    int is_set;
    if (fds[0].fd >= SOCKETS) {
        WSAPOLLFD socket = {posix_handle((int)fds[0].fd), POLLRDNORM, 0};
        is_set = WSAPoll(&socket, 1, timeout_ms) == 1;
    } else {
        is_set = WaitForSingleObject((HANDLE)fds[0].fd, timeout_ms < 0 ? INFINITE : (DWORD)timeout_ms) == WAIT_OBJECT_0;
    }
    fds[0].revents = is_set ? POLLIN : 0;
    return count == 1 && is_set;
}

#define pollfd posix_pollfd
#define poll(fds, count, timeout_ms) posix_poll(fds, count, timeout_ms)

#endif
