/*
 * Shared by the test programs: checks, and a small blocking HTTP client.
 */
#ifndef COMMON_H
#define COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <transom.h>
#include <unistd.h>

#ifdef _WIN32
#include <adapted.h>
#endif

#define UNUSED __attribute__((unused))

/* The most milliseconds that anything may take. A slow machine is given more. */
#ifndef PATIENCE_MS
#define PATIENCE_MS 60000
#endif

#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                   \
            exit(1);                                                                                                  \
        }                                                                                                             \
    } while (0)

#define CHECK_STATUS(call, expected)                                                                                  \
    do {                                                                                                              \
        int status_ = (call);                                                                                         \
        if (status_ != (expected)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s: %s, not %s\n", __FILE__, __LINE__, #call, transom_status_text(status_),       \
                    transom_status_text(expected));                                                                   \
            exit(1);                                                                                                  \
        }                                                                                                             \
    } while (0)

#define OK(call) CHECK_STATUS(call, TRANSOM_OK)

/* Waits until the condition holds. */
#define EVENTUALLY(condition)                                                                                         \
    do {                                                                                                              \
        int left_ = PATIENCE_MS / 5;                                                                                  \
        while (!(condition) && left_-- > 0)                                                                           \
            pause_ms(5);                                                                                              \
        CHECK(condition);                                                                                             \
    } while (0)

static UNUSED void pause_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

#ifdef _WIN32
/* Returns the number of open handles. Wine does not count them, so each number that one may have is tried. */
static UNUSED int descriptors_now(void)
{
    uintptr_t handle;
    int number = 0;
    DWORD flags;
    for (handle = 4; handle < 4 * 4096; handle += 4)
        number += GetHandleInformation((HANDLE)handle, &flags) != 0;
    return number;
}
#else
/* Returns the number of entries of a folder. */
static UNUSED int entries(const char *path)
{
    DIR *dir = opendir(path);
    int number = 0;
    CHECK(dir != NULL);
    while (readdir(dir) != NULL)
        number++;
    closedir(dir);
    return number;
}

/* Returns the number of open descriptors. */
static UNUSED int descriptors_now(void)
{
    return entries("/proc/self/fd");
}
#endif

/* Returns whether the bytes equal a text. */
static UNUSED int is(transom_bytes bytes, const char *text)
{
    return bytes.data != NULL && bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

/* Adds a route whose handler runs on the thread of its connection. */
static UNUSED transom_status add_inline(transom_server *server, const char *method, const char *pattern,
                                        transom_handler_fn handler, void *user_data, transom_free_fn free_fn)
{
    transom_route *route = transom_route_new(method, pattern, handler, user_data, free_fn);
    OK(transom_route_set_inline(route, true));
    return transom_server_add(server, route, NULL);
}

/* Starts a server on a port that the system picks, and returns the port. */
static UNUSED uint16_t start(transom_server *server)
{
    OK(transom_server_start(server, "127.0.0.1:0", NULL));
    CHECK(transom_server_port(server) != 0);
    return transom_server_port(server);
}

static UNUSED int connect_to(uint16_t port)
{
    struct sockaddr_in address;
    struct timeval patience = {PATIENCE_MS / 1000, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return fd;
}

/* Receives, and begins again if a signal, also one that stops and continues the process, ends the wait. */
static UNUSED ssize_t receive(int fd, void *buf, size_t size, int flags)
{
    ssize_t n;
    do
        n = recv(fd, buf, size, flags);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Reads what has come, and discards it. Waits for a moment if there is nothing. */
static UNUSED void discard(int fd)
{
    static char some[65536];
    ssize_t n = receive(fd, some, sizeof some, MSG_DONTWAIT);
    CHECK(n > 0 || (n < 0 && errno == EAGAIN));
    if (n < 0)
        pause_ms(1);
}

static UNUSED void say(int fd, const char *text)
{
    size_t length = strlen(text);
    CHECK(send(fd, text, length, MSG_NOSIGNAL) == (ssize_t)length);
}

/* Sends a request without a body, after which the server closes the connection. */
static UNUSED void ask(int fd, const char *method, const char *target)
{
    char text[1024];
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", method, target);
    say(fd, text);
}

/* A response, up to the end of the connection. */
struct reply {
    int status;
    char *body;
    size_t length;
    int broken;
    char text[65536];
};

static UNUSED void hear(int fd, struct reply *reply)
{
    ssize_t n;
    reply->length = 0;
    while ((n = receive(fd, reply->text + reply->length, sizeof reply->text - 1 - reply->length, 0)) > 0)
        reply->length += (size_t)n;
    CHECK(n == 0 || errno == ECONNRESET);
    reply->broken = n < 0;
    reply->text[reply->length] = '\0';
    reply->status = 0;
    sscanf(reply->text, "HTTP/1.1 %d", &reply->status);
    reply->body = strstr(reply->text, "\r\n\r\n");
    reply->body = reply->body ? reply->body + 4 : reply->text + reply->length;
    close(fd);
}

static UNUSED int get(uint16_t port, const char *target, struct reply *reply)
{
    int fd = connect_to(port);
    ask(fd, "GET", target);
    hear(fd, reply);
    return reply->status;
}

/* How often in a row there must be no room before a writer counts as full. One long wait would not be
 * enough: on a busy machine the server's thread may only not have had its turn. */
#define FULL_ROUNDS 100

/* Writes until neither the server nor the kernel has room. */
#define FILL(write, handle)                                                                                           \
    do {                                                                                                              \
        static const uint8_t filler_[65536];                                                                          \
        int round_ = 0;                                                                                               \
        while (round_ < FULL_ROUNDS) {                                                                                \
            int full_ = write(handle, filler_, sizeof filler_, 10);                                                   \
            CHECK(full_ == TRANSOM_OK || full_ == TRANSOM_TIMEOUT);                                                   \
            round_ = full_ == TRANSOM_OK ? 0 : round_ + 1;                                                            \
        }                                                                                                             \
    } while (0)

/* Closes a socket so that the other side sees a reset. */
static UNUSED void slam(int fd)
{
    struct linger now = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

/* A free function that counts its calls in the user data. */
static UNUSED void count(void *user_data)
{
    atomic_fetch_add((atomic_int *)user_data, 1);
}

/* A handler for routes that only have to exist. */
static UNUSED void say_hello(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_responder_send_text(responder, 200, "hello");
}

#endif
