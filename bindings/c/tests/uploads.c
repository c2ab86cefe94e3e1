/* Request bodies that are read piece by piece, in bounded memory, in each way that the library has. */
#include "common.h"

#include <sys/resource.h>

#define MIB ((size_t)1 << 20)
#define PIECE 65536

static size_t total; /* bytes of a large body */

/* What a reader has seen. */
struct seen {
    _Atomic(size_t) bytes;
    atomic_int end; /* the status that ended the body, or 1 */
};

/* A client that uploads `total` bytes and wants to hear their number. */
struct client {
    uint16_t port;
    const char *path;
    pthread_t thread;
    struct reply reply;
};

static void *upload(void *argument)
{
    static char zeros[PIECE];
    struct client *client = argument;
    int fd = connect_to(client->port);
    size_t left = total;
    char head[256];
    snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
             client->path, total);
    say(fd, head);
    while (left > 0) {
        ssize_t n = send(fd, zeros, left < PIECE ? left : PIECE, MSG_NOSIGNAL);
        CHECK(n > 0 || errno == EINTR);
        left -= n > 0 ? (size_t)n : 0;
    }
    hear(fd, &client->reply);
    return NULL;
}

/* The most memory that the process has had, in bytes. */
static size_t most_memory(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return (size_t)usage.ru_maxrss * 1024;
}

static void answer(transom_responder *responder, size_t bytes)
{
    char text[32];
    snprintf(text, sizeof text, "%zu", bytes);
    OK(transom_responder_send_text(responder, 200, text));
}

/* Reads to the end, waiting for each piece. */
static size_t read_all(const transom_request *request)
{
    static _Thread_local char buf[PIECE];
    size_t bytes = 0, len;
    do {
        OK(transom_request_read(request, buf, sizeof buf, PATIENCE_MS, &len));
        bytes += len;
    } while (len > 0);
    OK(transom_request_read(request, buf, sizeof buf, 0, &len));
    CHECK(len == 0);
    return bytes;
}

static void in_handler(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    CHECK(transom_request_body(request).len == 0);
    answer(responder, read_all(request));
}

struct pair {
    const transom_request *request;
    transom_responder *responder;
};

static void *read_elsewhere(void *argument)
{
    struct pair *pair = argument;
    answer(pair->responder, read_all(pair->request));
    free(pair);
    return NULL;
}

static void on_thread(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    struct pair *pair = malloc(sizeof *pair);
    pthread_t thread;
    *pair = (struct pair){request, responder};
    CHECK(pthread_create(&thread, NULL, read_elsewhere, pair) == 0);
    CHECK(pthread_detach(thread) == 0);
}

/* Reads what has come whenever there is more, and never waits. */
struct readable {
    struct pair pair;
    size_t bytes;
};

static void more(void *user_data)
{
    static _Thread_local char buf[PIECE];
    struct readable *it = user_data;
    size_t len = 1;
    int status;
    while ((status = transom_request_read(it->pair.request, buf, sizeof buf, 0, &len)) == TRANSOM_OK && len > 0)
        it->bytes += len;
    if (status == TRANSOM_WOULD_BLOCK) {
        OK(transom_request_on_readable(it->pair.request, more, it, NULL));
        return;
    }
    OK(status);
    answer(it->pair.responder, it->bytes);
    free(it);
}

static void by_callback(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    struct readable *it = malloc(sizeof *it);
    *it = (struct readable){{request, responder}, 0};
    OK(transom_request_on_readable(request, more, it, NULL));
}

/* Serves one pulled request by events, on the thread of the host. */
static void pull_with_events(transom_server *server, int batch)
{
    static _Alignas(8) char record[65536];
    static char buf[PIECE];
    transom_events *events = transom_events_new();
    transom_responder *responder;
    uint64_t token;
    size_t bytes = 0, len;
    uint32_t count;
    int status;
    if (batch) {
        OK(transom_server_next_batch(server, record, sizeof record, 1, PATIENCE_MS, &count, &len));
        CHECK(((transom_request_record *)record)->flags == TRANSOM_STREAMS);
        CHECK(((transom_request_record *)record)->body_len == 0);
        token = ((transom_request_record *)record)->token;
        responder = transom_token_responder(token);
    } else {
        const transom_request *request;
        OK(transom_server_next(server, &request, &responder, NULL, PATIENCE_MS));
        token = (uint64_t)(uintptr_t)responder;
    }
    for (;;) {
        while ((status = transom_token_read(token, buf, sizeof buf, 0, &len)) == TRANSOM_OK && len > 0)
            bytes += len;
        if (status != TRANSOM_WOULD_BLOCK)
            break;
        transom_event event;
        OK(transom_events_await_body(events, token));
        OK(transom_events_next(events, &event, 1, PATIENCE_MS, &count));
        CHECK(event.kind == TRANSOM_EVENT_READABLE && event.token == token);
    }
    OK(status);
    answer(responder, bytes);
    CHECK_STATUS(transom_token_read(token, buf, sizeof buf, 0, &len), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_events_await_body(events, token), TRANSOM_ALREADY_ANSWERED);
    transom_events_free(events);
}

/* A short body that comes with its head is in the record, and can be read as any other. */
static void short_body(transom_server *server)
{
    static struct reply reply;
    static _Alignas(8) char record[4096];
    const transom_request_record *it = (const transom_request_record *)record;
    char buf[64];
    size_t len, at;
    uint32_t count;
    int fd = connect_to(transom_server_port(server));
    say(fd, "POST /batch HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nConnection: close\r\n\r\nshort");
    OK(transom_server_next_batch(server, record, sizeof record, 1, PATIENCE_MS, &count, &len));
    CHECK(it->flags == TRANSOM_STREAMS && it->body_len == 5);
    at = sizeof *it + it->method_len + it->target_len + it->path_len + it->query_len + it->headers_len + it->peer_len;
    at += sizeof(transom_param_record) + strlen("way") + strlen("batch");
    CHECK(memcmp(record + at, "short", 5) == 0);
    OK(transom_token_read(it->token, buf, 3, 0, &len));
    CHECK(len == 3 && memcmp(buf, "sho", 3) == 0);
    OK(transom_token_read(it->token, buf, sizeof buf, 0, &len));
    CHECK(len == 2 && memcmp(buf, "rt", 2) == 0);
    OK(transom_token_read(it->token, buf, sizeof buf, 0, &len));
    CHECK(len == 0);
    answer(transom_token_responder(it->token), 5);
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "5") == 0);
}

/* Sends the body back while it comes. */
static void echo(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    static _Thread_local char buf[PIECE];
    transom_writer *writer;
    size_t len;
    OK(transom_responder_start(responder, 200, NULL, 0, &writer, NULL));
    for (;;) {
        OK(transom_request_read(request, buf, sizeof buf, PATIENCE_MS, &len));
        if (len == 0)
            break;
        OK(transom_writer_write(writer, buf, len, PATIENCE_MS));
    }
    OK(transom_writer_finish(writer));
}

/* Keeps what it got. */
static _Atomic(const transom_request *) kept_request;
static _Atomic(transom_responder *) kept_responder;

static void keep(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    atomic_store(&kept_request, request);
    atomic_store(&kept_responder, responder);
}

static const transom_request *kept(transom_responder **responder)
{
    EVENTUALLY(atomic_load(&kept_responder) != NULL);
    *responder = atomic_exchange(&kept_responder, NULL);
    return atomic_load(&kept_request);
}

/* "100 Continue" goes out with the first read, trailers come after the end. */
static void continues(uint16_t port)
{
    static struct reply reply;
    transom_responder *responder;
    const transom_request *request;
    transom_field field;
    char buf[64];
    size_t len;
    int fd = connect_to(port);
    say(fd, "POST /keep HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n"
            "Connection: close\r\n\r\n");
    request = kept(&responder);
    CHECK(receive(fd, buf, sizeof buf, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    CHECK_STATUS(transom_request_read(request, buf, sizeof buf, 0, &len), TRANSOM_WOULD_BLOCK);
    CHECK(receive(fd, buf, 25, MSG_WAITALL) == 25 && memcmp(buf, "HTTP/1.1 100 Continue\r\n\r\n", 25) == 0);
    CHECK_STATUS(transom_request_read(request, buf, sizeof buf, 1, &len), TRANSOM_TIMEOUT);
    CHECK(transom_request_trailer(request, "x-sum").data == NULL);
    say(fd, "4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n");
    OK(transom_request_read(request, buf, 3, PATIENCE_MS, &len));
    CHECK(len == 3 && memcmp(buf, "bod", 3) == 0);
    OK(transom_request_read(request, buf, sizeof buf, PATIENCE_MS, &len));
    CHECK(len == 1 && buf[0] == 'y');
    OK(transom_request_read(request, buf, sizeof buf, PATIENCE_MS, &len));
    CHECK(len == 0 && is(transom_request_trailer(request, "x-sum"), "42"));
    OK(transom_request_trailer_at(request, 0, &field));
    CHECK(is(field.name, "X-Sum") && is(field.value, "42"));
    CHECK_STATUS(transom_request_trailer_at(request, 1, &field), TRANSOM_OUT_OF_RANGE);
    OK(transom_responder_send_text(responder, 200, "read"));
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "read") == 0);
}

/* A client that stops sending, on a server where a body has little time. */
static void too_slow(uint16_t port)
{
    transom_responder *responder;
    const transom_request *request;
    char buf[64];
    size_t len;
    int fd = connect_to(port);
    say(fd, "POST /keep HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n");
    request = kept(&responder);
    CHECK_STATUS(transom_request_read(request, buf, sizeof buf, PATIENCE_MS, &len), TRANSOM_TOO_SLOW);
    transom_responder_free(responder);
    close(fd);
}

/* Bodies that do not end well. */
static void broken(uint16_t port)
{
    static struct reply reply;
    transom_responder *responder;
    const transom_request *request;
    char buf[64];
    size_t len;

    /* The client leaves. */
    int fd = connect_to(port);
    say(fd, "POST /keep HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nsome");
    request = kept(&responder);
    OK(transom_request_read(request, buf, sizeof buf, PATIENCE_MS, &len));
    CHECK(len == 4);
    slam(fd);
    CHECK_STATUS(transom_request_read(request, buf, sizeof buf, PATIENCE_MS, &len), TRANSOM_GONE);
    CHECK(len == 0);
    CHECK_STATUS(transom_request_read(request, buf, sizeof buf, 0, &len), TRANSOM_GONE);
    transom_responder_free(responder);

    /* More than the limit, and no chunk. A response can still be sent. */
    fd = connect_to(port);
    say(fd, "POST /limited HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    request = kept(&responder);
    CHECK_STATUS(transom_request_read(request, buf, sizeof buf, PATIENCE_MS, &len), TRANSOM_BODY_TOO_LARGE);
    OK(transom_responder_send_text(responder, 413, "too much"));
    hear(fd, &reply);
    CHECK(reply.status == 413);
    fd = connect_to(port);
    say(fd, "POST /keep HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n");
    request = kept(&responder);
    CHECK_STATUS(transom_request_read(request, buf, sizeof buf, PATIENCE_MS, &len), TRANSOM_BAD_BODY);
    OK(transom_responder_send_text(responder, 400, "no chunk"));
    hear(fd, &reply);
    CHECK(reply.status == 400);

    /* Answered before the body was read. */
    fd = connect_to(port);
    say(fd, "POST /keep HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody");
    request = kept(&responder);
    CHECK_STATUS(transom_request_read(request, buf, 0, 0, &len), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_request_read(request, buf, sizeof buf, -2, &len), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_request_read(request, NULL, 1, 0, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_request_read(request, buf, sizeof buf, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_request_on_readable(request, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    OK(transom_responder_send_text(responder, 200, "unread"));
    hear(fd, &reply);
    CHECK(reply.status == 200);
}

/* A body in memory can be read in the same way. */
static void whole(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    char buf[3];
    size_t len;
    CHECK_STATUS(transom_request_on_readable(request, more, NULL, NULL), TRANSOM_INVALID_ARGUMENT);
    OK(transom_request_read(request, buf, sizeof buf, 0, &len));
    CHECK(len == 3 && memcmp(buf, "bod", 3) == 0);
    answer(responder, 3 + read_all(request));
}

static transom_route *streaming(const char *pattern, transom_handler_fn handler)
{
    transom_route *route = transom_route_new("POST", pattern, handler, NULL, NULL);
    OK(transom_route_set_streaming(route, true));
    OK(transom_route_set_body_limit(route, strcmp(pattern, "/limited") == 0 ? 4 : UINT64_MAX));
    OK(transom_route_set_timeout(route, TRANSOM_FOREVER));
    return route;
}

/* Returns a server that is started, with routes for everything above. */
static transom_server *serve(const char *model, int64_t body_timeout_ms)
{
    transom_server *server = transom_server_new();
    transom_route *pulled = transom_route_new_pull("POST", "/{way}", 0);
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_set_timeout(server, "body", body_timeout_ms, NULL));
    OK(transom_server_add(server, streaming("/handler", in_handler), NULL));
    OK(transom_server_add(server, streaming("/thread", on_thread), NULL));
    OK(transom_server_add(server, streaming("/callback", by_callback), NULL));
    OK(transom_server_add(server, streaming("/echo", echo), NULL));
    OK(transom_server_add(server, streaming("/keep", keep), NULL));
    OK(transom_server_add(server, streaming("/limited", keep), NULL));
    OK(transom_server_route(server, "POST", "/whole", whole, NULL, NULL, NULL));
    OK(transom_route_set_streaming(pulled, true));
    OK(transom_route_set_body_limit(pulled, UINT64_MAX));
    OK(transom_route_set_timeout(pulled, TRANSOM_FOREVER));
    OK(transom_server_add(server, pulled, NULL));
    start(server);
    return server;
}

static void in_model(const char *model)
{
    static const char *const paths[] = {"/handler", "/thread", "/callback", "/next", "/batch"};
    static struct client client;
    static struct reply reply;
    transom_server *server = serve(model, 100);
    char expected[32];
    size_t i, before;
    int fd;
    too_slow(transom_server_port(server));
    transom_server_free(server);

    server = serve(model, TRANSOM_FOREVER);
    client.port = transom_server_port(server);
    broken(client.port);
    continues(client.port);
    short_body(server);
    fd = connect_to(client.port);
    say(fd, "POST /whole HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody");
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "4") == 0);
    fd = connect_to(client.port);
    say(fd, "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    hear(fd, &reply);
    CHECK(reply.status == 200 && strstr(reply.body, "hello") != NULL && strstr(reply.body, " world") != NULL);

    before = most_memory();
    snprintf(expected, sizeof expected, "%zu", total);
    for (i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        client.path = paths[i];
        CHECK(pthread_create(&client.thread, NULL, upload, &client) == 0);
        if (i >= 3)
            pull_with_events(server, i == 4);
        pthread_join(client.thread, NULL);
        CHECK(client.reply.status == 200 && strcmp(client.reply.body, expected) == 0);
    }
    /* A memory checker needs memory of its own. */
    CHECK(getenv("TRANSOM_TEST_WRAPPER") != NULL || getenv("TRANSOM_TEST_CFLAGS") != NULL || most_memory() < before + 16 * MIB);
    transom_server_free(server);
}

int main(void)
{
    const char *mib = getenv("TRANSOM_TEST_UPLOAD_MIB");
    total = (mib ? (size_t)atol(mib) : 64) * MIB;
    in_model("event");
    /* The other models read in the same way, so less is enough. */
    total = total < 64 * MIB ? total : 64 * MIB;
    in_model("threads");
    in_model("sequential");
    return 0;
}
