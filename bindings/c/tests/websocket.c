/* WebSocket connections in each model: by handlers that wait, threads, callbacks, events and batches. */
#include "websocket.h"

#define SENDERS 4
#define MESSAGES 500

static transom_server *server;
static transom_websocket *_Atomic kept;
static atomic_int told, freed, ended;

static void tell(void *user_data)
{
    count(user_data);
}

static void count_free(void *user_data UNUSED)
{
    count(&freed);
}

static transom_websocket *accept_one(transom_responder *responder)
{
    const transom_field field = TRANSOM_FIELD("x-accept", "1"), malformed = TRANSOM_FIELD("x y", "1");
    transom_websocket *socket, *other;
    transom_error *error = NULL;
    CHECK_STATUS(transom_responder_accept_websocket(responder, NULL, &malformed, 1, &socket, &error), TRANSOM_BAD_HEADER);
    CHECK(socket == NULL && strstr(transom_error_message(error), "x y") != NULL);
    transom_error_free(error);
    OK(transom_responder_accept_websocket(responder, NULL, &field, 1, &socket, &error));
    CHECK(socket != NULL && error == NULL);
    CHECK_STATUS(transom_responder_accept_websocket(responder, NULL, NULL, 0, &other, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK(other == NULL);
    return socket;
}

static void check_stale(transom_websocket *socket)
{
    transom_websocket_message *message;
    char buf[4];
    CHECK_STATUS(transom_websocket_receive(socket, 0, &message), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, "x", 1, 0), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_websocket_feed(socket, TRANSOM_WEBSOCKET_TEXT, "x", 1), TRANSOM_ALREADY_ANSWERED);
    OK(transom_websocket_flush(&socket, 1));
    CHECK_STATUS(transom_websocket_ping(socket, "x", 1), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_websocket_close(socket, 1000, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK(transom_websocket_is_closed(socket) && transom_websocket_close_code(socket) == 0);
    CHECK(transom_websocket_queued(socket) == 0 && !transom_websocket_is_compressed(socket));
    CHECK(transom_websocket_close_reason(socket, buf, sizeof buf) == 0 && buf[0] == '\0');
    CHECK(transom_websocket_subprotocol(socket, buf, sizeof buf) == 0 && buf[0] == '\0');
    transom_websocket_free(socket);
}

/* Sends back what comes, until the end. */
static void echo_all(transom_websocket *socket)
{
    transom_websocket_message *message;
    int status;
    OK(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, "hi", TRANSOM_NUL_TERMINATED, TRANSOM_FOREVER));
    while ((status = transom_websocket_receive(socket, TRANSOM_FOREVER, &message)) == TRANSOM_OK) {
        CHECK(message->is_last);
        OK(transom_websocket_send_message(socket, &message, TRANSOM_FOREVER));
        CHECK(message == NULL);
    }
    CHECK_STATUS(status, TRANSOM_GONE);
    CHECK(message == NULL && transom_websocket_close_code(socket) == 4000 && transom_websocket_is_closed(socket));
    CHECK_STATUS(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, "x", 1, 0), TRANSOM_GONE);
    transom_websocket_free(socket);
    check_stale(socket);
    count(&ended);
}

static void in_handler(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    echo_all(accept_one(responder));
}

/* In a handler that must not wait. */
static void in_line(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_websocket *socket = accept_one(responder);
    transom_websocket_message *message;
    CHECK_STATUS(transom_websocket_receive(socket, 0, &message), TRANSOM_WOULD_BLOCK);
    CHECK_STATUS(transom_websocket_receive(socket, TRANSOM_FOREVER, &message), TRANSOM_WOULD_DEADLOCK);
    CHECK(message == NULL);
    OK(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, "in line", 7, TRANSOM_FOREVER));
    OK(transom_websocket_close(socket, 3000, "that was all"));
    OK(transom_websocket_close(socket, 3001, "too late"));
    transom_websocket_free(socket);
}

static void *echo_on_thread(void *socket)
{
    echo_all(socket);
    return NULL;
}

static void on_thread(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, echo_on_thread, accept_one(responder)) == 0);
    pthread_detach(thread);
}

/* By callbacks, which register themselves again. */
static void echo_more(void *socket)
{
    static _Thread_local char buf[262144];
    size_t len;
    int32_t kind;
    bool is_last;
    int status;
    while ((status = transom_websocket_receive_into(socket, buf, sizeof buf, 0, &kind, &is_last, &len)) == TRANSOM_OK) {
        CHECK(is_last);
        /* A client that reads has room for what it sent. */
        OK(transom_websocket_send(socket, kind, buf, len, 0));
    }
    if (status == TRANSOM_WOULD_BLOCK) {
        OK(transom_websocket_on_message(socket, echo_more, socket, count_free));
    } else {
        CHECK_STATUS(status, TRANSOM_GONE);
        CHECK(transom_websocket_close_code(socket) == 4000);
        transom_websocket_free(socket);
        count(&ended);
    }
}

static void by_callbacks(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_websocket *socket = accept_one(responder);
    OK(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, "hi", 2, 0));
    OK(transom_websocket_on_message(socket, echo_more, socket, count_free));
}

static void keep(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    atomic_store(&kept, accept_one(responder));
}

static transom_websocket *next_kept(void)
{
    EVENTUALLY(kept != NULL);
    return atomic_exchange(&kept, NULL);
}

/* Opens a connection to a route that echoes, and talks to it. */
static int greet(uint16_t port, const char *target)
{
    static char head[1024];
    int fd = ask_websocket(port, target, "");
    hear_101(fd, head, sizeof head);
    CHECK(strstr(head, "x-accept: 1\r\n") != NULL && strstr(head, "upgrade: websocket\r\n") != NULL);
    return fd;
}

static void talk(int fd)
{
    static struct frame frame;
    static char large[200000];
    const size_t lengths[] = {0, 1, 125, 126, 65535, 65536, sizeof large};
    size_t i;
    expect_text(fd, "hi");
    memset(large, 'x', sizeof large);
    for (i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        say_frame(fd, FIN | (i % 2 ? TEXT : BINARY), large, lengths[i]);
        CHECK(hear_frame(fd, &frame) && frame.opcode == (i % 2 ? TEXT : BINARY) && frame.is_last);
        CHECK(frame.length == lengths[i] && memcmp(frame.payload, large, frame.length) == 0);
    }
    /* In two frames, with a Ping in between. */
    say_frame(fd, TEXT, "one ", 4);
    say_frame(fd, FIN | PING, "ping", 4);
    say_frame(fd, FIN | CONTINUATION, "two", 3);
    CHECK(hear_frame(fd, &frame) && frame.opcode == PONG && strcmp(frame.payload, "ping") == 0);
    expect_text(fd, "one two");
    say_close(fd, 4000);
    end_websocket(fd, 4000);
}

static transom_events *_Atomic shared;

static void *take_events(void *user_data UNUSED)
{
    transom_event event;
    uint32_t number;
    int i;
    for (i = 0; i < 10; i++) {
        OK(transom_events_next(shared, &event, 1, PATIENCE_MS, &number));
        count(&told);
    }
    return NULL;
}

/* Asks for events that are due, and waits each time for another thread that takes it. */
static void wait_for_another(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_websocket *socket = accept_one(responder);
    pthread_t thread;
    size_t len;
    int32_t kind;
    char buf[1];
    int i;
    CHECK_STATUS(transom_websocket_receive_into(socket, buf, 1, PATIENCE_MS, &kind, NULL, &len), TRANSOM_BUFFER_TOO_SMALL);
    CHECK(pthread_create(&thread, NULL, take_events, NULL) == 0);
    for (i = 1; i <= 10; i++) {
        OK(transom_events_await_websocket_message(shared, socket));
        EVENTUALLY(told == i);
    }
    pthread_join(thread, NULL);
    transom_websocket_free(socket);
}

static void waited_for(uint16_t port)
{
    int fd;
    shared = transom_events_new();
    atomic_store(&told, 0);
    fd = open_websocket(port, "/waits");
    say_text(fd, "news");
    end_websocket(fd, 1000);
    CHECK(told == 10);
    transom_events_free(shared);
}

static void expect(transom_events *events, int kind, transom_websocket *socket)
{
    transom_event event;
    uint32_t number;
    OK(transom_events_next(events, &event, 1, PATIENCE_MS, &number));
    CHECK(event.kind == kind && event.token == (uintptr_t)socket);
}

static int send_filler(transom_websocket *socket, const void *data, size_t len, int64_t timeout_ms)
{
    return transom_websocket_send(socket, TRANSOM_WEBSOCKET_BINARY, data, len, timeout_ms);
}

/* Messages, room and the end as events; what is wrong with arguments; a reader that is too slow. */
static void by_events(uint16_t port)
{
    static struct frame frame;
    transom_events *events = transom_events_new();
    transom_event event;
    transom_websocket *socket;
    transom_websocket_message *message;
    uint32_t number;
    size_t len;
    int32_t kind;
    bool is_last;
    char buf[130];
    int fd = open_websocket(port, "/keep");

    socket = next_kept();
    CHECK(transom_websocket_close_code(socket) == 0 && !transom_websocket_is_closed(socket));
    CHECK_STATUS(transom_websocket_receive(socket, 1, &message), TRANSOM_TIMEOUT);
    CHECK_STATUS(transom_websocket_receive(socket, -2, &message), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_websocket_send(socket, 3, "x", 1, 0), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, "x", 1, -2), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, "\xff", 1, 0), TRANSOM_NOT_UTF8);
    CHECK_STATUS(transom_websocket_close(socket, 1000, "\xff"), TRANSOM_NOT_UTF8);
    CHECK_STATUS(transom_websocket_close(socket, 1006, ""), TRANSOM_INVALID_ARGUMENT);
    OK(transom_events_watch_websocket_closed(events, socket));
    OK(transom_events_await_websocket_message(events, socket));
    OK(transom_events_await_websocket_message(events, socket));
    CHECK_STATUS(transom_events_next(events, &event, 1, 0, &number), TRANSOM_TIMEOUT);
    say_text(fd, "news");
    expect(events, TRANSOM_EVENT_WEBSOCKET_MESSAGE, socket);
    CHECK_STATUS(transom_events_next(events, &event, 1, 0, &number), TRANSOM_TIMEOUT);
    CHECK_STATUS(transom_websocket_receive_into(socket, buf, 3, 0, &kind, NULL, &len), TRANSOM_BUFFER_TOO_SMALL);
    CHECK(len == 4);
    OK(transom_websocket_receive_into(socket, buf, 4, 0, &kind, NULL, &len));
    CHECK(len == 4 && kind == TRANSOM_WEBSOCKET_TEXT && memcmp(buf, "news", 4) == 0);
    CHECK_STATUS(transom_websocket_receive_into(socket, buf, 4, 0, &kind, &is_last, &len), TRANSOM_WOULD_BLOCK);
    say_frame(fd, FIN | BINARY, "\0", 1);
    OK(transom_websocket_receive(socket, PATIENCE_MS, &message));
    CHECK(message->kind == TRANSOM_WEBSOCKET_BINARY && message->data.len == 1 && message->data.data[0] == 0);
    transom_websocket_message_free(message);

    OK(transom_websocket_ping(socket, "are you there?", TRANSOM_NUL_TERMINATED));
    CHECK(hear_frame(fd, &frame) && frame.opcode == PING && strcmp(frame.payload, "are you there?") == 0);

    /* The client does not read. */
    FILL(send_filler, socket);
    CHECK(transom_websocket_queued(socket) > 0);
    CHECK_STATUS(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, "full", 4, 0), TRANSOM_WOULD_BLOCK);
    OK(transom_events_await_websocket_writable(events, socket));
    atomic_store(&told, 0);
    OK(transom_websocket_on_writable(socket, tell, &told, NULL));
    CHECK_STATUS(transom_events_next(events, &event, 1, 0, &number), TRANSOM_TIMEOUT);
    CHECK(told == 0);
    while (told == 0)
        discard(fd);
    expect(events, TRANSOM_EVENT_WEBSOCKET_WRITABLE, socket);

    /* The client breaks the connection. */
    atomic_store(&told, 0);
    OK(transom_websocket_on_closed(socket, tell, &told, NULL));
    OK(transom_events_await_websocket_message(events, socket));
    CHECK(told == 0);
    slam(fd);
    EVENTUALLY(told == 1);
    OK(transom_events_next(events, &event, 1, PATIENCE_MS, &number));
    CHECK(event.kind == TRANSOM_EVENT_WEBSOCKET_MESSAGE || event.kind == TRANSOM_EVENT_WEBSOCKET_CLOSED);
    expect(events, TRANSOM_EVENT_WEBSOCKET_MESSAGE + TRANSOM_EVENT_WEBSOCKET_CLOSED - event.kind, socket);
    CHECK_STATUS(transom_websocket_receive(socket, 0, &message), TRANSOM_GONE);
    CHECK(transom_websocket_close_code(socket) == 1006 && transom_websocket_is_closed(socket));
    CHECK(transom_websocket_close_reason(socket, buf, sizeof buf) == 0);
    CHECK(transom_websocket_queued(socket) == 0);
    transom_websocket_free(socket);
    check_stale(socket);
    CHECK_STATUS(transom_events_await_websocket_message(events, socket), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_events_await_websocket_writable(events, socket), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_events_watch_websocket_closed(events, socket), TRANSOM_ALREADY_ANSWERED);
    transom_events_free(events);
}

/* A message that was received is sent to others without a copy; what is refused still belongs to the host. */
static void send_received(uint16_t port)
{
    static struct frame frame;
    transom_websocket_message *message, *none = NULL;
    const uint8_t *bytes;
    int fd = open_websocket(port, "/keep"), slow;
    transom_websocket *socket = next_kept(), *other;
    slow = open_websocket(port, "/keep");
    other = next_kept();
    say_text(fd, "handed on");
    OK(transom_websocket_receive(socket, PATIENCE_MS, &message));
    bytes = message->data.data;
    FILL(send_filler, other);
    CHECK_STATUS(transom_websocket_send_message(other, &message, 0), TRANSOM_WOULD_BLOCK);
    CHECK_STATUS(transom_websocket_send_message(other, &message, 1), TRANSOM_TIMEOUT);
    CHECK_STATUS(transom_websocket_send_message(other, &message, -2), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_websocket_send_message(other, &none, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_feed(other, TRANSOM_WEBSOCKET_TEXT, "full", 4), TRANSOM_WOULD_BLOCK);
    CHECK(is(message->data, "handed on") && message->data.data == bytes && message->kind == TRANSOM_WEBSOCKET_TEXT);
    slam(slow);
    EVENTUALLY(transom_websocket_is_closed(other));
    CHECK_STATUS(transom_websocket_feed(other, TRANSOM_WEBSOCKET_TEXT, "x", 1), TRANSOM_GONE);
    transom_websocket_free(other);
    CHECK_STATUS(transom_websocket_send_message(other, &message, 0), TRANSOM_ALREADY_ANSWERED);
    CHECK(is(message->data, "handed on"));
    OK(transom_websocket_send_message(socket, &message, 0));
    CHECK(message == NULL);
    expect_text(fd, "handed on");

    say_frame(fd, FIN | BINARY, "late", 4);
    OK(transom_websocket_receive(socket, PATIENCE_MS, &message));
    OK(transom_websocket_close(socket, 1000, NULL));
    CHECK_STATUS(transom_websocket_send_message(socket, &message, TRANSOM_FOREVER), TRANSOM_GONE);
    CHECK(message == NULL);
    CHECK(hear_frame(fd, &frame) && frame.opcode == CLOSE);
    transom_websocket_free(socket);
    close(fd);
}

/* Messages for several connections leave at the flush, in their order with what is sent. */
static void fed(uint16_t port)
{
    enum { MANY = 5 };
    transom_websocket *sockets[MANY + 2] = {NULL};
    int fds[MANY], i;
    for (i = 0; i < MANY; i++) {
        fds[i] = open_websocket(port, "/keep");
        sockets[i] = next_kept();
    }
    sockets[MANY + 1] = (transom_websocket *)1;
    for (i = 0; i < MANY; i++) {
        OK(transom_websocket_feed(sockets[i], TRANSOM_WEBSOCKET_TEXT, "first", 5));
        OK(transom_websocket_feed(sockets[i], TRANSOM_WEBSOCKET_TEXT, "second", TRANSOM_NUL_TERMINATED));
        CHECK_STATUS(transom_websocket_feed(sockets[i], TRANSOM_WEBSOCKET_TEXT, "\xff", 1), TRANSOM_NOT_UTF8);
        CHECK_STATUS(transom_websocket_feed(sockets[i], 3, "x", 1), TRANSOM_INVALID_ARGUMENT);
    }
    OK(transom_websocket_flush((transom_websocket *const *)sockets, MANY + 2));
    OK(transom_websocket_flush((transom_websocket *const *)sockets, MANY + 2));
    for (i = 0; i < MANY; i++) {
        expect_text(fds[i], "first");
        expect_text(fds[i], "second");
        OK(transom_websocket_feed(sockets[i], TRANSOM_WEBSOCKET_TEXT, "third", 5));
        OK(transom_websocket_send(sockets[i], TRANSOM_WEBSOCKET_TEXT, "fourth", 6, 0));
        expect_text(fds[i], "third");
        expect_text(fds[i], "fourth");
        /* A connection that is freed sends what was queued. */
        OK(transom_websocket_feed(sockets[i], TRANSOM_WEBSOCKET_TEXT, "last", 4));
        transom_websocket_free(sockets[i]);
        expect_text(fds[i], "last");
        end_websocket(fds[i], 1000);
    }
}

/* One call receives a message, or asks for its event. */
static void received_or_awaited(uint16_t port)
{
    transom_events *events = transom_events_new();
    transom_event event;
    uint32_t number;
    char buf[8];
    size_t len;
    int32_t kind;
    bool is_last;
    int fd = open_websocket(port, "/keep"), status;
    transom_websocket *socket = next_kept();
    CHECK_STATUS(transom_events_receive_websocket_message(events, socket, buf, sizeof buf, &kind, &is_last, &len), TRANSOM_WOULD_BLOCK);
    CHECK(kind == 0 && len == 0);
    CHECK_STATUS(transom_events_next(events, &event, 1, 0, &number), TRANSOM_TIMEOUT);
    /* Who only looks takes the event from nobody. */
    CHECK_STATUS(transom_websocket_receive_into(socket, buf, sizeof buf, 0, &kind, &is_last, &len), TRANSOM_WOULD_BLOCK);
    say_text(fd, "one");
    expect(events, TRANSOM_EVENT_WEBSOCKET_MESSAGE, socket);
    say_frame(fd, FIN | BINARY, "two", 3);
    CHECK_STATUS(transom_events_receive_websocket_message(events, socket, buf, 2, &kind, NULL, &len), TRANSOM_BUFFER_TOO_SMALL);
    CHECK(len == 3);
    OK(transom_events_receive_websocket_message(events, socket, buf, 3, &kind, &is_last, &len));
    CHECK(len == 3 && kind == TRANSOM_WEBSOCKET_TEXT && is_last && memcmp(buf, "one", 3) == 0);
    while ((status = transom_events_receive_websocket_message(events, socket, buf, sizeof buf, &kind, NULL, &len)) != TRANSOM_OK) {
        CHECK_STATUS(status, TRANSOM_WOULD_BLOCK);
        expect(events, TRANSOM_EVENT_WEBSOCKET_MESSAGE, socket);
    }
    CHECK(len == 3 && kind == TRANSOM_WEBSOCKET_BINARY && memcmp(buf, "two", 3) == 0);
    CHECK_STATUS(transom_events_receive_websocket_message(events, socket, buf, sizeof buf, &kind, NULL, &len), TRANSOM_WOULD_BLOCK);
    say_close(fd, 4000);
    expect(events, TRANSOM_EVENT_WEBSOCKET_MESSAGE, socket);
    CHECK_STATUS(transom_events_receive_websocket_message(events, socket, buf, sizeof buf, &kind, NULL, &len), TRANSOM_GONE);
    transom_websocket_free(socket);
    CHECK_STATUS(transom_events_receive_websocket_message(events, socket, buf, sizeof buf, &kind, NULL, &len), TRANSOM_ALREADY_ANSWERED);
    transom_events_free(events);
    close(fd);
}

/* The client closes with a reason, which the host reads after the messages that came before. */
static void closed_by_client(uint16_t port)
{
    transom_websocket_message *message;
    transom_websocket *socket;
    char reason[8];
    int fd = open_websocket(port, "/keep");
    socket = next_kept();
    say_text(fd, "last words");
    say_frame(fd, FIN | CLOSE, "\x0f\xa1" "goodbye", 9);
    end_websocket(fd, 4001);
    EVENTUALLY(transom_websocket_close_code(socket) == 4001);
    CHECK(transom_websocket_close_reason(socket, reason, sizeof reason) == 7 && strcmp(reason, "goodbye") == 0);
    CHECK(transom_websocket_close_reason(socket, reason, 5) == 7 && strcmp(reason, "good") == 0);
    CHECK(transom_websocket_close_reason(socket, NULL, 0) == 7);
    OK(transom_websocket_receive(socket, 0, &message));
    CHECK(is(message->data, "last words"));
    transom_websocket_free(socket);
    /* A message outlives its connection. */
    CHECK(is(message->data, "last words"));
    transom_websocket_message_free(message);
}

/* The host closes, and still receives what the client sends before its own Close. */
static void closed_by_host(uint16_t port)
{
    transom_websocket_message *message;
    transom_websocket *socket;
    int fd = open_websocket(port, "/keep");
    socket = next_kept();
    OK(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, "bye", 3, 0));
    OK(transom_websocket_close(socket, 4002, "enough"));
    CHECK(transom_websocket_is_closed(socket) && transom_websocket_close_code(socket) == 0);
    CHECK_STATUS(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, "x", 1, TRANSOM_FOREVER), TRANSOM_GONE);
    expect_text(fd, "bye");
    CHECK(hear_close(fd) == 4002);
    say_text(fd, "but");
    say_close(fd, 4002);
    OK(transom_websocket_receive(socket, PATIENCE_MS, &message));
    CHECK(is(message->data, "but"));
    transom_websocket_message_free(message);
    CHECK_STATUS(transom_websocket_receive(socket, PATIENCE_MS, &message), TRANSOM_GONE);
    CHECK(transom_websocket_close_code(socket) == 4002);
    transom_websocket_free(socket);
    close(fd);
}

static int send_piece(transom_websocket *socket, const void *data, size_t len, int64_t timeout_ms)
{
    return transom_websocket_send_piece(socket, TRANSOM_WEBSOCKET_BINARY, data, len, false, timeout_ms);
}

/* Pieces are not mixed with other messages, and wait for the client. */
static void in_pieces(uint16_t port)
{
    static struct frame frame;
    int fd = open_websocket(port, "/keep");
    transom_websocket *socket = next_kept();
    OK(send_piece(socket, "one ", 4, 0));
    OK(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, "between", 7, 0));
    CHECK_STATUS(transom_websocket_send_piece(socket, TRANSOM_WEBSOCKET_TEXT, "x", 1, true, 0), TRANSOM_INVALID_ARGUMENT);
    OK(transom_websocket_send_piece(socket, TRANSOM_WEBSOCKET_BINARY, "two", 3, true, TRANSOM_FOREVER));
    CHECK(hear_frame(fd, &frame) && frame.opcode == BINARY && !frame.is_last && strcmp(frame.payload, "one ") == 0);
    CHECK(hear_frame(fd, &frame) && frame.opcode == CONTINUATION && frame.is_last && strcmp(frame.payload, "two") == 0);
    expect_text(fd, "between");
    FILL(send_piece, socket);
    CHECK_STATUS(send_piece(socket, "x", 1, 0), TRANSOM_WOULD_BLOCK);
    /* There is room for a whole message, which waits for the last piece, and none for that. */
    OK(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, "between", 7, 0));
    atomic_store(&told, 0);
    OK(transom_websocket_on_writable(socket, tell, &told, NULL));
    CHECK(told == 0);
    while (told == 0)
        discard(fd);
    OK(send_piece(socket, "x", 1, 0));
    slam(fd);
    transom_websocket_free(socket);
}

static void *send_many(void *number)
{
    transom_websocket *socket = kept;
    char text[32];
    int i;
    for (i = 0; i < MESSAGES; i++) {
        snprintf(text, sizeof text, "%d %d", *(int *)number, i);
        OK(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, text, TRANSOM_NUL_TERMINATED, TRANSOM_FOREVER));
    }
    return NULL;
}

/* Messages of several threads stay whole, and those of each in order. */
static void from_threads(uint16_t port)
{
    static struct frame frame;
    int fd = open_websocket(port, "/keep"), numbers[SENDERS], next[SENDERS] = {0}, i, sender, number;
    pthread_t threads[SENDERS];
    EVENTUALLY(kept != NULL);
    for (i = 0; i < SENDERS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, send_many, &numbers[i]) == 0);
    }
    for (i = 0; i < SENDERS * MESSAGES; i++) {
        CHECK(hear_frame(fd, &frame) && sscanf(frame.payload, "%d %d", &sender, &number) == 2);
        CHECK(sender >= 0 && sender < SENDERS && next[sender]++ == number);
    }
    for (i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    transom_websocket_free(next_kept());
    end_websocket(fd, 1000);
}

static void *receive_forever(void *socket)
{
    transom_websocket_message *message;
    int status = transom_websocket_receive(socket, TRANSOM_FOREVER, &message);
    /* It may be freed before this thread has begun to wait. */
    CHECK(status == TRANSOM_GONE || status == TRANSOM_ALREADY_ANSWERED);
    return NULL;
}

/* A connection that is freed: at once, with callbacks, while a thread waits in it, and after the client left. */
static void freed_at_each_point(uint16_t port)
{
    transom_websocket *socket;
    pthread_t thread;
    int fd = open_websocket(port, "/keep"), freed_before = freed;
    socket = next_kept();
    atomic_store(&told, 0);
    OK(transom_websocket_on_message(socket, tell, &told, count_free));
    OK(transom_websocket_on_closed(socket, tell, &told, count_free));
    OK(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, "last", 4, 0));
    transom_websocket_free(socket);
    CHECK(freed == freed_before + 2 && told == 0);
    say_text(fd, "nobody receives this");
    expect_text(fd, "last");
    end_websocket(fd, 1000);

    fd = open_websocket(port, "/keep");
    socket = next_kept();
    CHECK(pthread_create(&thread, NULL, receive_forever, socket) == 0);
    OK(transom_websocket_close(socket, 1000, NULL));
    transom_websocket_free(socket);
    end_websocket(fd, 1000);
    pthread_join(thread, NULL);

    fd = open_websocket(port, "/keep");
    socket = next_kept();
    slam(fd);
    EVENTUALLY(transom_websocket_is_closed(socket));
    transom_websocket_free(socket);
}

/* Requests that are no right handshakes get an answer, and no connection. */
static void refuse(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_websocket *socket;
    transom_error *error;
    CHECK_STATUS(transom_responder_accept_websocket(responder, NULL, NULL, 0, &socket, &error), TRANSOM_BAD_HANDSHAKE);
    CHECK(socket == NULL && strstr(transom_error_message(error), "the client got a 4") != NULL);
    CHECK(transom_error_code(error) == TRANSOM_BAD_HANDSHAKE);
    transom_error_free(error);
    CHECK_STATUS(transom_responder_send_text(responder, 200, "x"), TRANSOM_ALREADY_ANSWERED);
    count(&ended);
}

static void bad_handshakes(uint16_t port)
{
    static struct reply reply;
    int fd;
    atomic_store(&ended, 0);
    CHECK(get(port, "/refuse", &reply) == 426 && strstr(reply.text, "upgrade: websocket\r\n") != NULL);
    CHECK(strstr(reply.text, "sec-websocket-version: 13\r\n") != NULL);
    fd = connect_to(port);
    say(fd, "GET /refuse HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n");
    hear(fd, &reply);
    CHECK(reply.status == 400);
    fd = ask_websocket(port, "/refuse", "Connection: close\r\nOrigin: https://elsewhere.example\r\n");
    hear(fd, &reply);
    CHECK(reply.status == 403);
    EVENTUALLY(ended == 3);
}

/* Requests of a batch, of which the host has a token only. */
static void of_batches(uint16_t port)
{
    static struct reply reply;
    uint64_t buf[512];
    transom_request_record record;
    transom_responder *responder;
    transom_websocket *socket;
    uint32_t number;
    size_t len;
    int fd = ask_websocket(port, "/pulled", "");
    char head[1024];
    OK(transom_server_next_batch(server, buf, sizeof buf, 1, PATIENCE_MS, &number, &len));
    memcpy(&record, buf, sizeof record);
    CHECK(number == 1 && record.flags == TRANSOM_UPGRADE);
    socket = accept_one(transom_token_responder(record.token));
    OK(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, "pulled", 6, 0));
    hear_101(fd, head, sizeof head);
    expect_text(fd, "pulled");
    transom_websocket_free(socket);
    end_websocket(fd, 1000);

    fd = connect_to(port);
    ask(fd, "GET", "/pulled");
    OK(transom_server_next_batch(server, buf, sizeof buf, 1, PATIENCE_MS, &number, &len));
    memcpy(&record, buf, sizeof record);
    CHECK(number == 1 && record.flags == 0);
    responder = transom_token_responder(record.token);
    CHECK_STATUS(transom_responder_accept_websocket(responder, NULL, NULL, 0, &socket, NULL), TRANSOM_BAD_HANDSHAKE);
    hear(fd, &reply);
    CHECK(reply.status == 426);
}

/* Each pointer may be NULL, which is an error or means nothing. */
static void nulls(void)
{
    transom_websocket *socket = (transom_websocket *)1, *made;
    transom_websocket_upgrade *upgrade = transom_websocket_upgrade_new();
    transom_websocket_message *message;
    transom_events *events = transom_events_new();
    int32_t kind;
    size_t len;
    char buf[2];
    CHECK_STATUS(transom_responder_accept_websocket(NULL, upgrade, NULL, 0, &made, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_accept_websocket((transom_responder *)1, NULL, NULL, 0, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_receive(NULL, 0, &message), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_receive(socket, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_receive_into(NULL, buf, 2, 0, &kind, NULL, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_receive_into(socket, NULL, 2, 0, &kind, NULL, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_receive_into(socket, buf, 2, 0, NULL, NULL, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_receive_into(socket, buf, 2, 0, &kind, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_send(NULL, TRANSOM_WEBSOCKET_TEXT, "x", 1, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_send(socket, TRANSOM_WEBSOCKET_TEXT, NULL, 1, 0), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_websocket_send_piece(NULL, TRANSOM_WEBSOCKET_TEXT, "x", 1, true, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_send_piece(socket, TRANSOM_WEBSOCKET_TEXT, NULL, 1, true, 0), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_websocket_send_message(NULL, &message, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_send_message(socket, NULL, 0), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_feed(NULL, TRANSOM_WEBSOCKET_TEXT, "x", 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_feed(socket, TRANSOM_WEBSOCKET_TEXT, NULL, 1), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_websocket_flush(NULL, 1), TRANSOM_NULL_ARGUMENT);
    OK(transom_websocket_flush(NULL, 0));
    CHECK_STATUS(transom_events_receive_websocket_message(NULL, socket, buf, 2, &kind, NULL, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_receive_websocket_message(events, NULL, buf, 2, &kind, NULL, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_receive_websocket_message(events, socket, NULL, 2, &kind, NULL, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_receive_websocket_message(events, socket, buf, 2, NULL, NULL, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_receive_websocket_message(events, socket, buf, 2, &kind, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_ping(NULL, "x", 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_ping(socket, NULL, 1), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_websocket_close(NULL, 1000, ""), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_websocket_close_code(NULL) == 0 && transom_websocket_is_closed(NULL));
    CHECK(transom_websocket_queued(NULL) == 0 && !transom_websocket_is_compressed(NULL));
    CHECK(transom_websocket_close_reason(NULL, buf, 2) == 0 && transom_websocket_subprotocol(NULL, buf, 2) == 0);
    CHECK(transom_websocket_subprotocol(socket, NULL, 0) == 0);
    CHECK_STATUS(transom_events_await_websocket_message(NULL, socket), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_await_websocket_writable(NULL, socket), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_watch_websocket_closed(NULL, socket), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_await_websocket_message(events, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_await_websocket_writable(events, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_events_watch_websocket_closed(events, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_on_message(NULL, tell, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_on_message(socket, NULL, NULL, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_websocket_on_writable(NULL, tell, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_on_writable(socket, NULL, NULL, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_websocket_on_closed(NULL, tell, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_on_closed(socket, NULL, NULL, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_websocket_upgrade_set(NULL, TRANSOM_WEBSOCKET_COMPRESSION, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_upgrade_add_subprotocol(NULL, "a"), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_upgrade_add_subprotocol(upgrade, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_upgrade_add_origin(NULL, "a"), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_websocket_upgrade_add_origin(upgrade, NULL), TRANSOM_NULL_ARGUMENT);
    transom_websocket_upgrade_free(upgrade);
    transom_websocket_upgrade_free(upgrade);
    transom_websocket_upgrade_free(NULL);
    transom_events_free(events);
    transom_websocket_message_free(NULL);
    transom_websocket_free(NULL);
}

static void serve(const char *model)
{
    const char *const routes[] = {"/handler", "/thread", "/callbacks"};
    transom_report report = {.size = sizeof report};
    transom_websocket *socket;
    transom_websocket_message *message;
    static struct reply reply;
    uint16_t port;
    int fd, i;

    server = transom_server_new();
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_route(server, "GET", "/handler", in_handler, NULL, NULL, NULL));
    OK(add_inline(server, "GET", "/inline", in_line, NULL, NULL));
    OK(transom_server_route(server, "GET", "/thread", on_thread, NULL, NULL, NULL));
    OK(add_inline(server, "GET", "/callbacks", by_callbacks, NULL, NULL));
    OK(transom_server_route(server, "GET", "/waits", wait_for_another, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/keep", keep, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/refuse", refuse, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/hello", say_hello, NULL, NULL, NULL));
    OK(transom_server_add(server, transom_route_new_pull("GET", "/pulled", 1), NULL));
    port = start(server);

    atomic_store(&ended, 0);
    for (i = 0; i < 3; i++)
        talk(greet(port, routes[i]));
    EVENTUALLY(ended == 3);
    fd = greet(port, "/inline");
    expect_text(fd, "in line");
    end_websocket(fd, 3000);
    by_events(port);
    waited_for(port);
    closed_by_client(port);
    closed_by_host(port);
    in_pieces(port);
    received_or_awaited(port);
    /* These need several connections at a time. */
    if (strcmp(model, "sequential") != 0) {
        send_received(port);
        fed(port);
    }
    from_threads(port);
    freed_at_each_point(port);
    bad_handshakes(port);
    of_batches(port);
    CHECK(get(port, "/hello", &reply) == 200);

    /* A stop closes with 1001, and waits for the client's Close. */
    fd = open_websocket(port, "/keep");
    socket = next_kept();
    OK(transom_server_stop(server, PATIENCE_MS));
    end_websocket(fd, 1001);
    CHECK_STATUS(transom_websocket_receive(socket, PATIENCE_MS, &message), TRANSOM_GONE);
    CHECK(transom_websocket_close_code(socket) == 1001);
    OK(transom_server_wait(server, PATIENCE_MS));
    OK(transom_server_report(server, &report));
    CHECK(report.cut == 0);
    transom_server_free(server);
    /* A connection outlives its server. */
    CHECK(transom_websocket_close_code(socket) == 1001);
    transom_websocket_free(socket);
    check_stale(socket);
}

int main(void)
{
    nulls();
    serve("event");
    serve("threads");
    serve("sequential");
    return 0;
}
