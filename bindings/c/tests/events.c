/* Callbacks and events report what happens to requests and writers. */
#include "common.h"

#include <poll.h>

static const uint8_t piece[65536];
static transom_events *events;

static int is_readable(int fd)
{
    struct pollfd event = {fd, POLLIN, 0};
    return poll(&event, 1, 0) == 1;
}

/* Pulls the next request and returns its token. */
static uint64_t next_token(transom_server *server)
{
    static _Alignas(8) uint8_t in[4096];
    uint32_t number;
    size_t length;
    uint64_t token;
    OK(transom_server_next_batch(server, in, sizeof in, 1, PATIENCE_MS, &number, &length));
    CHECK(number == 1);
    memcpy(&token, in + 8, sizeof token);
    return token;
}

static transom_writer *start_stream(transom_server *server)
{
    transom_writer *writer;
    OK(transom_responder_start(transom_token_responder(next_token(server)), 200, NULL, 0, &writer, NULL));
    return writer;
}

static void fill(transom_writer *writer)
{
    FILL(transom_writer_write, writer);
}

static uint64_t as_token(transom_writer *writer)
{
    return (uint64_t)(uintptr_t)writer;
}

/* Waits for exactly one event. */
static void expect(int kind, uint64_t token)
{
    transom_event event;
    uint32_t number;
    OK(transom_events_next(events, &event, 1, PATIENCE_MS, &number));
    CHECK(number == 1 && event.reserved == 0);
    CHECK(event.kind == kind);
    CHECK(event.token == token);
}

static void expect_none(void)
{
    transom_event event;
    uint32_t number = 7;
    CHECK_STATUS(transom_events_next(events, &event, 1, 0, &number), TRANSOM_TIMEOUT);
    CHECK(number == 0);
}

/* A callback that writes, and then ends the stream. */
static void end_stream(void *user_data)
{
    transom_writer *writer = *(transom_writer *_Atomic *)user_data;
    OK(transom_writer_write(writer, piece, 1, 0));
    OK(transom_writer_finish(writer));
    *(transom_writer *_Atomic *)user_data = NULL;
}

static void room_by_callback(transom_server *server, uint16_t port)
{
    atomic_int told = 0, freed = 0;
    transom_writer *writer;
    int fd = connect_to(port);
    ask(fd, "GET", "/");
    writer = start_stream(server);
    CHECK(!transom_writer_is_gone(writer));
    OK(transom_writer_on_writable(writer, count, &told, NULL)); /* there is room: called at once */
    CHECK(told == 1);
    fill(writer);
    OK(transom_writer_on_writable(writer, count, &told, NULL));
    CHECK_STATUS(transom_writer_on_writable(writer, NULL, &freed, count), TRANSOM_NULL_ARGUMENT);
    CHECK(told == 1 && freed == 1);
    while (told == 1)
        discard(fd);
    OK(transom_writer_write(writer, piece, 1, PATIENCE_MS));
    /* The callback may end the stream. */
    fill(writer);
    {
        static transom_writer *_Atomic last;
        static struct reply reply;
        last = writer;
        OK(transom_writer_on_writable(writer, end_stream, &last, NULL));
        while (last != NULL)
            discard(fd);
        while (receive(fd, reply.text, sizeof reply.text, 0) > 0)
            ;
    }
    CHECK(transom_writer_is_gone(writer));
    close(fd);

    /* No callback runs for a writer that was freed, but its user data is freed. */
    told = freed = 0;
    fd = connect_to(port);
    ask(fd, "GET", "/");
    writer = start_stream(server);
    fill(writer);
    OK(transom_writer_on_writable(writer, count, &told, NULL));
    OK(transom_writer_on_gone(writer, count, &told, NULL));
    transom_writer_free(writer);
    slam(fd);

    /* When the client has left, the callback runs although there is no room. */
    fd = connect_to(port);
    ask(fd, "GET", "/");
    writer = start_stream(server);
    fill(writer);
    OK(transom_writer_on_writable(writer, count, &freed, count));
    slam(fd);
    EVENTUALLY(freed == 2);
    /* The system may have made a little room before the client left. */
    EVENTUALLY(transom_writer_write(writer, piece, 1, 0) == TRANSOM_GONE);
    transom_writer_free(writer);
    CHECK(told == 0);
}

/* A stream that has nothing to send. */
static void leaving_by_callback(transom_server *server, uint16_t port)
{
    atomic_int told = 0, freed = 0;
    transom_writer *writer;
    int orderly;
    for (orderly = 0; orderly < 2; orderly++) {
        int fd = connect_to(port);
        char some[1024];
        ask(fd, "GET", "/");
        writer = start_stream(server);
        CHECK(receive(fd, some, sizeof some, 0) > 0);
        OK(transom_writer_on_gone(writer, count, &told, count));
        CHECK(told == 2 * orderly && !transom_writer_is_gone(writer));
        if (orderly)
            close(fd);
        else
            slam(fd);
        EVENTUALLY(told == 2 * orderly + 2); /* called, and freed */
        CHECK(transom_writer_is_gone(writer));
        OK(transom_writer_on_gone(writer, count, &freed, NULL));
        CHECK(freed == orderly + 1);
        transom_writer_free(writer);
    }
}

static void by_events(transom_server *server, uint16_t port)
{
    static struct reply reply;
    transom_writer *writer;
    uint64_t token;
    int i, fd = connect_to(port), event = transom_events_fd(events);
    CHECK(event >= 0 && event == transom_events_fd(events) && !is_readable(event));

    /* An answered request causes no event. */
    ask(fd, "GET", "/");
    token = next_token(server);
    OK(transom_events_watch_request(events, token));
    OK(transom_events_watch_request(events, token));
    OK(transom_responder_send_text(transom_token_responder(token), 200, "answered"));
    CHECK_STATUS(transom_events_watch_request(events, token), TRANSOM_ALREADY_ANSWERED);
    hear(fd, &reply);
    CHECK(reply.status == 200);
    expect_none();

    /* The client closes its sending side, and then the timeout passes. */
    for (i = 0;; i++) {
        transom_event seen;
        uint32_t number;
        fd = connect_to(port);
        ask(fd, "GET", "/short");
        shutdown(fd, SHUT_WR);
        token = next_token(server);
        OK(transom_events_watch_request(events, token));
        OK(transom_events_next(events, &seen, 1, PATIENCE_MS, &number));
        CHECK(number == 1 && seen.token == token);
        if (seen.kind == TRANSOM_EVENT_GONE)
            break;
        /* On a busy machine the timeout may have passed before the server saw the end. */
        CHECK(seen.kind == TRANSOM_EVENT_OVER && i < 100);
        hear(fd, &reply);
        CHECK(reply.status == 503);
    }
    expect(TRANSOM_EVENT_OVER, token);
    CHECK_STATUS(transom_responder_send_text(transom_token_responder(token), 200, ""), TRANSOM_GONE);
    hear(fd, &reply);
    CHECK(reply.status == 503);

    /* The event comes at once if it has happened already. */
    fd = connect_to(port);
    ask(fd, "GET", "/");
    token = next_token(server);
    slam(fd);
    EVENTUALLY(transom_responder_is_gone(transom_token_responder(token)));
    OK(transom_events_watch_request(events, token));
    expect(TRANSOM_EVENT_GONE, token);
    transom_responder_free(transom_token_responder(token));
    expect_none();

    /* Room: one event, however often it was asked for. Then the client leaves. */
    fd = connect_to(port);
    ask(fd, "GET", "/");
    writer = start_stream(server);
    OK(transom_events_watch_writer(events, writer));
    OK(transom_events_await_room(events, writer));
    expect(TRANSOM_EVENT_WRITABLE, as_token(writer));
    for (i = 0; i < 3; i++) {
        fill(writer);
        OK(transom_events_await_room(events, writer));
        OK(transom_events_await_room(events, writer));
        expect_none();
        while (!is_readable(event))
            discard(fd);
        expect(TRANSOM_EVENT_WRITABLE, as_token(writer));
        expect_none();
    }
    slam(fd);
    expect(TRANSOM_EVENT_WRITER_GONE, as_token(writer));
    CHECK_STATUS(transom_writer_write(writer, piece, 1, 0), TRANSOM_GONE);
    transom_writer_free(writer);
    CHECK_STATUS(transom_events_watch_writer(events, writer), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_events_await_room(events, writer), TRANSOM_ALREADY_ANSWERED);
    expect_none();
}

static void keep_line(void *user_data UNUSED, int32_t level, const char *message)
{
    if (level == 1 && strstr(message, "never answered"))
        atomic_fetch_add((atomic_int *)user_data, 1);
}

/* Log messages go to the callback and to the events; neither takes them from the other. */
static void logging(transom_server *server, uint16_t port)
{
    static struct reply reply;
    static atomic_int lines;
    uint8_t line[4096];
    int32_t level;
    size_t length;
    int round;
    CHECK_STATUS(transom_log_next(&level, line, sizeof line, &length), TRANSOM_TIMEOUT);
    OK(transom_log_to_events(events, 2));
    for (round = 0; round < 2; round++) {
        int fd = connect_to(port);
        ask(fd, "GET", "/");
        transom_responder_free(transom_token_responder(next_token(server)));
        hear(fd, &reply);
        CHECK(reply.status == 500);
        expect(TRANSOM_EVENT_LOG, 0);
        CHECK_STATUS(transom_log_next(&level, line, 5, &length), TRANSOM_BUFFER_TOO_SMALL);
        CHECK(length > 5);
        OK(transom_log_next(&level, line, length, &length));
        CHECK(level == 1 && memmem(line, length, "never answered", 14));
        CHECK_STATUS(transom_log_next(&level, line, sizeof line, &length), TRANSOM_TIMEOUT);
        EVENTUALLY(lines == round);
        if (round == 0)
            OK(transom_set_logger(keep_line, &lines));
    }
    EVENTUALLY(lines == 1);
    OK(transom_log_to_events(events, 0));
}

static void *wait_for_events(void *user_data UNUSED)
{
    transom_event event;
    uint32_t number;
    CHECK_STATUS(transom_events_next(events, &event, 1, TRANSOM_FOREVER, &number), TRANSOM_STOPPED);
    return NULL;
}

static void too_large(transom_server *server, uint16_t port)
{
    static struct reply reply;
    int fd = connect_to(port);
    OK(transom_server_refuse_larger(server, 0)); /* the queue is empty */
    ask(fd, "GET", "/");
    EVENTUALLY(is_readable(transom_server_event_fd(server)));
    OK(transom_server_refuse_larger(server, 4096));
    CHECK(is_readable(transom_server_event_fd(server)));
    OK(transom_server_refuse_larger(server, 64));
    hear(fd, &reply);
    CHECK(reply.status == 503);
    CHECK(!is_readable(transom_server_event_fd(server)));
}

int main(void)
{
    static const char *const models[] = {"event", "threads", "sequential"};
    pthread_t waiting;
    size_t i;
    for (i = 0; i < sizeof models / sizeof models[0]; i++) {
        transom_server *server = transom_server_new();
        transom_route *short_route;
        uint16_t port;
        events = transom_events_new();
        OK(transom_server_set_model(server, models[i], NULL));
        OK(transom_server_set_timeout(server, "handler", TRANSOM_FOREVER, NULL));
        short_route = transom_route_new_pull("GET", "/short", 2);
        OK(transom_route_set_timeout(short_route, 1000));
        OK(transom_server_add(server, short_route, NULL));
        OK(transom_server_set_timeout(server, "write", TRANSOM_FOREVER, NULL));
        OK(transom_server_set_timeout(server, "stop", 100, NULL));
        OK(transom_server_set_fallback(server, transom_route_new_pull(NULL, NULL, 1), NULL));
        port = start(server);
        room_by_callback(server, port);
        leaving_by_callback(server, port);
        by_events(server, port);
        too_large(server, port);
        if (i == 0)
            logging(server, port);
        CHECK(pthread_create(&waiting, NULL, wait_for_events, NULL) == 0);
        OK(transom_events_close(events));
        CHECK(is_readable(transom_events_fd(events)));
        pthread_join(waiting, NULL);
        transom_events_free(events);
        transom_server_free(server);
    }
    return 0;
}
