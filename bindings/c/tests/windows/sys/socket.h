/*
 * What the test programs use of the sockets of POSIX, over those of Windows. `.ci/platforms` compiles the
 * programs for Windows with this folder before others.
 */
#ifndef TRANSOM_TESTS_SOCKET_H
#define TRANSOM_TESTS_SOCKET_H

#define _WIN32_WINNT 0x0a00
#define WIN32_LEAN_AND_MEAN
/* A name that programs use. */
#define SIZE WINDOWS_SIZE
#include <winsock2.h>
#undef SIZE

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
#include <ws2tcpip.h>

#define SOCK_CLOEXEC 0
#define MSG_NOSIGNAL 0
#define MSG_DONTWAIT 0x40000000
#define SHUT_RD SD_RECEIVE
#define SHUT_WR SD_SEND
#define SHUT_RDWR SD_BOTH

/* Sockets have numbers from here on, and files of the C runtime smaller ones. The numbers of handles are small. */
#define SOCKETS 0x10000000

/* Sockets need a call first. The library makes it too, but later. Files have bytes, not lines. */
__attribute__((constructor)) static void posix_begin(void)
{
    WSADATA data;
    WSAStartup(MAKEWORD(2, 2), &data);
    _fmode = _O_BINARY;
}

static inline SOCKET posix_handle(int fd)
{
    return fd < SOCKETS ? INVALID_SOCKET : (SOCKET)(fd - SOCKETS);
}

/* Returns what the library calls a descriptor. */
static inline intptr_t posix_descriptor(int fd)
{
    return fd < 0 ? -1 : fd < SOCKETS ? _get_osfhandle(fd) : (intptr_t)posix_handle(fd);
}

/* Returns the number of a socket or handle that the library gives away, or is given. */
static inline int posix_given(intptr_t descriptor)
{
    return descriptor == -1 ? -1 : (int)descriptor + SOCKETS;
}

/* A copy of a file that the C runtime does not know of, so that its owner may close the handle. */
static inline int posix_dup(int fd)
{
    HANDLE process = GetCurrentProcess(), copy;
    BOOL made = DuplicateHandle(process, (HANDLE)posix_descriptor(fd), process, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS);
    return posix_given(made ? (intptr_t)copy : -1);
}

static inline void posix_errno(void)
{
    switch (WSAGetLastError()) {
    case WSAEWOULDBLOCK:
    case WSAETIMEDOUT:
        errno = EAGAIN;
        break;
    case WSAECONNRESET:
    case WSAECONNABORTED:
        errno = ECONNRESET;
        break;
    default:
        errno = EIO;
    }
}

/* A socket that no program inherits. */
static inline int posix_socket(int domain, int type, int protocol)
{
    SOCKET made = WSASocketW(domain, type, protocol, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    return made == INVALID_SOCKET ? -1 : (int)made + SOCKETS;
}

static inline int posix_close(int fd)
{
    return fd < SOCKETS ? _close(fd) : closesocket(posix_handle(fd));
}

static inline ssize_t posix_recv(int fd, void *buf, size_t size, int flags)
{
    struct timeval now = {0, 0};
    fd_set readable;
    size_t length = 0;
    int n;
    if (flags & MSG_DONTWAIT) {
        FD_ZERO(&readable);
        FD_SET(posix_handle(fd), &readable);
        if (select(0, &readable, NULL, NULL, &now) == 0) {
            errno = EAGAIN;
            return -1;
        }
    }
    /* Wine takes MSG_WAITALL, and does not wait for all. */
    do {
        n = recv(posix_handle(fd), (char *)buf + length, (int)(size - length), flags & MSG_PEEK);
        length += n > 0 ? (size_t)n : 0;
    } while (n > 0 && length < size && flags & MSG_WAITALL);
    if (n < 0)
        posix_errno();
    return n < 0 ? n : (ssize_t)length;
}

static inline ssize_t posix_send(int fd, const void *buf, size_t size, int flags)
{
    int n = send(posix_handle(fd), buf, (int)size, flags & ~MSG_DONTWAIT);
    if (n < 0)
        posix_errno();
    return n;
}

/* Times are milliseconds there. */
static inline int posix_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO)) {
        const struct timeval *time = value;
        DWORD ms = (DWORD)(time->tv_sec * 1000 + time->tv_usec / 1000);
        return setsockopt(posix_handle(fd), level, name, (const char *)&ms, sizeof ms);
    }
    return setsockopt(posix_handle(fd), level, name, value, size);
}

#define socket(domain, type, protocol) posix_socket(domain, type, protocol)
#define recv(fd, buf, size, flags) posix_recv(fd, buf, size, flags)
#define send(fd, buf, size, flags) posix_send(fd, buf, size, flags)
#define setsockopt(fd, level, name, value, size) posix_setsockopt(fd, level, name, value, size)
#define bind(fd, address, size) bind(posix_handle(fd), address, size)
#define listen(fd, backlog) listen(posix_handle(fd), backlog)
#define connect(fd, address, size) connect(posix_handle(fd), address, size)
#define shutdown(fd, how) shutdown(posix_handle(fd), how)
#define getsockname(fd, address, size) getsockname(posix_handle(fd), address, size)
#define close(fd) posix_close(fd)
#define dup(fd) posix_dup(fd)
#define pipe(ends) _pipe(ends, 65536, _O_BINARY | _O_NOINHERIT)

#endif
