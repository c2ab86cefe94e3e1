/* Bodies that are written piece by piece. */
#include "common.h"

static atomic_int outcome;

static void pieces(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_field header = TRANSOM_FIELD("content-type", "text/plain");
    transom_writer *writer;
    OK(transom_responder_start(responder, 200, &header, 1, &writer, NULL));
    CHECK_STATUS(transom_responder_send_text(responder, 200, "x"), TRANSOM_ALREADY_ANSWERED);
    OK(transom_writer_write(writer, "one ", 4, TRANSOM_FOREVER));
    OK(transom_writer_write(writer, NULL, 0, 0));
    CHECK_STATUS(transom_writer_write(writer, "x", 1, -2), TRANSOM_INVALID_ARGUMENT);
    OK(transom_writer_write(writer, "two", TRANSOM_NUL_TERMINATED, 1000));
    OK(transom_writer_finish(writer));
    CHECK_STATUS(transom_writer_write(writer, "x", 1, 0), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_writer_finish(writer), TRANSOM_ALREADY_ANSWERED);
    transom_writer_free(writer);
}

static void cut(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_writer *writer;
    OK(transom_responder_start(responder, 200, NULL, 0, &writer, NULL));
    OK(transom_writer_write(writer, "a part", 6, TRANSOM_FOREVER));
    transom_writer_free(writer);
}

/* Writes until the client takes no more or has left. */
static void flood(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    static const uint8_t piece[16384];
    int64_t timeout = is(transom_request_query(request), "now") ? 0
        : is(transom_request_query(request), "soon")           ? 50
                                                               : TRANSOM_FOREVER;
    transom_writer *writer;
    int status;
    OK(transom_responder_start(responder, 200, NULL, 0, &writer, NULL));
    while ((status = transom_writer_write(writer, piece, sizeof piece, timeout)) == TRANSOM_OK)
        ;
    atomic_store(&outcome, status);
    if (status == TRANSOM_GONE)
        CHECK_STATUS(transom_writer_finish(writer), TRANSOM_GONE);
    else
        transom_writer_free(writer);
}

static int flooded(uint16_t port, const char *target)
{
    int fd = connect_to(port);
    char some[100];
    atomic_store(&outcome, 1);
    ask(fd, "GET", target);
    CHECK(receive(fd, some, sizeof some, 0) > 0);
    if (strchr(target, '?') != NULL)
        EVENTUALLY(atomic_load(&outcome) != 1);
    slam(fd);
    EVENTUALLY(atomic_load(&outcome) != 1);
    return atomic_load(&outcome);
}

static void *write_and_finish(void *writer)
{
    int i;
    for (i = 0; i < 100; i++)
        OK(transom_writer_write(writer, "0123456789", 10, TRANSOM_FOREVER));
    OK(transom_writer_finish(writer));
    return NULL;
}

static void elsewhere(void *user_data, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_writer *writer;
    OK(transom_responder_start(responder, 200, NULL, 0, &writer, NULL));
    CHECK(pthread_create(user_data, NULL, write_and_finish, writer) == 0);
}

static atomic_int has_come;

/* The first bytes come with the head, and the client has them before the rest is written. */
static void *write_the_rest(void *writer)
{
    EVENTUALLY(atomic_load(&has_come));
    OK(transom_writer_write(writer, " rest", 5, TRANSOM_FOREVER));
    OK(transom_writer_finish(writer));
    return NULL;
}

static void together(void *user_data, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_field header = TRANSOM_FIELD("x-a", "1");
    transom_writer *writer;
    OK(transom_responder_start_with(responder, 200, &header, 1, "first", TRANSOM_NUL_TERMINATED, &writer, NULL));
    CHECK(pthread_create(user_data, NULL, write_the_rest, writer) == 0);
}

static void with_all(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_field length = TRANSOM_FIELD("content-length", "5"), broken = TRANSOM_FIELD("a b", "");
    transom_writer *writer;
    CHECK_STATUS(transom_responder_start_with(responder, 200, NULL, 0, NULL, 1, &writer, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_start_with(responder, 200, &broken, 1, "12345", 5, &writer, NULL), TRANSOM_BAD_HEADER);
    CHECK(writer == NULL);
    OK(transom_responder_start_with(responder, 200, &length, 1, "12345", 5, &writer, NULL));
    OK(transom_writer_finish(writer));
    CHECK_STATUS(transom_responder_start_with(responder, 200, NULL, 0, "x", 1, &writer, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK(writer == NULL);
}

/* More than is announced: the rest is not sent. Whether the end of the body says so depends on how far the server is. */
static void with_more(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_field length = TRANSOM_FIELD("content-length", "3");
    transom_writer *writer;
    int status;
    OK(transom_responder_start_with(responder, 200, &length, 1, "12345", 5, &writer, NULL));
    status = transom_writer_finish(writer);
    CHECK(status == TRANSOM_OK || status == TRANSOM_BODY_TOO_LONG);
}

/* Feeds two pieces, which come without an end after the flush. */
static void *feed_and_finish(void *writer)
{
    transom_writer *both[2] = {writer, NULL};
    OK(transom_writer_feed(writer, "one ", 4));
    OK(transom_writer_feed(writer, NULL, 0));
    OK(transom_writer_feed(writer, "two", TRANSOM_NUL_TERMINATED));
    OK(transom_writer_flush(both, 2));
    EVENTUALLY(atomic_load(&has_come));
    OK(transom_writer_feed(writer, " three", 6));
    OK(transom_writer_finish(writer));
    CHECK_STATUS(transom_writer_feed(writer, "x", 1), TRANSOM_ALREADY_ANSWERED);
    OK(transom_writer_flush(both, 1));
    return NULL;
}

static void fed(void *user_data, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_writer *writer;
    OK(transom_responder_start(responder, 200, NULL, 0, &writer, NULL));
    CHECK(pthread_create(user_data, NULL, feed_and_finish, writer) == 0);
}

/* Feeds until there is no room. What was fed is sent then, without a flush, so that there is room again. */
static void *feed_all(void *writer)
{
    static const uint8_t piece[16384];
    size_t left = 64 << 20;
    int waits = 0;
    while (left > 0) {
        int status = transom_writer_feed(writer, piece, sizeof piece);
        CHECK(status == TRANSOM_OK || status == TRANSOM_WOULD_BLOCK);
        if (status == TRANSOM_OK)
            left -= sizeof piece;
        else
            waits++;
    }
    CHECK(waits > 0);
    OK(transom_writer_finish(writer));
    return NULL;
}

static void fed_all(void *user_data, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_writer *writer;
    OK(transom_responder_start_sized(responder, 200, NULL, 0, 64 << 20, &writer, NULL));
    CHECK(pthread_create(user_data, NULL, feed_all, writer) == 0);
}

static void feeding(uint16_t port, pthread_t *writing)
{
    static char text[65536];
    size_t length = 0, count = 0;
    ssize_t n;
    int fd = connect_to(port);
    ask(fd, "GET", "/fed");
    while (strstr(text, "two") == NULL) {
        CHECK((n = receive(fd, text + length, sizeof text - 1 - length, 0)) > 0);
        length += (size_t)n;
    }
    atomic_store(&has_come, 1);
    while ((n = receive(fd, text + length, sizeof text - 1 - length, 0)) > 0)
        length += (size_t)n;
    CHECK(strstr(text, " three") && strstr(text, "\r\n0\r\n\r\n"));
    close(fd);
    pthread_join(*writing, NULL);

    fd = connect_to(port);
    ask(fd, "GET", "/fed/all");
    while ((n = receive(fd, text, sizeof text, 0)) > 0)
        count += (size_t)n;
    CHECK(n == 0 && count > 64 << 20);
    close(fd);
    pthread_join(*writing, NULL);
}

static void starting_with(uint16_t port, pthread_t *writing)
{
    static struct reply reply;
    static char text[4096];
    size_t length;
    ssize_t n;
    int fd = connect_to(port);
    ask(fd, "GET", "/together");
    /* One write, so that one read has all of it. */
    CHECK((n = receive(fd, text, sizeof text - 1, 0)) > 0);
    CHECK(strstr(text, "x-a: 1\r\n") && strstr(text, "\r\n\r\n5\r\nfirst\r\n"));
    atomic_store(&has_come, 1);
    for (length = (size_t)n; (n = receive(fd, text + length, sizeof text - 1 - length, 0)) > 0;)
        length += (size_t)n;
    CHECK(strstr(text, " rest") && strstr(text, "\r\n0\r\n\r\n"));
    close(fd);
    pthread_join(*writing, NULL);
    atomic_store(&has_come, 0);

    CHECK(get(port, "/with/all", &reply) == 200 && strcmp(reply.body, "12345") == 0);
    CHECK(strstr(reply.text, "content-length: 5\r\n"));
    CHECK(get(port, "/with/more", &reply) == 200 && strlen(reply.body) <= 3);
    fd = connect_to(port);
    ask(fd, "HEAD", "/with/all");
    for (length = 0; (n = receive(fd, text + length, sizeof text - 1 - length, 0)) > 0;)
        length += (size_t)n;
    text[length] = 0;
    CHECK(strstr(text, "content-length: 5\r\n") && strstr(text, "\r\n\r\n")[4] == 0);
    close(fd);
}

int main(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    pthread_t writing;
    uint16_t port;

    OK(transom_server_route(server, NULL, "/pieces", pieces, NULL, NULL, NULL));
    OK(add_inline(server, NULL, "/pieces/inline", pieces, NULL, NULL));
    OK(transom_server_route(server, NULL, "/cut", cut, NULL, NULL, NULL));
    OK(transom_server_route(server, NULL, "/flood", flood, NULL, NULL, NULL));
    OK(add_inline(server, NULL, "/flood/inline", flood, NULL, NULL));
    OK(transom_server_route(server, NULL, "/elsewhere", elsewhere, &writing, NULL, NULL));
    OK(transom_server_route(server, NULL, "/together", together, &writing, NULL, NULL));
    OK(transom_server_route(server, NULL, "/with/all", with_all, NULL, NULL, NULL));
    OK(transom_server_route(server, NULL, "/with/more", with_more, NULL, NULL, NULL));
    OK(transom_server_route(server, NULL, "/fed", fed, &writing, NULL, NULL));
    OK(transom_server_route(server, NULL, "/fed/all", fed_all, &writing, NULL, NULL));
    port = start(server);

    CHECK(get(port, "/pieces", &reply) == 200);
    CHECK(strstr(reply.text, "content-type: text/plain\r\n") && strstr(reply.text, "transfer-encoding: chunked\r\n"));
    CHECK(strstr(reply.body, "one ") && strstr(reply.body, "two") && strstr(reply.body, "\r\n0\r\n\r\n"));
    CHECK(get(port, "/pieces/inline", &reply) == 200 && strstr(reply.body, "\r\n0\r\n\r\n"));

    /* A body that was cut off has no last chunk. */
    CHECK(get(port, "/cut", &reply) == 200);
    CHECK(strstr(reply.text, "\r\n0\r\n") == NULL);

    CHECK(flooded(port, "/flood?now") == TRANSOM_WOULD_BLOCK);
    CHECK(flooded(port, "/flood?soon") == TRANSOM_TIMEOUT);
    CHECK(flooded(port, "/flood") == TRANSOM_GONE);
    CHECK(flooded(port, "/flood/inline?now") == TRANSOM_WOULD_BLOCK);
    CHECK(flooded(port, "/flood/inline?soon") == TRANSOM_WOULD_DEADLOCK);

    CHECK(get(port, "/elsewhere", &reply) == 200);
    CHECK(strstr(reply.body, "\r\n0\r\n\r\n"));
    pthread_join(writing, NULL);
    starting_with(port, &writing);
    feeding(port, &writing);
    transom_server_free(server);
    return 0;
}
