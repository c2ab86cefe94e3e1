/* Files as responses: sent whole, in part, refused, or with a client that leaves. The descriptor is closed each time. */
#include "common.h"

#include <fcntl.h>
#ifndef _WIN32
#include <signal.h>
#include <sys/stat.h>
#endif

enum { SIZE = 3000000 };

/* The file, which ends with the process. */
static FILE *file;
static atomic_int refusals;

static char byte_at(size_t at)
{
    return (char)((at * 31) >> 7);
}

#ifdef _WIN32
/* What is known of a handle: whether it is that of a file, or of a pipe. */
typedef DWORD identity;

static FILE *new_file(void)
{
    return fopen("files.data", "wb+");
}

/* Opens the file. */
static int open_file(void)
{
    int fd = open("files.data", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static identity identity_of(int fd)
{
    return GetFileType((HANDLE)posix_descriptor(fd));
}

static int is_open(int fd, identity its)
{
    return identity_of(fd) == its;
}

/* Returns the number of open handles of files, but for those of the folder and the standard streams. */
static int open_descriptors(void)
{
    static int others = -1;
    uintptr_t handle;
    int found = 0;
    for (handle = 4; handle < 4 * 4096; handle += 4)
        found += GetFileType((HANDLE)handle) == FILE_TYPE_DISK;
    if (others < 0)
        others = found - 1;
    return found - others;
}
#else
static FILE *new_file(void)
{
    return tmpfile();
}

/* Opens the file. */
static int open_file(void)
{
    char path[64];
    int fd;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(file));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

typedef struct stat identity;

static identity identity_of(int fd)
{
    struct stat its;
    CHECK(fstat(fd, &its) == 0);
    return its;
}

/* By name: the number may be a socket of the server by now, whose use ThreadSanitizer would take for a race. */
static int is_open(int fd, identity its)
{
    struct stat now;
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return stat(link, &now) == 0 && now.st_dev == its.st_dev && now.st_ino == its.st_ino;
}

/* Returns the number of open descriptors of the file. */
static int open_descriptors(void)
{
    const identity its = identity_of(fileno(file));
    int fd, found = 0;
    for (fd = 0; fd < 256; fd++)
        found += is_open(fd, its);
    return found;
}
#endif

static void whole(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    static const transom_field type = TRANSOM_FIELD("content-type", "application/octet-stream");
    OK(transom_responder_send_file(responder, 200, &type, 1, open_file(), 0, TRANSOM_TO_END, NULL));
}

static void part(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    OK(transom_responder_send_file(responder, 206, NULL, 0, open_file(), 1000, 5000, NULL));
}

static void rest(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    OK(transom_responder_send_file(responder, 200, NULL, 0, open_file(), SIZE - 7, TRANSOM_TO_END, NULL));
}

#ifndef _WIN32
/* A file of /proc, which the kernel makes when it is read: its size is 0. */
static void made(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    /* Files that are endless, or almost. */
    CHECK_STATUS(transom_responder_send_file(responder, 200, NULL, 0, fd, 0, TRANSOM_TO_END, NULL), TRANSOM_IO);
    fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
    OK(transom_responder_send_file(responder, 200, NULL, 0, fd, 0, TRANSOM_TO_END, NULL));
}
#endif

/* A file that is refused is closed, and the responder can still be used. */
static void refused(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_field bad = TRANSOM_FIELD("a", "\n");
    const identity its = identity_of(fileno(file));
    identity of_pipe;
    int pipes[2], fd;
    CHECK_STATUS(transom_responder_send_file(responder, 200, NULL, 0, -1, 0, 1, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_responder_send_file(responder, 200, NULL, 0, 1 << 20, 0, 1, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK(pipe(pipes) == 0);
    of_pipe = identity_of(pipes[0]);
    CHECK_STATUS(transom_responder_send_file(responder, 200, NULL, 0, pipes[0], 0, TRANSOM_TO_END, NULL),
                 TRANSOM_INVALID_ARGUMENT);
    CHECK(!is_open(pipes[0], of_pipe));
    close(pipes[1]);
    fd = open_file();
    CHECK_STATUS(transom_responder_send_file(responder, 200, NULL, 0, fd, 0, SIZE + 1, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK(!is_open(fd, its));
    fd = open_file();
    CHECK_STATUS(transom_responder_send_file(responder, 200, NULL, 0, fd, UINT64_MAX, UINT64_MAX - 1, NULL),
                 TRANSOM_INVALID_ARGUMENT);
    CHECK(!is_open(fd, its));
    fd = open_file();
    CHECK_STATUS(transom_responder_send_file(responder, 200, NULL, 0, fd, SIZE + 1, TRANSOM_TO_END, NULL),
                 TRANSOM_INVALID_ARGUMENT);
    CHECK(!is_open(fd, its));
    fd = open_file();
    CHECK_STATUS(transom_responder_send_file(responder, 200, &bad, 1, fd, 0, 1, NULL), TRANSOM_BAD_HEADER);
    CHECK(!is_open(fd, its));
    fd = open_file();
    CHECK_STATUS(transom_responder_send_file(responder, 99, NULL, 0, fd, 0, 1, NULL), TRANSOM_BAD_STATUS_CODE);
    CHECK(!is_open(fd, its));
    fd = open_file();
    CHECK_STATUS(transom_responder_send_file(NULL, 200, NULL, 0, fd, 0, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(!is_open(fd, its));
    OK(transom_responder_send_text(responder, 200, "after all"));
    fd = open_file();
    CHECK_STATUS(transom_responder_send_file(responder, 200, NULL, 0, fd, 0, 1, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK(!is_open(fd, its));
    atomic_fetch_add(&refusals, 1);
}

/* Reads a response that is too long for a struct reply, and compares its body with these bytes of the file. */
static void expect_part(uint16_t port, const char *target, size_t from, size_t length)
{
    static char text[SIZE + 1000];
    size_t total = 0, i;
    ssize_t n;
    char *body;
    int fd = connect_to(port);
    ask(fd, "GET", target);
    while ((n = receive(fd, text + total, sizeof text - 1 - total, 0)) > 0)
        total += (size_t)n;
    CHECK(n == 0);
    close(fd);
    text[total] = '\0';
    body = strstr(text, "\r\n\r\n");
    CHECK(body != NULL);
    body += 4;
    CHECK(total - (size_t)(body - text) == length);
    for (i = 0; i < length; i++)
        if (body[i] != byte_at(from + i))
            CHECK(!"another byte");
}

static void serve(const char *model)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    uint16_t port;
    int i, before = refusals;

    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_route(server, NULL, "/whole", whole, NULL, NULL, NULL));
    OK(add_inline(server, NULL, "/whole/inline", whole, NULL, NULL));
    OK(transom_server_route(server, NULL, "/part", part, NULL, NULL, NULL));
    OK(transom_server_route(server, NULL, "/rest", rest, NULL, NULL, NULL));
#ifndef _WIN32
    OK(transom_server_route(server, NULL, "/made", made, NULL, NULL, NULL));
#endif
    OK(transom_server_route(server, NULL, "/refused", refused, NULL, NULL, NULL));
    port = start(server);
    expect_part(port, "/whole", 0, SIZE);
    expect_part(port, "/whole/inline", 0, SIZE);
    expect_part(port, "/part", 1000, 5000);
    expect_part(port, "/rest", SIZE - 7, 7);
#ifndef _WIN32
    CHECK(get(port, "/made", &reply) == 200 && strncmp(reply.body, "Linux version ", 14) == 0);
#endif
    CHECK(get(port, "/refused", &reply) == 200);
    CHECK(strcmp(reply.body, "after all") == 0);
    /* The handler checks that the library has closed its descriptors, so nobody may open
       the file before the handler has ended. */
    EVENTUALLY(refusals == before + 1);

    /* Without protection, clients that leave early would kill the process by SIGPIPE. */
    for (i = 0; i < 8; i++) {
        char some[1000];
        int fd = connect_to(port);
        ask(fd, "GET", "/whole");
        CHECK(receive(fd, some, sizeof some, 0) > 0);
        if (i % 2)
            slam(fd);
        else
            close(fd);
    }
    expect_part(port, "/part", 1000, 5000);
    /* The test has one of them open itself. */
    EVENTUALLY(open_descriptors() == 1);
    transom_server_free(server);
}

int main(void)
{
#ifndef _WIN32
    struct sigaction action;
#endif
    size_t i;

    file = new_file();
    CHECK(file != NULL);
    for (i = 0; i < SIZE; i++)
        putc(byte_at(i), file);
    CHECK(fflush(file) == 0);

#ifdef _WIN32
    CHECK(open_descriptors() == 1);
#else
    CHECK(sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
#endif
    serve("event");
    serve("threads");
    serve("sequential");
    CHECK(refusals == 3);
    fclose(file);
    return 0;
}
