/* Requests fetched in batches, and answered in batches. */
#include "common.h"

#include <poll.h>

typedef transom_request_record record;

static _Alignas(8) uint8_t in[65536], out[65536];

/* Appends a response record to `out` at `at`. Returns the place of the next. */
static size_t pack(size_t at, uint64_t token, uint16_t status, const char *headers, const char *body)
{
    transom_response_record answer = {0, status, 0, token, (uint32_t)strlen(headers), 0, strlen(body)};
    size_t length = sizeof answer + answer.headers_len + answer.body_len;
    answer.record_len = (uint32_t)((length + 7) / 8 * 8);
    CHECK(at + answer.record_len <= sizeof out);
    memset(out + at, 0, answer.record_len);
    memcpy(out + at, &answer, sizeof answer);
    memcpy(out + at + sizeof answer, headers, answer.headers_len);
    memcpy(out + at + sizeof answer + answer.headers_len, body, answer.body_len);
    return at + answer.record_len;
}

static int respond(transom_server *server, uint64_t token, uint16_t status, const char *headers, const char *body)
{
    size_t length = pack(0, token, status, headers, body);
    int32_t result = 1;
    uint32_t done = 0;
    OK(transom_server_respond_batch(server, out, length, &result, 1, &done));
    CHECK(done == 1);
    return result;
}

/* Waits for exactly one request. */
static record *next(transom_server *server)
{
    uint32_t number;
    size_t length;
    record *request = (record *)in;
    OK(transom_server_next_batch(server, in, sizeof in, 1, PATIENCE_MS, &number, &length));
    CHECK(number == 1 && length == request->record_len && length % 8 == 0);
    return request;
}

static int is_readable(int fd)
{
    struct pollfd event = {fd, POLLIN, 0};
    return poll(&event, 1, 0) == 1;
}

static int readable(const int *fds, int number)
{
    int i, readable = 0;
    for (i = 0; i < number; i++)
        readable += is_readable(fds[i]);
    return readable;
}

static void one(transom_server *server, uint16_t port)
{
    static struct reply reply;
    static const char expected[] = "PUT/items/a%20b?x=1/items/a%20bx=1"
                                   "Host: test\r\nContent-Length: 4\r\nConnection: close\r\n";
    record *request;
    uint64_t token;
    uint32_t lengths[2];
    const uint8_t *at;
    int fd = connect_to(port);
    say(fd, "PUT /items/a%20b?x=1 HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody");
    request = next(server);
    token = request->token;
    CHECK(request->route_id == 7 && request->version == 11 && request->flags == 1);
    CHECK(request->method_len == 3 && request->target_len == 16 && request->path_len == 12 && request->query_len == 3);
    CHECK(request->param_count == 1 && request->body_len == 4);
    at = in + sizeof *request;
    CHECK(memcmp(at, expected, strlen(expected)) == 0);
    at += strlen(expected);
    CHECK(memcmp(at, "127.0.0.1:", 10) == 0);
    at += request->peer_len;
    memcpy(lengths, at, sizeof lengths);
    CHECK(lengths[0] == 2 && lengths[1] == 3 && memcmp(at + sizeof lengths, "ida b", 5) == 0);
    CHECK(memcmp(at + sizeof lengths + 5, "body", 4) == 0);

    CHECK(respond(server, token, 201, "x-a: 1\r\nx-b: 2\r\n", "made") == TRANSOM_OK);
    CHECK(respond(server, token, 201, "", "again") == TRANSOM_ALREADY_ANSWERED);
    CHECK(respond(server, 0, 201, "", "nobody") == TRANSOM_ALREADY_ANSWERED);
    CHECK(respond(server, token + 1, 201, "", "nobody") == TRANSOM_ALREADY_ANSWERED);
    hear(fd, &reply);
    CHECK(reply.status == 201 && strcmp(reply.body, "made") == 0);
    CHECK(strstr(reply.text, "x-a: 1\r\nx-b: 2\r\n"));
}

/* Requests one by one, as objects. */
static void objects(transom_server *server, uint16_t port)
{
    static struct reply reply;
    const transom_request *request;
    transom_responder *responder, *first;
    uint32_t route = 0;
    int fd = connect_to(port);
    say(fd, "PUT /items/a%20b?x=1 HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody");
    OK(transom_server_next(server, &request, &first, &route, PATIENCE_MS));
    CHECK(route == 7 && is(transom_request_method(request), "PUT"));
    CHECK(is(transom_request_param(request, "id"), "a b") && is(transom_request_body(request), "body"));
    CHECK_STATUS(transom_server_next(server, &request, &responder, NULL, 0), TRANSOM_TIMEOUT);
    CHECK(request == NULL && responder == NULL);
    OK(transom_responder_send_text(first, 200, "one"));
    hear(fd, &reply);
    CHECK(strcmp(reply.body, "one") == 0);

    /* One that waits comes at once; the request is readable until it is answered. */
    fd = connect_to(port);
    ask(fd, "GET", "/other");
    OK(transom_server_next(server, &request, &responder, NULL, TRANSOM_FOREVER));
    CHECK(is(transom_request_target(request), "/other"));
    OK(transom_responder_send_text(responder, 200, "as an object"));
    CHECK_STATUS(transom_responder_send_text(responder, 200, "again"), TRANSOM_ALREADY_ANSWERED);
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "as an object") == 0);
}

static void many(transom_server *server, uint16_t port)
{
    static struct reply reply;
    int32_t results[8];
    uint32_t number, done, i;
    size_t length, at, end;
    int fds[8], event = transom_server_event_fd(server);
    record request;

    CHECK(event >= 0 && event == transom_server_event_fd(server));
    CHECK(!is_readable(event));
    CHECK_STATUS(transom_server_next_batch(server, in, sizeof in, 8, 0, &number, &length), TRANSOM_TIMEOUT);
    CHECK_STATUS(transom_server_next_batch(server, in, sizeof in, 8, 20, &number, &length), TRANSOM_TIMEOUT);
    CHECK_STATUS(transom_server_next_batch(server, in, sizeof in, 0, 0, &number, &length), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_next_batch(server, in, sizeof in, 1, -2, &number, &length), TRANSOM_INVALID_ARGUMENT);
    for (i = 0; i < 8; i++) {
        fds[i] = connect_to(port);
        ask(fds[i], "GET", "/other");
    }
    EVENTUALLY(is_readable(event));
    /* The buffer is too small for the first record: the request stays queued. */
    CHECK_STATUS(transom_server_next_batch(server, in, 64, 8, 0, &number, &length), TRANSOM_BUFFER_TOO_SMALL);
    CHECK(number == 0 && length > 64);
    CHECK_STATUS(transom_server_next_batch(server, NULL, 0, 8, 0, &number, &length), TRANSOM_BUFFER_TOO_SMALL);
    CHECK(is_readable(event));
    OK(transom_server_next_batch(server, in, length, 8, 0, &number, &length));
    CHECK(number == 1);
    memcpy(&request, in, sizeof request);
    CHECK(request.route_id == 9 && request.flags == 0);
    CHECK(respond(server, request.token, 200, "", "first") == TRANSOM_OK);
    /* Fetches the other requests in several batches. */
    for (i = 1; i < 8; i += number) {
        OK(transom_server_next_batch(server, in, sizeof in, 100, PATIENCE_MS, &number, &length));
        CHECK(number >= 1 && i + number <= 8);
        end = 0;
        for (at = 0; at < length; at += request.record_len) {
            memcpy(&request, in + at, sizeof request);
            end = pack(end, request.token, 200, "", "rest");
        }
        OK(transom_server_respond_batch(server, out, end, results, 8, &done));
        CHECK(done == number && results[0] == TRANSOM_OK && results[number - 1] == TRANSOM_OK);
    }
    CHECK(!is_readable(event));
    for (i = 0; i < 8; i++) {
        hear(fds[i], &reply);
        CHECK(reply.status == 200);
    }
}

static void broken_answers(transom_server *server, uint16_t port)
{
    static struct reply reply;
    static const char *const headers[] = {"no colon\r\n", "a b: 1\r\n", ": 1\r\n", "a: \x01\r\n"};
    transom_response_record answer;
    int32_t results[2] = {1, 1};
    uint32_t done = 9;
    uint64_t token;
    size_t i, length;
    int fd;

    for (i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        fd = connect_to(port);
        ask(fd, "GET", "/other");
        CHECK(respond(server, next(server)->token, 200, headers[i], "") == TRANSOM_BAD_HEADER);
        hear(fd, &reply);
        CHECK(reply.status == 500);
    }
    fd = connect_to(port);
    ask(fd, "GET", "/other");
    CHECK(respond(server, next(server)->token, 199, "", "") == TRANSOM_BAD_STATUS_CODE);
    hear(fd, &reply);
    CHECK(reply.status == 500);

    /* A good record before a malformed one is processed. */
    OK(transom_server_respond_batch(server, out, 0, NULL, 0, &done));
    CHECK(done == 0);
    for (i = 0; i < 8; i++) {
        fd = connect_to(port);
        ask(fd, "GET", "/other");
        token = next(server)->token;
        length = pack(pack(0, token, 200, "", "good"), token, 200, "", "bad.");
        memcpy(&answer, out + 40, sizeof answer);
        switch (i) {
        case 0: answer.record_len = 0; break;
        case 1: answer.record_len = 36; break;
        case 2: answer.record_len = 48; break;
        case 3: answer.record_len = UINT32_MAX; break;
        case 4: answer.flags = 2; break;
        case 5: answer.reserved = 1; break;
        case 6: answer.body_len = UINT64_MAX; break;
        case 7: length -= 1; break;
        }
        memcpy(out + 40, &answer, sizeof answer);
        CHECK_STATUS(transom_server_respond_batch(server, out, length, results, 2, &done), TRANSOM_MALFORMED);
        CHECK(done == 1 && results[0] == TRANSOM_OK && results[1] == 1);
        hear(fd, &reply);
        CHECK(reply.status == 200 && strcmp(reply.body, "good") == 0);
    }
}

/* The length of a body need not be announced. */
static void without_length(transom_server *server, uint16_t port)
{
    static struct reply reply;
    transom_response_record answer;
    int32_t result = 1;
    uint32_t done;
    size_t length;
    int fd = connect_to(port);
    ask(fd, "GET", "/other");
    length = pack(0, next(server)->token, 200, "x-a: 1\r\n", "in a chunk");
    memcpy(&answer, out, sizeof answer);
    answer.flags = TRANSOM_WITHOUT_LENGTH;
    memcpy(out, &answer, sizeof answer);
    OK(transom_server_respond_batch(server, out, length, &result, 1, &done));
    CHECK(done == 1 && result == TRANSOM_OK);
    hear(fd, &reply);
    CHECK(reply.status == 200 && strstr(reply.text, "transfer-encoding: chunked") != NULL);
    CHECK(strstr(reply.text, "content-length") == NULL && strcmp(reply.body, "a\r\nin a chunk\r\n0\r\n\r\n") == 0);
}

/* A token can be used as a responder. */
static void tokens(transom_server *server, uint16_t port)
{
    static struct reply reply;
    transom_writer *writer;
    transom_responder *responder;
    atomic_int told = 0;
    uint64_t token;
    int fd = connect_to(port);
    ask(fd, "GET", "/other");
    token = next(server)->token;
    responder = transom_token_responder(token);
    CHECK((uint64_t)(uintptr_t)responder == token);
    OK(transom_responder_start(responder, 200, NULL, 0, &writer, NULL));
    OK(transom_writer_write(writer, "streamed", 8, 0));
    OK(transom_writer_finish(writer));
    CHECK(respond(server, token, 200, "", "again") == TRANSOM_ALREADY_ANSWERED);
    hear(fd, &reply);
    CHECK(reply.status == 200 && strstr(reply.body, "streamed"));

    fd = connect_to(port);
    ask(fd, "GET", "/other");
    responder = transom_token_responder(next(server)->token);
    OK(transom_responder_on_gone(responder, count, &told, NULL));
    slam(fd);
    EVENTUALLY(told == 1);
    transom_responder_free(responder);

    fd = connect_to(port);
    ask(fd, "GET", "/other");
    transom_responder_free(transom_token_responder(next(server)->token));
    hear(fd, &reply);
    CHECK(reply.status == 500);
}

/* The queue holds as many requests as its limit. */
static void full(transom_server *server, uint16_t port)
{
    static struct reply reply;
    uint32_t i, number;
    size_t at, length, end = 0;
    int fds[20], event = transom_server_event_fd(server);
    record request;
    for (i = 0; i < 20; i++) {
        fds[i] = connect_to(port);
        ask(fds[i], "GET", "/other");
    }
    /* Four are refused at once, the others wait for their responses. */
    EVENTUALLY(readable(fds, 20) == 4);
    OK(transom_server_next_batch(server, in, sizeof in, 100, PATIENCE_MS, &number, &length));
    CHECK(number == 16);
    CHECK(!is_readable(event));
    for (at = 0; at < length; at += request.record_len) {
        memcpy(&request, in + at, sizeof request);
        end = pack(end, request.token, 200, "", "taken");
    }
    OK(transom_server_respond_batch(server, out, end, NULL, 0, &number));
    CHECK(number == 16);
    for (i = 0, number = 0; i < 20; i++) {
        hear(fds[i], &reply);
        CHECK(reply.status == 200 || reply.status == 503);
        number += reply.status == 200;
    }
    CHECK(number == 16);
}

/* Requests for which nobody waits any more are not fetched. */
static void too_late(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    transom_route *short_route = transom_route_new_pull("GET", "/late", 1);
    record *request;
    uint16_t port;
    int i, fd, late[3];
    OK(transom_server_set_fallback(server, transom_route_new_pull(NULL, NULL, 1), NULL));
    /* The request that is answered has all the time that it needs. */
    OK(transom_route_set_timeout(short_route, 200));
    OK(transom_server_add(server, short_route, NULL));
    port = start(server);
    for (i = 0; i < 3; i++) {
        late[i] = connect_to(port);
        ask(late[i], "GET", "/late");
    }
    for (i = 0; i < 3; i++) {
        hear(late[i], &reply);
        CHECK(reply.status == 503);
    }
    fd = connect_to(port);
    ask(fd, "GET", "/current");
    request = next(server);
    CHECK(request->path_len == 8);
    CHECK(respond(server, request->token, 200, "", "") == TRANSOM_OK);
    hear(fd, &reply);
    CHECK(reply.status == 200);
    transom_server_free(server);
}

/* A thread that pulls until the server has stopped. */
static void *pull(void *server)
{
    static _Alignas(8) _Thread_local uint8_t mine[4096];
    uint32_t number;
    size_t length;
    int status;
    while ((status = transom_server_next_batch(server, mine, sizeof mine, 1, TRANSOM_FOREVER, &number, &length))
           == TRANSOM_OK)
        OK(transom_responder_send_text(transom_token_responder(((record *)mine)->token), 200, "pulled"));
    CHECK_STATUS(status, TRANSOM_STOPPED);
    return NULL;
}

static void stopping(transom_server *server, uint16_t port)
{
    static struct reply reply;
    pthread_t pullers[3];
    int fd, i, event = transom_server_event_fd(server);
    uint32_t number;
    size_t length;
    const transom_request *request;
    transom_responder *responder;

    /* Requests that are queued when the stop begins can still be answered. */
    fd = connect_to(port);
    ask(fd, "GET", "/other");
    EVENTUALLY(is_readable(event));
    OK(transom_server_stop(server, PATIENCE_MS));
    for (i = 0; i < 3; i++)
        CHECK(pthread_create(&pullers[i], NULL, pull, server) == 0);
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "pulled") == 0);
    for (i = 0; i < 3; i++)
        pthread_join(pullers[i], NULL);
    OK(transom_server_wait(server, PATIENCE_MS));
    CHECK(is_readable(event));
    CHECK_STATUS(transom_server_next_batch(server, in, sizeof in, 1, TRANSOM_FOREVER, &number, &length),
                 TRANSOM_STOPPED);
    CHECK_STATUS(transom_server_next(server, &request, &responder, NULL, TRANSOM_FOREVER), TRANSOM_STOPPED);
}

int main(void)
{
    transom_server *server = transom_server_new();
    uint16_t port;
    int fd;
    OK(transom_server_add(server, transom_route_new_pull("PUT", "/items/{id}", 7), NULL));
    OK(transom_server_set_fallback(server, transom_route_new_pull(NULL, NULL, 9), NULL));
    OK(transom_server_set_limit(server, "pool_queue", 16, NULL));
    port = start(server);
    one(server, port);
    objects(server, port);
    many(server, port);
    broken_answers(server, port);
    without_length(server, port);
    tokens(server, port);
    full(server, port);
    stopping(server, port);
    transom_server_free(server);
    too_late();

    /* The server is freed while requests are queued. */
    server = transom_server_new();
    OK(transom_server_set_fallback(server, transom_route_new_pull(NULL, NULL, 1), NULL));
    OK(transom_server_set_timeout(server, "stop", 100, NULL));
    fd = connect_to(start(server));
    ask(fd, "GET", "/");
    EVENTUALLY(is_readable(transom_server_event_fd(server)));
    transom_server_free(server);
    close(fd);
    return 0;
}
