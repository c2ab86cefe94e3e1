/*
 * What the test programs use of the sockets of POSIX, over those of Windows. `.ci/platforms` compiles the
 * programs for Windows with this folder before others.
 */
#ifndef TRANSOM_TESTS_SOCKET_H
#define TRANSOM_TESTS_SOCKET_H

#define _WIN32_WINNT 0x0a00
/* A name that programs use. */
#define tell posix_tell
#include <io.h>
#undef tell
#include <winsock2.h>

#include <errno.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>
#include <ws2tcpip.h>

#define SOCK_CLOEXEC 0
#define MSG_NOSIGNAL 0
#define MSG_DONTWAIT 0x40000000
#define SHUT_RD SD_RECEIVE
#define SHUT_WR SD_SEND
#define SHUT_RDWR SD_BOTH

/* Sockets need a call first. The library makes it too, but later. */
__attribute__((constructor)) static void posix_begin(void)
{
    WSADATA data;
    WSAStartup(MAKEWORD(2, 2), &data);
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

/* A socket that no program inherits. The numbers of sockets are small, and fit an int. */
static inline int posix_socket(int domain, int type, int protocol)
{
    return (int)WSASocketW(domain, type, protocol, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
}

static inline ssize_t posix_recv(int fd, void *buf, size_t size, int flags)
{
    struct timeval now = {0, 0};
    fd_set readable;
    int n;
    if (flags & MSG_DONTWAIT) {
        FD_ZERO(&readable);
        FD_SET((SOCKET)fd, &readable);
        if (select(0, &readable, NULL, NULL, &now) == 0) {
            errno = EAGAIN;
            return -1;
        }
    }
    n = recv((SOCKET)fd, buf, (int)size, flags & ~MSG_DONTWAIT);
    if (n < 0)
        posix_errno();
    return n;
}

static inline ssize_t posix_send(int fd, const void *buf, size_t size, int flags)
{
    int n = send((SOCKET)fd, buf, (int)size, flags & ~MSG_DONTWAIT);
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
        return setsockopt((SOCKET)fd, level, name, (const char *)&ms, sizeof ms);
    }
    return setsockopt((SOCKET)fd, level, name, value, size);
}

#define socket(domain, type, protocol) posix_socket(domain, type, protocol)
#define recv(fd, buf, size, flags) posix_recv(fd, buf, size, flags)
#define send(fd, buf, size, flags) posix_send(fd, buf, size, flags)
#define setsockopt(fd, level, name, value, size) posix_setsockopt(fd, level, name, value, size)
/* The programs that are compiled for Windows close sockets only. */
#define close(fd) closesocket((SOCKET)(fd))

#endif
