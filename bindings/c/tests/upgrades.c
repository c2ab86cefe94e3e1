/* Connections that leave HTTP: raw bytes both ways, in each model, by threads, callbacks and events. */
#include "common.h"

static const char SWITCH[] = "GET %s HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n%s";
static const transom_field ACCEPT = TRANSOM_FIELD("x-accept", "1");

static transom_server *server;
static transom_upgraded *_Atomic kept;
static atomic_int told, freed, outcome;

static void tell(void *user_data)
{
    count(user_data);
}

static void count_free(void *user_data UNUSED)
{
    count(&freed);
}

/* Sends back what comes, until the end. */
static void echo_all(transom_upgraded *upgraded)
{
    char buf[20000];
    size_t len;
    OK(transom_upgraded_write(upgraded, "hi ", TRANSOM_NUL_TERMINATED, TRANSOM_FOREVER));
    for (;;) {
        OK(transom_upgraded_read(upgraded, buf, sizeof buf, TRANSOM_FOREVER, &len));
        if (len == 0)
            break;
        OK(transom_upgraded_write(upgraded, buf, len, TRANSOM_FOREVER));
    }
    OK(transom_upgraded_read(upgraded, buf, sizeof buf, 0, &len));
    CHECK(len == 0);
    OK(transom_upgraded_write(upgraded, " bye", 4, 0));
    transom_upgraded_free(upgraded);
    CHECK_STATUS(transom_upgraded_read(upgraded, buf, sizeof buf, 0, &len), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_upgraded_write(upgraded, "x", 1, 0), TRANSOM_ALREADY_ANSWERED);
    count(&outcome);
}

static transom_upgraded *take_over(transom_responder *responder)
{
    transom_upgraded *upgraded;
    transom_error *error = NULL;
    const transom_field malformed = TRANSOM_FIELD("x y", "1"), length = TRANSOM_FIELD("content-length", "1");
    CHECK_STATUS(transom_responder_upgrade(responder, "chat", &malformed, 1, &upgraded, &error), TRANSOM_BAD_HEADER);
    CHECK(upgraded == NULL && strstr(transom_error_message(error), "x y") != NULL);
    transom_error_free(error);
    CHECK_STATUS(transom_responder_upgrade(responder, "chat", &length, 1, &upgraded, NULL), TRANSOM_BAD_HEADER);
    CHECK_STATUS(transom_responder_upgrade(responder, "\xff", NULL, 0, &upgraded, NULL), TRANSOM_NOT_UTF8);
    OK(transom_responder_upgrade(responder, "chat", &ACCEPT, 1, &upgraded, &error));
    CHECK(upgraded != NULL && error == NULL);
    return upgraded;
}

/* In the handler, which waits. */
static void in_handler(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    echo_all(take_over(responder));
}

/* In a handler that must not wait. */
static void in_line(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_upgraded *upgraded = take_over(responder);
    char byte;
    size_t len = 1;
    CHECK_STATUS(transom_upgraded_read(upgraded, &byte, 1, 0, &len), TRANSOM_WOULD_BLOCK);
    CHECK_STATUS(transom_upgraded_read(upgraded, &byte, 1, TRANSOM_FOREVER, &len), TRANSOM_WOULD_DEADLOCK);
    CHECK(len == 0);
    OK(transom_upgraded_write(upgraded, "in line", 7, TRANSOM_FOREVER));
    transom_upgraded_free(upgraded);
}

static void *echo_on_thread(void *upgraded)
{
    echo_all(upgraded);
    return NULL;
}

static void on_thread(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, echo_on_thread, take_over(responder)) == 0);
    pthread_detach(thread);
}

/* By callbacks, which call themselves again. */
static void echo_more(void *upgraded)
{
    char buf[1000];
    size_t len;
    int status;
    while ((status = transom_upgraded_read(upgraded, buf, sizeof buf, 0, &len)) == TRANSOM_OK && len > 0) {
        /* A client that reads has room for what it sent. */
        status = transom_upgraded_write(upgraded, buf, len, 0);
        if (status != TRANSOM_OK)
            break;
    }
    if (status == TRANSOM_WOULD_BLOCK) {
        OK(transom_upgraded_on_readable(upgraded, echo_more, upgraded, count_free));
    } else {
        if (status == TRANSOM_OK)
            OK(transom_upgraded_write(upgraded, " bye", 4, 0));
        transom_upgraded_free(upgraded);
        count(&outcome);
    }
}

static void by_callbacks(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_upgraded *upgraded = take_over(responder);
    OK(transom_upgraded_write(upgraded, "hi ", 3, 0));
    OK(transom_upgraded_on_readable(upgraded, echo_more, upgraded, count_free));
}

static void keep(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    atomic_store(&kept, take_over(responder));
}

/* Connects, asks for the upgrade and sends `first` with the request. */
static int ask_upgrade(uint16_t port, const char *target, const char *first)
{
    char text[512];
    int fd = connect_to(port);
    snprintf(text, sizeof text, SWITCH, target, first);
    say(fd, text);
    return fd;
}

/* Talks to a route that echoes. */
static void talk(uint16_t port, const char *target)
{
    static struct reply reply;
    int fd = ask_upgrade(port, target, "early ");
    say(fd, "late");
    CHECK(shutdown(fd, SHUT_WR) == 0);
    hear(fd, &reply);
    CHECK(reply.status == 101 && strstr(reply.text, "x-accept: 1\r\n") && strstr(reply.text, "upgrade: chat\r\n"));
    if (strcmp(reply.body, "hi early late bye") != 0) {
        fprintf(stderr, "%s: %s\n", target, reply.body);
        exit(1);
    }
}

static transom_upgraded *next_kept(void)
{
    EVENTUALLY(kept != NULL);
    return atomic_exchange(&kept, NULL);
}

static void expect(transom_events *events, int kind, transom_upgraded *upgraded)
{
    transom_event event;
    uint32_t number;
    OK(transom_events_next(events, &event, 1, PATIENCE_MS, &number));
    CHECK(event.kind == kind && event.token == (uintptr_t)upgraded);
}

/* Reads the head of the 101. */
static void hear_head(int fd)
{
    char head[512] = "";
    size_t length = 0;
    while (strstr(head, "\r\n\r\n") == NULL) {
        CHECK(length < sizeof head - 1 && receive(fd, head + length, 1, 0) == 1);
        head[++length] = '\0';
    }
    CHECK(strncmp(head, "HTTP/1.1 101 ", 13) == 0);
}

static void by_events(uint16_t port)
{
    static char piece[50000], bytes[65536];
    transom_events *events = transom_events_new();
    transom_event event;
    transom_upgraded *upgraded;
    uint32_t number;
    size_t written = 0, len;
    ssize_t got;
    int fd = ask_upgrade(port, "/keep", ""), status, rounds;

    hear_head(fd);
    upgraded = next_kept();
    CHECK_STATUS(transom_upgraded_read(upgraded, bytes, 5, 1, &len), TRANSOM_TIMEOUT);
    CHECK_STATUS(transom_upgraded_read(upgraded, bytes, 0, 1, &len), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_upgraded_read(upgraded, bytes, 5, -2, &len), TRANSOM_INVALID_ARGUMENT);
    OK(transom_events_await_upgraded_readable(events, upgraded));
    OK(transom_events_await_upgraded_readable(events, upgraded));
    CHECK_STATUS(transom_events_next(events, &event, 1, 0, &number), TRANSOM_TIMEOUT);
    say(fd, "news");
    expect(events, TRANSOM_EVENT_UPGRADED_READABLE, upgraded);
    CHECK_STATUS(transom_events_next(events, &event, 1, 0, &number), TRANSOM_TIMEOUT);
    OK(transom_upgraded_read(upgraded, bytes, 2, 0, &len));
    CHECK(len == 2 && memcmp(bytes, "ne", 2) == 0);
    OK(transom_events_await_upgraded_readable(events, upgraded));
    expect(events, TRANSOM_EVENT_UPGRADED_READABLE, upgraded);
    OK(transom_upgraded_read(upgraded, bytes, sizeof bytes, 0, &len));
    CHECK(len == 2 && memcmp(bytes, "ws", 2) == 0);

    /* The client does not read. */
    for (rounds = 0; rounds < FULL_ROUNDS;) {
        status = transom_upgraded_write(upgraded, piece, sizeof piece, 10);
        CHECK(status == TRANSOM_OK || status == TRANSOM_TIMEOUT);
        rounds = status == TRANSOM_OK ? 0 : rounds + 1;
        written += status == TRANSOM_OK ? sizeof piece : 0;
    }
    CHECK_STATUS(transom_upgraded_write(upgraded, piece, sizeof piece, 0), TRANSOM_WOULD_BLOCK);
    OK(transom_events_await_upgraded_writable(events, upgraded));
    atomic_store(&told, 0);
    OK(transom_upgraded_on_writable(upgraded, tell, &told, NULL));
    CHECK_STATUS(transom_events_next(events, &event, 1, 0, &number), TRANSOM_TIMEOUT);
    CHECK(told == 0);
    for (; written > 0; written -= (size_t)got) {
        got = receive(fd, bytes, written < sizeof bytes ? written : sizeof bytes, 0);
        CHECK(got > 0);
    }
    expect(events, TRANSOM_EVENT_UPGRADED_WRITABLE, upgraded);
    EVENTUALLY(told == 1);
    OK(transom_upgraded_write(upgraded, "ok", 2, 0));
    CHECK(receive(fd, bytes, 2, MSG_WAITALL) == 2);

    /* The client breaks the connection. */
    OK(transom_events_await_upgraded_readable(events, upgraded));
    slam(fd);
    expect(events, TRANSOM_EVENT_UPGRADED_READABLE, upgraded);
#ifndef _WIN32
    /* Wine closes in order, and the end can be read. */
    CHECK_STATUS(transom_upgraded_read(upgraded, bytes, 1, PATIENCE_MS, &len), TRANSOM_GONE);
#endif
    EVENTUALLY(transom_upgraded_write(upgraded, "x", 1, 0) == TRANSOM_GONE);
    transom_upgraded_free(upgraded);
    CHECK_STATUS(transom_events_await_upgraded_readable(events, upgraded), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_events_await_upgraded_writable(events, upgraded), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_events_watch_upgraded_stopping(events, upgraded), TRANSOM_ALREADY_ANSWERED);
    transom_events_free(events);
}

/* A request that does not ask for the protocol. */
static void not_asked(uint16_t port)
{
    static struct reply reply;
    transom_upgraded *upgraded;
    size_t len;
    char byte;
    CHECK(get(port, "/keep", &reply) == 500);
    upgraded = next_kept();
    CHECK_STATUS(transom_upgraded_read(upgraded, &byte, 1, PATIENCE_MS, &len), TRANSOM_GONE);
    CHECK_STATUS(transom_upgraded_write(upgraded, "x", 1, PATIENCE_MS), TRANSOM_GONE);
    transom_upgraded_free(upgraded);
    transom_upgraded_free(upgraded);
}

/* What was sent goes out when the connection is freed, and a reader that waits is not disturbed. */
static void freed_at_once(uint16_t port)
{
    static char text[150000];
    size_t got = 0;
    ssize_t n;
    transom_upgraded *upgraded;
    int fd = ask_upgrade(port, "/keep", ""), freed_before = freed;
    hear_head(fd);
    upgraded = next_kept();
    OK(transom_upgraded_on_readable(upgraded, tell, &told, count_free));
    memset(text, 'x', sizeof text);
    OK(transom_upgraded_write(upgraded, text, sizeof text, TRANSOM_FOREVER));
    transom_upgraded_free(upgraded);
    while ((n = receive(fd, text, sizeof text, 0)) > 0)
        got += (size_t)n;
    CHECK(n == 0 && got == sizeof text);
    close(fd);
    EVENTUALLY(freed > freed_before);
}

static void serve(const char *model)
{
    static struct reply reply;
    transom_report report = {.size = sizeof report};
    const transom_request *request;
    transom_responder *responder;
    transom_upgraded *upgraded;
    transom_events *events;
    bool is_sequential = strcmp(model, "sequential") == 0;
    uint16_t port;
    size_t len;
    char byte;
    int fd;

    server = transom_server_new();
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_route(server, "GET", "/handler", in_handler, NULL, NULL, NULL));
    OK(add_inline(server, "GET", "/inline", in_line, NULL, NULL));
    OK(transom_server_route(server, "GET", "/thread", on_thread, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/callbacks", by_callbacks, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/keep", keep, NULL, NULL, NULL));
    OK(transom_server_add(server, transom_route_new_pull("GET", "/pulled", 1), NULL));
    port = start(server);

    atomic_store(&outcome, 0);
    talk(port, "/handler");
    talk(port, "/thread");
    talk(port, "/callbacks");
    fd = ask_upgrade(port, "/pulled", "early ");
    OK(transom_server_next(server, &request, &responder, NULL, PATIENCE_MS));
    CHECK(transom_bytes_equal(transom_request_header(request, "upgrade"), "chat"));
    upgraded = take_over(responder);
    CHECK(shutdown(fd, SHUT_WR) == 0);
    echo_all(upgraded);
    hear(fd, &reply);
    CHECK(reply.status == 101 && strcmp(reply.body, "hi early  bye") == 0);
    EVENTUALLY(outcome == 4);
    fd = ask_upgrade(port, "/inline", "");
    hear(fd, &reply);
    CHECK(reply.status == 101 && strcmp(reply.body, "in line") == 0);
    by_events(port);
    not_asked(port);
    freed_at_once(port);

    /* A stop is told, and cuts at its deadline. */
    events = transom_events_new();
    fd = ask_upgrade(port, "/keep", "");
    hear_head(fd);
    upgraded = next_kept();
    atomic_store(&told, 0);
    CHECK(!transom_upgraded_is_stopping(upgraded));
    OK(transom_events_watch_upgraded_stopping(events, upgraded));
    OK(transom_upgraded_on_stopping(upgraded, tell, &told, NULL));
    OK(transom_server_stop(server, is_sequential ? PATIENCE_MS : 200));
    CHECK(told == 1 && transom_upgraded_is_stopping(upgraded));
    expect(events, TRANSOM_EVENT_UPGRADED_STOPPING, upgraded);
    if (is_sequential) {
        OK(transom_upgraded_write(upgraded, "bye", 3, 0));
        transom_upgraded_free(upgraded);
        CHECK(receive(fd, &byte, 1, 0) == 1 && byte == 'b');
    } else {
        CHECK_STATUS(transom_upgraded_read(upgraded, &byte, 1, PATIENCE_MS, &len), TRANSOM_GONE);
        transom_upgraded_free(upgraded);
    }
    close(fd);
    OK(transom_server_wait(server, PATIENCE_MS));
    OK(transom_server_report(server, &report));
    CHECK(report.cut == (is_sequential ? 0 : 1));
    transom_server_free(server);
    transom_events_free(events);
}

int main(void)
{
    serve("event");
    serve("threads");
    serve("sequential");
    return 0;
}
