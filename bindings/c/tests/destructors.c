/*
 * Every function that takes a free function has it called once: when what was registered has been
 * called or can no longer be, when the registration is refused, and when the server stops first.
 */
#include "websocket.h"

enum subject { RESPONDER, REQUEST, WRITER, UPGRADED, WEBSOCKET, SSE };

/* What a handler got, and what was made of it. */
static struct {
    transom_responder *_Atomic responder;
    const transom_request *_Atomic request;
    transom_writer *writer;
    transom_upgraded *upgraded;
    transom_websocket *websocket;
    transom_sse *sse;
} held;

typedef transom_status (*register_fn)(int is_null, transom_callback_fn function, void *user_data, transom_free_fn free_fn);

#define REGISTRATION(name, member)                                                                                    \
    static transom_status name(int is_null, transom_callback_fn function, void *user_data, transom_free_fn free_fn)    \
    {                                                                                                                 \
        return transom_##name(is_null ? NULL : held.member, function, user_data, free_fn);                            \
    }

REGISTRATION(responder_on_gone, responder)
REGISTRATION(responder_on_stopping, responder)
REGISTRATION(request_on_readable, request)
REGISTRATION(writer_on_writable, writer)
REGISTRATION(writer_on_gone, writer)
REGISTRATION(writer_on_stopping, writer)
REGISTRATION(upgraded_on_readable, upgraded)
REGISTRATION(upgraded_on_writable, upgraded)
REGISTRATION(upgraded_on_stopping, upgraded)
REGISTRATION(websocket_on_message, websocket)
REGISTRATION(websocket_on_writable, websocket)
REGISTRATION(websocket_on_closed, websocket)
REGISTRATION(sse_on_writable, sse)
REGISTRATION(sse_on_gone, sse)

/* Sends an event of that many bytes. */
static transom_status send_filler(transom_sse *sse, const uint8_t *filler UNUSED, size_t size UNUSED, int64_t timeout)
{
    static char text[65536];
    transom_sse_event event = {.data = {(const uint8_t *)memset(text, 'x', sizeof text), sizeof text}};
    return transom_sse_send(sse, &event, timeout);
}

/* What makes the library call the function that was registered. */
enum event { CLIENT_LEAVES, CLIENT_SENDS, CLIENT_READS, SERVER_STOPS };

static const struct registration {
    const char *name;
    register_fn call;
    enum subject subject;
    enum event event;
} registrations[] = {
    {"responder_on_gone", responder_on_gone, RESPONDER, CLIENT_LEAVES},
    {"responder_on_stopping", responder_on_stopping, RESPONDER, SERVER_STOPS},
    {"request_on_readable", request_on_readable, REQUEST, CLIENT_SENDS},
    {"writer_on_writable", writer_on_writable, WRITER, CLIENT_READS},
    {"writer_on_gone", writer_on_gone, WRITER, CLIENT_LEAVES},
    {"writer_on_stopping", writer_on_stopping, WRITER, SERVER_STOPS},
    {"upgraded_on_readable", upgraded_on_readable, UPGRADED, CLIENT_SENDS},
    {"upgraded_on_writable", upgraded_on_writable, UPGRADED, CLIENT_READS},
    {"upgraded_on_stopping", upgraded_on_stopping, UPGRADED, SERVER_STOPS},
    {"websocket_on_message", websocket_on_message, WEBSOCKET, CLIENT_SENDS},
    {"websocket_on_writable", websocket_on_writable, WEBSOCKET, CLIENT_READS},
    {"websocket_on_closed", websocket_on_closed, WEBSOCKET, CLIENT_LEAVES},
    {"sse_on_writable", sse_on_writable, SSE, CLIENT_READS},
    {"sse_on_gone", sse_on_gone, SSE, CLIENT_LEAVES},
};

enum scenario { ENDS, HAPPENS, STOPS, SCENARIOS };

static void keep(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    atomic_store(&held.request, request);
    atomic_store(&held.responder, responder);
}

static transom_status send_binary(transom_websocket *websocket, const void *data, size_t len, int64_t timeout_ms)
{
    return transom_websocket_send(websocket, TRANSOM_WEBSOCKET_BINARY, data, len, timeout_ms);
}

/* Sends a request, and makes of its responder what the registration is about. */
static int begin(const struct registration *it, uint16_t port)
{
    int fd = it->subject == WEBSOCKET ? ask_websocket(port, "/keep", "") : connect_to(port);
    if (it->subject != WEBSOCKET)
        say(fd, it->subject == REQUEST
                    ? "POST /stream HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\n"
                    : "GET /keep HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n");
    EVENTUALLY(atomic_load(&held.responder) != NULL);
    if (it->subject == WRITER)
        OK(transom_responder_start(held.responder, 200, NULL, 0, &held.writer, NULL));
    if (it->subject == UPGRADED)
        OK(transom_responder_upgrade(held.responder, "chat", NULL, 0, &held.upgraded, NULL));
    if (it->subject == WEBSOCKET)
        OK(transom_responder_accept_websocket(held.responder, NULL, NULL, 0, &held.websocket, NULL));
    if (it->subject == SSE)
        OK(transom_responder_start_sse(held.responder, NULL, 0, NULL, &held.sse, NULL));
    /* Without room, because the function is called at once otherwise. */
    if (it->event == CLIENT_READS && it->subject == WRITER)
        FILL(transom_writer_write, held.writer);
    if (it->event == CLIENT_READS && it->subject == UPGRADED)
        FILL(transom_upgraded_write, held.upgraded);
    if (it->event == CLIENT_READS && it->subject == WEBSOCKET)
        FILL(send_binary, held.websocket);
    if (it->event == CLIENT_READS && it->subject == SSE)
        FILL(send_filler, held.sse);
    return fd;
}

/* The last use of the handle. */
static void end(const struct registration *it)
{
    if (it->subject == WRITER)
        transom_writer_free(held.writer);
    else if (it->subject == UPGRADED)
        transom_upgraded_free(held.upgraded);
    else if (it->subject == WEBSOCKET)
        transom_websocket_free(held.websocket);
    else if (it->subject == SSE)
        transom_sse_free(held.sse);
    else
        transom_responder_free(held.responder);
}

static void refused(const struct registration *it, int is_null, transom_callback_fn function, transom_status status)
{
    atomic_int freed = 0;
    CHECK_STATUS(it->call(is_null, function, &freed, count), status);
    CHECK(freed == 1);
}

static struct {
    atomic_int called, freed;
} counts;

static void call(void *user_data)
{
    CHECK(user_data == &counts && counts.freed == 0);
    atomic_fetch_add(&counts.called, 1);
}

static void release(void *user_data)
{
    CHECK(user_data == &counts);
    atomic_fetch_add(&counts.freed, 1);
}

static void play(const struct registration *it, const char *model, enum scenario scenario)
{
    transom_server *server = transom_server_new();
    transom_route *route = transom_route_new("POST", "/stream", keep, NULL, NULL);
    int fd;
    counts.called = counts.freed = 0;
    held.responder = NULL;
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_route(server, "GET", "/keep", keep, NULL, NULL, NULL));
    OK(transom_route_set_streaming(route, true));
    OK(transom_server_add(server, route, NULL));
    fd = begin(it, start(server));
    refused(it, 1, call, TRANSOM_NULL_ARGUMENT);
    refused(it, 0, NULL, TRANSOM_NULL_ARGUMENT);
    OK(it->call(0, call, &counts, release));
    CHECK(counts.called == 0 && counts.freed == 0);

    if (scenario == ENDS) {
        end(it);
        EVENTUALLY(counts.freed == 1);
        CHECK(counts.called == 0);
        /* A request is not valid any more. */
        if (it->subject != REQUEST)
            refused(it, 0, call, TRANSOM_ALREADY_ANSWERED);
    } else if (scenario == STOPS) {
        OK(transom_server_stop(server, 0));
        OK(transom_server_wait(server, PATIENCE_MS));
        end(it);
        EVENTUALLY(counts.freed == 1);
        CHECK(counts.called <= 1 && (it->event != SERVER_STOPS || counts.called == 1));
    } else {
        if (it->event == CLIENT_LEAVES)
            slam(fd);
        else if (it->event == CLIENT_SENDS && it->subject == WEBSOCKET)
            say_text(fd, "message");
        else if (it->event == CLIENT_SENDS)
            say(fd, "body");
        else if (it->event == SERVER_STOPS)
            OK(transom_server_stop(server, PATIENCE_MS));
        else
            while (counts.called == 0)
                discard(fd);
        EVENTUALLY(counts.freed == 1);
        CHECK(counts.called == 1);
        end(it);
    }
    if (scenario != HAPPENS || it->event != CLIENT_LEAVES)
        close(fd);
    OK(transom_server_stop(server, 0));
    transom_server_free(server);
    CHECK(counts.freed == 1);
}

/* ---- What is registered at a server or at a route, before the start ---- */

static bool before(void *user_data, transom_request *request, transom_response *response UNUSED)
{
    atomic_int *values = user_data;
    /* The second replaces the first, and the request frees the second. */
    OK(transom_request_set_value(request, &values[1], count));
    OK(transom_request_set_value(request, &values[2], count));
    CHECK(values[1] > 0);
    CHECK_STATUS(transom_request_set_value(NULL, &values[3], count), TRANSOM_NULL_ARGUMENT);
    return true;
}

static void on_exchange(void *user_data UNUSED, const transom_exchange *exchange UNUSED) {}

static int write_lines(void *user_data UNUSED, const void *data UNUSED, size_t len UNUSED)
{
    return 0;
}

static int format_line(void *user_data UNUSED, const transom_exchange *exchange UNUSED, char *buffer, size_t size)
{
    return snprintf(buffer, size, "a line");
}

static void own_answer(void *user_data UNUSED, const transom_own_answer *answer UNUSED, transom_response *response UNUSED) {}

static void answer(void *user_data, const transom_request *request UNUSED, transom_responder *responder)
{
    OK(transom_responder_send_owned(responder, 200, NULL, 0, "owned", 5, user_data, count, NULL));
    CHECK_STATUS(transom_responder_send_owned(responder, 200, NULL, 0, "twice", 5, user_data, count, NULL),
                 TRANSOM_ALREADY_ANSWERED);
}

static void of_servers(const char *model)
{
    static struct reply reply;
    static atomic_int hooks[4], values[4], log_hooks[2], refused_hooks, refused_logs, bodies;
    transom_access_log *log = NULL;
    transom_server *server = transom_server_new();
    transom_route *route = transom_route_new("GET", "/", answer, &bodies, NULL);
    uint16_t port;
    int i;
    for (i = 0; i < 4; i++)
        hooks[i] = values[i] = 0;
    refused_hooks = refused_logs = bodies = 0;
    log_hooks[0] = log_hooks[1] = 0;
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_set_thread_hooks(server, NULL, NULL, &hooks[0], count));
    OK(transom_server_on_exchange(server, on_exchange, &hooks[1], count));
    OK(transom_server_own_answers(server, own_answer, &hooks[2], count));
    OK(transom_server_wrap(server, before, NULL, values, count));
    OK(transom_route_wrap(route, before, NULL, values, NULL));
    OK(transom_server_add(server, route, NULL));
    OK(transom_server_route(server, "GET", "/other", say_hello, &hooks[3], count, NULL));

    CHECK_STATUS(transom_server_on_exchange(NULL, on_exchange, &refused_hooks, count), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_on_exchange(server, NULL, &refused_hooks, count), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_own_answers(server, NULL, &refused_hooks, count), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_wrap(server, NULL, NULL, &refused_hooks, count), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_route_wrap(NULL, before, NULL, &refused_hooks, count), TRANSOM_NULL_ARGUMENT);
    transom_route_free(transom_route_new("GET", "/", say_hello, &refused_hooks, count));
    CHECK_STATUS(transom_server_add_status(server, "/status", NULL, NULL, &refused_hooks, count, NULL),
                 TRANSOM_NULL_ARGUMENT);
    CHECK(refused_hooks == 7);

    OK(transom_access_log_new(write_lines, &log_hooks[0], count, &log, NULL));
    OK(transom_access_log_set_own_format(log, format_line, &log_hooks[1], count));
    OK(transom_server_add_access_log(server, log));
    CHECK_STATUS(transom_access_log_new(NULL, &refused_logs, count, &log, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_access_log_new(write_lines, &refused_logs, count, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_access_log_set_own_format(log, NULL, &refused_logs, count), TRANSOM_NULL_ARGUMENT);
    transom_access_log_free(log);
    CHECK_STATUS(transom_access_log_set_own_format(log, format_line, &refused_logs, count), TRANSOM_ALREADY_ANSWERED);
    CHECK(refused_logs == 4 && log_hooks[0] == 0 && log_hooks[1] == 0);

    port = start(server);
    CHECK_STATUS(transom_server_on_exchange(server, on_exchange, &refused_hooks, count), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_own_answers(server, own_answer, &refused_hooks, count), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_wrap(server, before, NULL, &refused_hooks, count), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_set_thread_hooks(server, NULL, NULL, &refused_hooks, count), TRANSOM_ALREADY_STARTED);
    CHECK(refused_hooks == 11);
    CHECK(get(port, "/", &reply) == 200 && strcmp(reply.body, "owned") == 0);
    EVENTUALLY(bodies == 2);
    /* Two before functions set two values each: the third value frees the second. */
    EVENTUALLY(values[1] == 2 && values[2] == 2 && values[3] == 2);
    for (i = 0; i < 4; i++)
        CHECK(hooks[i] == 0);
    transom_server_free(server);
    for (i = 0; i < 4; i++)
        CHECK(hooks[i] == 1);
    CHECK(values[0] == 1 && bodies == 2 && refused_hooks == 11);
    CHECK(log_hooks[0] == 1 && log_hooks[1] == 1 && refused_logs == 4);
}

int main(void)
{
    static const char *const models[] = {"event", "threads", "sequential"};
    size_t model, i;
    int scenario;
    for (model = 0; model < 3; model++) {
        for (i = 0; i < sizeof registrations / sizeof registrations[0]; i++)
            for (scenario = 0; scenario < SCENARIOS; scenario++) {
                fprintf(stderr, "%s %s %d\n", models[model], registrations[i].name, scenario);
                play(&registrations[i], models[model], (enum scenario)scenario);
            }
        of_servers(models[model]);
    }
    return 0;
}
