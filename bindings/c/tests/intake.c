/* Large bodies that come fast: their reader receives them straight from the socket. What may happen meanwhile. */
#include "common.h"

#define MIB ((size_t)1 << 20)
#define PIECE 65536

/* What is sent at once, before a client does something else. */
#define FAST (4 * MIB)

/* Byte `at` of every body here. */
static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 31 >> 7);
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

/* A client that sends so much of a body of so many bytes, and then some text. */
struct client {
    int fd;
    size_t length, sent;
    const char *after;
    pthread_t thread;
};

static uint8_t body[FAST];

static void *sending(void *argument)
{
    struct client *client = argument;
    char head[256];
    size_t at;
    snprintf(head, sizeof head, "POST /keep HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n\r\n", client->length);
    say(client->fd, head);
    CHECK(client->sent <= sizeof body);
    for (at = 0; at < client->sent;) {
        ssize_t n = send(client->fd, body + at, client->sent - at, MSG_NOSIGNAL);
        if (n <= 0 && errno != EINTR) {
            /* The server has refused it, which happens only to a client that announces more than it sends. */
            CHECK(n < 0 && client->sent < client->length);
            break;
        }
        at += n > 0 ? (size_t)n : 0;
    }
    if (client->after != NULL)
        say(client->fd, client->after);
    return NULL;
}

static void begin(struct client *client, uint16_t port, size_t length, size_t sent, const char *after)
{
    *client = (struct client){connect_to(port), length, sent, after, pthread_self()};
    CHECK(pthread_create(&client->thread, NULL, sending, client) == 0);
}

/* Reads so many bytes, in pieces of that size, each with that timeout, and compares them. Returns what ended the
 * reads: TRANSOM_OK after the last byte. */
static transom_status read_some(const transom_request *request, size_t *at, size_t end, size_t piece, int64_t timeout_ms)
{
    static uint8_t buf[PIECE];
    while (*at < end) {
        size_t left = end - *at, len, i;
        transom_status status = transom_request_read(request, buf, left < piece ? left : piece, timeout_ms, &len);
        if (status == TRANSOM_WOULD_BLOCK || status == TRANSOM_TIMEOUT) {
            CHECK(timeout_ms < PATIENCE_MS);
            pause_ms(1);
            continue;
        }
        if (status != TRANSOM_OK || len == 0)
            return status;
        for (i = 0; i < len; i++)
            CHECK(buf[i] == pattern(*at + i));
        *at += len;
    }
    return TRANSOM_OK;
}

static void at_end(const transom_request *request)
{
    char buf[8];
    size_t len = 1;
    OK(transom_request_read(request, buf, sizeof buf, PATIENCE_MS, &len));
    CHECK(len == 0);
}

/* The next request follows in the same write, and is not taken for the body. */
static void pipelined(uint16_t port, size_t piece, int64_t timeout_ms)
{
    static struct reply reply;
    const char *next = "GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    transom_responder *responder;
    const transom_request *request;
    struct client client;
    size_t at = 0;
    begin(&client, port, FAST, FAST, next);
    request = kept(&responder);
    OK(read_some(request, &at, FAST, piece, timeout_ms));
    at_end(request);
    OK(transom_responder_send_text(responder, 200, "whole"));
    pthread_join(client.thread, NULL);
    hear(client.fd, &reply);
    CHECK(reply.status == 200 && strstr(reply.body, "whole") != NULL && strstr(reply.body, "hello") != NULL);
}

/* The client goes on after a pause, and its reader too. */
static void pauses(uint16_t port)
{
    static struct reply reply;
    transom_responder *responder;
    const transom_request *request;
    struct client client;
    char buf[8];
    size_t at = 0, len;
    begin(&client, port, FAST + 5, FAST, NULL);
    request = kept(&responder);
    OK(read_some(request, &at, FAST, PIECE, PATIENCE_MS));
    CHECK_STATUS(transom_request_read(request, buf, sizeof buf, 0, &len), TRANSOM_WOULD_BLOCK);
    CHECK_STATUS(transom_request_read(request, buf, sizeof buf, 1, &len), TRANSOM_TIMEOUT);
    CHECK_STATUS(transom_request_read(request, buf, sizeof buf, 50, &len), TRANSOM_TIMEOUT);
    pthread_join(client.thread, NULL);
    say(client.fd, "ab");
    OK(transom_request_read(request, buf, sizeof buf, PATIENCE_MS, &len));
    CHECK((len == 2 && memcmp(buf, "ab", 2) == 0) || len == 1);
    say(client.fd, "cde");
    for (at = len; at < 5; at += len)
        OK(transom_request_read(request, buf, sizeof buf, PATIENCE_MS, &len));
    CHECK(buf[len - 1] == 'e');
    at_end(request);
    OK(transom_responder_send_text(responder, 200, "whole"));
    say(client.fd, "GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    hear(client.fd, &reply);
    CHECK(reply.status == 200 && strstr(reply.body, "hello") != NULL);
}

/* The client leaves: the reader is told, also one that does not read, by the event. */
static void leaves(uint16_t port, int is_reset)
{
    transom_events *events = transom_events_new();
    transom_responder *responder;
    const transom_request *request;
    struct client client;
    transom_event event;
    uint32_t count;
    size_t at = 0;
    transom_status status;
    begin(&client, port, 2 * FAST, FAST, NULL);
    request = kept(&responder);
    OK(read_some(request, &at, FAST, PIECE, PATIENCE_MS));
    pthread_join(client.thread, NULL);
    OK(transom_events_watch_request(events, (uint64_t)(uintptr_t)responder));
    if (is_reset)
        slam(client.fd);
    else
        close(client.fd);
    OK(transom_events_next(events, &event, 1, PATIENCE_MS, &count));
    CHECK(event.kind == TRANSOM_EVENT_GONE || event.kind == TRANSOM_EVENT_OVER);
    status = read_some(request, &at, 2 * FAST, PIECE, PATIENCE_MS);
    CHECK_STATUS(status, TRANSOM_GONE);
    transom_responder_free(responder);
    transom_events_free(events);
}

/* A client that stops is refused in time, however its reader waits, which has got all that came. */
static void stops_sending(uint16_t port, int64_t timeout_ms)
{
    transom_responder *responder;
    const transom_request *request;
    struct client client;
    size_t at, tries = 0;
    do {
        /* On a busy machine, a client may stop for so long before it has sent everything. */
        CHECK(tries++ < 50);
        at = 0;
        begin(&client, port, 2 * FAST, FAST, NULL);
        request = kept(&responder);
        CHECK_STATUS(read_some(request, &at, 2 * FAST, PIECE, timeout_ms), TRANSOM_TOO_SLOW);
        pthread_join(client.thread, NULL);
        transom_responder_free(responder);
        close(client.fd);
    } while (at < FAST);
    CHECK(at == FAST);
}

/* A response that does not wait for the rest of the body: the connection goes on after the rest. */
static void answered_early(uint16_t port)
{
    static struct reply reply;
    const char *next = "GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    transom_responder *responder;
    const transom_request *request;
    struct client client;
    size_t at = 0;
    begin(&client, port, FAST, FAST, next);
    request = kept(&responder);
    OK(read_some(request, &at, FAST / 2, PIECE, PATIENCE_MS));
    OK(transom_responder_send_text(responder, 200, "enough"));
    pthread_join(client.thread, NULL);
    hear(client.fd, &reply);
    CHECK(reply.status == 200 && strstr(reply.body, "enough") != NULL && strstr(reply.body, "hello") != NULL);
}

/* Several threads read: each byte goes to one of them. */
struct reader {
    const transom_request *request;
    size_t bytes;
    pthread_t thread;
};

static void *reading(void *argument)
{
    struct reader *reader = argument;
    static _Thread_local uint8_t buf[PIECE];
    size_t len;
    do {
        OK(transom_request_read(reader->request, buf, 20000, PATIENCE_MS, &len));
        reader->bytes += len;
    } while (len > 0);
    return NULL;
}

static void shared(uint16_t port)
{
    static struct reply reply;
    transom_responder *responder;
    struct reader readers[3];
    struct client client;
    size_t i, bytes = 0;
    begin(&client, port, FAST, FAST, NULL);
    const transom_request *request = kept(&responder);
    for (i = 0; i < 3; i++) {
        readers[i] = (struct reader){request, 0, pthread_self()};
        CHECK(pthread_create(&readers[i].thread, NULL, reading, &readers[i]) == 0);
    }
    for (i = 0; i < 3; i++) {
        pthread_join(readers[i].thread, NULL);
        bytes += readers[i].bytes;
    }
    CHECK(bytes == FAST);
    OK(transom_responder_send_text(responder, 200, "all"));
    pthread_join(client.thread, NULL);
    say(client.fd, "GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    hear(client.fd, &reply);
    CHECK(reply.status == 200 && strstr(reply.body, "hello") != NULL);
}

/* The server ends while a reader waits at the socket. */
static void *stopping(void *argument)
{
    OK(transom_server_stop(argument, 10));
    return NULL;
}

static void ends(transom_server *server)
{
    transom_responder *responder;
    const transom_request *request;
    struct client client;
    pthread_t thread;
    size_t at = 0;
    begin(&client, transom_server_port(server), 2 * FAST, FAST, NULL);
    request = kept(&responder);
    OK(read_some(request, &at, FAST, PIECE, PATIENCE_MS));
    CHECK(pthread_create(&thread, NULL, stopping, server) == 0);
    CHECK_STATUS(read_some(request, &at, 2 * FAST, PIECE, PATIENCE_MS), TRANSOM_GONE);
    transom_responder_free(responder);
    pthread_join(client.thread, NULL);
    pthread_join(thread, NULL);
    close(client.fd);
}

static transom_server *serve(const char *model, int64_t body_timeout_ms)
{
    transom_server *server = transom_server_new();
    transom_route *route = transom_route_new("POST", "/keep", keep, NULL, NULL);
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_set_timeout(server, "body", body_timeout_ms, NULL));
    OK(transom_server_set_limit(server, "drain", 2 * FAST, NULL));
    OK(transom_route_set_streaming(route, true));
    OK(transom_route_set_body_limit(route, UINT64_MAX));
    OK(transom_route_set_timeout(route, TRANSOM_FOREVER));
    OK(transom_server_add(server, route, NULL));
    OK(transom_server_route(server, "GET", "/hello", say_hello, NULL, NULL, NULL));
    start(server);
    return server;
}

static void in_model(const char *model)
{
    transom_server *server = serve(model, 200);
    stops_sending(transom_server_port(server), PATIENCE_MS);
    stops_sending(transom_server_port(server), 7);
    stops_sending(transom_server_port(server), 0);
    transom_server_free(server);

    server = serve(model, TRANSOM_FOREVER);
    uint16_t port = transom_server_port(server);
    pipelined(port, PIECE, PATIENCE_MS);
    pipelined(port, 10007, PATIENCE_MS);
    pipelined(port, PIECE, 0);
    pauses(port);
    answered_early(port);
    shared(port);
    leaves(port, 0);
    leaves(port, 1);
    ends(server);
    transom_server_free(server);
}

int main(void)
{
    size_t at;
    for (at = 0; at < FAST; at++)
        body[at] = pattern(at);
    in_model("event");
    in_model("threads");
    in_model("sequential");
    return 0;
}
