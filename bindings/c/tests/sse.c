/* Server-sent events: to one client, to many, and what a client missed. */
#include "common.h"

#define EVENT(text) ((transom_sse_event){.data = TRANSOM_TEXT(text)})

static transom_sse_broadcast *_Atomic news;
static transom_sse *_Atomic kept;
static const transom_sse_settings unset;
static const transom_sse_settings *_Atomic settings = &unset; /* of the next response */

/* Sends some events by itself, in a handler that may block. */
static void some(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_field fields[] = {TRANSOM_FIELD("x-a", "1"), TRANSOM_FIELD("Cache-Control", "private")};
    const transom_sse_event whole = {TRANSOM_TEXT("a\nb\r\n"), TRANSOM_TEXT("news"), TRANSOM_TEXT("7"), 1500};
    const transom_sse_event none = {{NULL, 0}, {NULL, 0}, {(const uint8_t *)"", 0}, 0};
    const transom_sse_event bad_id = {TRANSOM_TEXT("x"), {NULL, 0}, {(const uint8_t *)"1\0", 2}, 0};
    const transom_sse_event bad_name = {TRANSOM_TEXT("x"), TRANSOM_TEXT("a\nb"), {NULL, 0}, 0};
    const transom_sse_event bad_retry = {TRANSOM_TEXT("x"), {NULL, 0}, {NULL, 0}, -1};
    const transom_field bad_field = TRANSOM_FIELD("x y", "1");
    const transom_sse_settings bad_time = {.keep_alive_ms = -2}, bad_stop = {.at_stop = &bad_id};
    transom_sse *sse;
    transom_error *error = NULL;
    CHECK_STATUS(transom_responder_start_sse(responder, &bad_field, 1, NULL, &sse, &error), TRANSOM_BAD_HEADER);
    CHECK(strstr(transom_error_message(error), "x y") != NULL && sse == NULL);
    transom_error_free(error);
    CHECK_STATUS(transom_responder_start_sse(responder, NULL, 0, &bad_time, &sse, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_responder_start_sse(responder, NULL, 0, &bad_stop, &sse, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_responder_start_sse(responder, NULL, 0, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    OK(transom_responder_start_sse(responder, fields, 2, NULL, &sse, NULL));
    CHECK_STATUS(transom_responder_send_text(responder, 200, "x"), TRANSOM_ALREADY_ANSWERED);
    OK(transom_sse_send(sse, &whole, TRANSOM_FOREVER));
    OK(transom_sse_send(sse, &none, 0));
    CHECK_STATUS(transom_sse_send(sse, &bad_id, 0), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_sse_send(sse, &bad_name, 0), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_sse_send(sse, &bad_retry, 0), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_sse_send(sse, &EVENT("\xff"), 0), TRANSOM_NOT_UTF8);
    CHECK_STATUS(transom_sse_send(sse, &EVENT("x"), -2), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_sse_send(sse, NULL, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_sse_send(NULL, &EVENT("x"), 0), TRANSOM_NULL_ARGUMENT);
    OK(transom_sse_send(sse, &EVENT("end"), 1000));
    CHECK(!transom_sse_is_gone(sse));
    transom_sse_free(sse);
    transom_sse_free(sse);
    CHECK_STATUS(transom_sse_send(sse, &EVENT("x"), 0), TRANSOM_ALREADY_ANSWERED);
    CHECK(transom_sse_is_gone(sse) && transom_sse_is_gone(NULL) && transom_sse_queued(sse) == 0);
}

/* Keeps its sender for the test. */
static void keep(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_sse *sse;
    OK(transom_responder_start_sse(responder, NULL, 0, settings, &sse, NULL));
    atomic_store(&kept, sse);
}

static void subscribe(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_bytes id = transom_request_header(request, "last-event-id");
    OK(transom_sse_broadcast_subscribe(news, responder, id, NULL, 0, settings, NULL));
}

static transom_server *serve(const char *model, uint16_t *port)
{
    transom_server *server = transom_server_new();
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_route(server, "GET", "/some", some, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/keep", keep, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/news", subscribe, NULL, NULL, NULL));
    *port = start(server);
    return server;
}

/* Reads until the text has come, and says whether it ends what has come. */
static void await_text(int fd, const char *text)
{
    char got[65536];
    size_t length = 0;
    ssize_t n;
    got[0] = '\0';
    while (strstr(got, text) == NULL) {
        CHECK(length < sizeof got - 1);
        n = receive(fd, got + length, sizeof got - 1 - length, 0);
        CHECK(n > 0);
        length += (size_t)n;
        got[length] = '\0';
    }
}

static void one_client(const char *model)
{
    static struct reply reply;
    uint16_t port;
    transom_server *server = serve(model, &port);
    CHECK(get(port, "/some", &reply) == 200);
    CHECK(strstr(reply.text, "content-type: text/event-stream\r\n") != NULL);
    CHECK(strstr(reply.text, "Cache-Control: private\r\n") != NULL && strstr(reply.text, "no-store") == NULL);
    CHECK(strstr(reply.text, "x-a: 1\r\n") != NULL);
    CHECK(strstr(reply.body, "event: news\nid: 7\nretry: 1500\ndata: a\ndata: b\ndata: \n\n") != NULL);
    CHECK(strstr(reply.body, "id: \n\n") != NULL && strstr(reply.body, "data: end\n\n") != NULL);
    CHECK(strstr(reply.body, "data: x") == NULL && strstr(reply.body, "\r\n0\r\n\r\n") != NULL);
    OK(transom_server_stop(server, PATIENCE_MS));
    transom_server_free(server);
}

/* Comments while there are no events, and the last event at a stop. */
static void quiet(const char *model)
{
    const transom_sse_event bye = {TRANSOM_TEXT(""), TRANSOM_TEXT("bye"), {NULL, 0}, 0};
    static struct reply reply;
    uint16_t port;
    transom_server *server = serve(model, &port);
    int fd = connect_to(port);
    static transom_sse_settings chosen;
    chosen = (transom_sse_settings){.keep_alive_ms = 10, .at_stop = &bye};
    settings = &chosen;
    atomic_store(&kept, NULL);
    ask(fd, "GET", "/keep");
    await_text(fd, ": keep-alive\n\n");
    EVENTUALLY(atomic_load(&kept) != NULL);
    OK(transom_server_stop(server, PATIENCE_MS));
    hear(fd, &reply);
    CHECK(strstr(reply.text, "event: bye\ndata: \n\n\r\n0\r\n\r\n") != NULL);
    CHECK_STATUS(transom_sse_send(kept, &EVENT("x"), 0), TRANSOM_GONE);
    transom_sse_free(kept);
    transom_server_free(server);
}

/* A client that does not read: no room, then room, then it leaves. */
static void slow(const char *model)
{
    static char text[65536];
    static atomic_int writable, gone;
    transom_sse_event event = {.data = {(const uint8_t *)text, sizeof text}};
    uint16_t port;
    transom_server *server = serve(model, &port);
    int fd = connect_to(port), status, rounds = 0;
    writable = gone = 0;
    memset(text, 'x', sizeof text);
    static transom_sse_settings chosen;
    chosen = (transom_sse_settings){.queue_limit = 1000};
    settings = &chosen;
    atomic_store(&kept, NULL);
    ask(fd, "GET", "/keep");
    EVENTUALLY(atomic_load(&kept) != NULL);
    while (rounds < FULL_ROUNDS) {
        status = transom_sse_send(kept, &event, 10);
        CHECK(status == TRANSOM_OK || status == TRANSOM_TIMEOUT);
        rounds = status == TRANSOM_OK ? 0 : rounds + 1;
    }
    CHECK_STATUS(transom_sse_send(kept, &event, 0), TRANSOM_WOULD_BLOCK);
    CHECK(transom_sse_queued(kept) >= 1000);
    OK(transom_sse_on_writable(kept, count, &writable, NULL));
    OK(transom_sse_on_gone(kept, count, &gone, NULL));
    CHECK(writable == 0 && gone == 0);
    while (writable == 0)
        discard(fd);
    /* It is called once, and that there is room does not say that the client left. */
    CHECK(writable == 1 && gone == 0);
    slam(fd);
    EVENTUALLY(gone == 1);
    CHECK_STATUS(transom_sse_send(kept, &event, 0), TRANSOM_GONE);
    transom_sse_free(kept);
    OK(transom_server_stop(server, PATIENCE_MS));
    transom_server_free(server);
}

static void many_clients(void)
{
    static struct reply reply;
    transom_sse_event event = EVENT("first");
    size_t reached = 9;
    uint16_t port;
    transom_server *server = serve("event", &port);
    int fds[20], i, again;
    transom_sse_broadcast *made;
    settings = &unset;
    CHECK_STATUS(transom_sse_broadcast_new(3, 0, &made), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_sse_broadcast_new(TRANSOM_SLOW_READER_CLOSE, 0, NULL), TRANSOM_NULL_ARGUMENT);
    OK(transom_sse_broadcast_new(TRANSOM_SLOW_READER_CLOSE, 2, &made));
    news = made;
    OK(transom_sse_broadcast_send(news, &event, &reached));
    CHECK(reached == 0);
    for (i = 0; i < 20; i++)
        ask(fds[i] = connect_to(port), "GET", "/news");
    EVENTUALLY(transom_sse_broadcast_count(news) == 20);
    for (i = 0; i < 3; i++) {
        char id[2] = {(char)('1' + i), '\0'};
        event = (transom_sse_event){.data = TRANSOM_TEXT("news"), .id = TRANSOM_TEXT(id)};
        OK(transom_sse_broadcast_send(news, &event, &reached));
        CHECK(reached == 20);
    }
    event.id = (transom_bytes){(const uint8_t *)"\n", 1};
    CHECK_STATUS(transom_sse_broadcast_send(news, &event, NULL), TRANSOM_INVALID_ARGUMENT);
    /* A client that comes again gets the last one. */
    again = connect_to(port);
    say(again, "GET /news HTTP/1.1\r\nHost: test\r\nConnection: close\r\nLast-Event-ID: 2\r\n\r\n");
    EVENTUALLY(transom_sse_broadcast_count(news) == 21);
    OK(transom_sse_broadcast_close(news));
    hear(again, &reply);
    CHECK(strstr(reply.body, "id: 2\n") == NULL && strstr(reply.body, "id: 3\ndata: news\n\n\r\n0\r\n") != NULL);
    for (i = 0; i < 20; i++) {
        hear(fds[i], &reply);
        CHECK(strstr(reply.body, "first") == NULL && strstr(reply.body, "id: 1\ndata: news\n\n") != NULL);
        CHECK(strstr(reply.body, "id: 3\ndata: news\n\n") != NULL && strstr(reply.body, "\r\n0\r\n\r\n") != NULL);
    }
    CHECK(transom_sse_broadcast_count(news) == 0);
    /* Freeing ends the responses too. */
    again = connect_to(port);
    ask(again, "GET", "/news");
    EVENTUALLY(transom_sse_broadcast_count(news) == 1);
    transom_sse_broadcast_free(news);
    hear(again, &reply);
    CHECK(reply.status == 200 && strstr(reply.body, "0\r\n\r\n") != NULL);
    transom_sse_broadcast_free(news);
    CHECK_STATUS(transom_sse_broadcast_send(news, &event, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_sse_broadcast_close(news), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_sse_broadcast_close(NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_sse_broadcast_count(news) == 0 && transom_has_feature("sse"));
    OK(transom_server_stop(server, PATIENCE_MS));
    transom_server_free(server);
}

static void nulls(void)
{
    transom_sse *sse;
    const transom_bytes absent = {NULL, 0};
    CHECK_STATUS(transom_responder_start_sse(NULL, NULL, 0, NULL, &sse, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_sse_on_writable(NULL, count, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_sse_on_gone(NULL, count, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_sse_on_writable(NULL, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_sse_on_gone(NULL, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_sse_broadcast_subscribe(NULL, NULL, absent, NULL, 0, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_sse_broadcast_send(NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_sse_queued(NULL) == 0 && transom_sse_broadcast_count(NULL) == 0);
    transom_sse_free(NULL);
    transom_sse_broadcast_free(NULL);
}

int main(void)
{
    static const char *const models[] = {"event", "threads", "sequential"};
    int i;
    for (i = 0; i < 3; i++) {
        one_client(models[i]);
        quiet(models[i]);
        slow(models[i]);
    }
    many_clients();
    nulls();
    return 0;
}
