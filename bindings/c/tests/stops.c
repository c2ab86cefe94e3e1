/* A stop is told to requests and writers, by callbacks and by events, so that streams end in order. */
#include "common.h"

static transom_server *server;
static transom_events *events;
static transom_writer *_Atomic stream;
static transom_responder *_Atomic kept;
static const transom_request *_Atomic kept_request;
static atomic_int told, freed;

static void tell(void *user_data)
{
    CHECK(transom_server_is_stopping(server));
    count(user_data);
}

static void count_free(void *user_data UNUSED)
{
    count(&freed);
}

/* Ends the stream with a last event. */
static void end_stream(void *user_data UNUSED)
{
    transom_writer *writer = atomic_exchange(&stream, NULL);
    CHECK(transom_writer_is_stopping(writer));
    OK(transom_writer_write(writer, "data: bye\n\n", 11, 0));
    OK(transom_writer_finish(writer));
}

static void keep(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    CHECK(!transom_request_is_stopping(request));
    OK(transom_responder_on_stopping(responder, tell, &told, count_free));
    OK(transom_events_watch_stopping(events, (uintptr_t)responder));
    OK(transom_events_watch_stopping(events, (uintptr_t)responder));
    CHECK_STATUS(transom_responder_on_stopping(responder, NULL, &told, count_free), TRANSOM_NULL_ARGUMENT);
    atomic_store(&kept_request, request);
    atomic_store(&kept, responder);
}

/* Nothing is told of a request that is answered, or of a writer that has ended. */
static void answer(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_writer *writer;
    OK(transom_responder_on_stopping(responder, tell, &told, count_free));
    OK(transom_events_watch_stopping(events, (uintptr_t)responder));
    if (transom_bytes_equal(transom_request_path(request), "/text")) {
        OK(transom_responder_send_text(responder, 200, "answered"));
    } else {
        OK(transom_responder_start(responder, 200, NULL, 0, &writer, NULL));
        OK(transom_writer_on_stopping(writer, tell, &told, count_free));
        OK(transom_events_watch_writer_stopping(events, writer));
        CHECK(!transom_writer_is_stopping(writer));
        OK(transom_writer_write(writer, "answered", 8, 0));
        OK(transom_writer_finish(writer));
    }
    CHECK_STATUS(transom_responder_on_stopping(responder, tell, &told, count_free), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_events_watch_stopping(events, (uintptr_t)responder), TRANSOM_ALREADY_ANSWERED);
}

static void begin(void *by_event, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_writer *writer;
    OK(transom_responder_start(responder, 200, NULL, 0, &writer, NULL));
    OK(transom_writer_write(writer, "data: hello\n\n", 13, 0));
    if (by_event)
        OK(transom_events_watch_writer_stopping(events, writer));
    else
        OK(transom_writer_on_stopping(writer, end_stream, NULL, count_free));
    /* Last, because the server is stopped once it is there. */
    atomic_store(&stream, writer);
}

static transom_event next_event(void)
{
    transom_event event;
    uint32_t number;
    OK(transom_events_next(events, &event, 1, PATIENCE_MS, &number));
    CHECK(number == 1 && event.reserved == 0);
    return event;
}

static void serve(const char *model)
{
    static struct reply reply;
    transom_report report = {.size = sizeof report};
    transom_event event;
    transom_responder *pulled;
    const transom_request *request;
    transom_writer *writer;
    uint32_t number;
    uint16_t port;
    int waiting, by_callback = -1, by_event, puller, freed_so_far;
    bool is_sequential = strcmp(model, "sequential") == 0;

    atomic_store(&told, 0);
    atomic_store(&freed, 0);
    events = transom_events_new();
    server = transom_server_new();
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_route(server, "GET", "/keep", keep, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/text", answer, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/stream", answer, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/callback", begin, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/event", begin, &told, NULL, NULL));
    OK(transom_server_add(server, transom_route_new_pull("GET", "/pulled", 1), NULL));
    port = start(server);

    CHECK(get(port, "/text", &reply) == 200 && get(port, "/stream", &reply) == 200);
    /* The registrations of both, the writer's, and the two that failed. */
    EVENTUALLY(freed == 5);
    freed_so_far = freed;
    if (is_sequential) {
        /* It serves one connection at a time. */
        by_event = connect_to(port);
        ask(by_event, "GET", "/event");
        EVENTUALLY(stream != NULL);
        OK(transom_server_stop(server, TRANSOM_FOREVER));
        event = next_event();
        CHECK(event.kind == TRANSOM_EVENT_WRITER_STOPPING && event.token == (uintptr_t)stream);
        end_stream(NULL);
        hear(by_event, &reply);
        CHECK(strstr(reply.body, "data: bye\n\n\r\n0\r\n\r\n") != NULL);
    } else {
        waiting = connect_to(port);
        ask(waiting, "GET", "/keep");
        EVENTUALLY(kept != NULL);
        by_callback = connect_to(port);
        ask(by_callback, "GET", "/callback");
        EVENTUALLY(stream != NULL);
        puller = connect_to(port);
        ask(puller, "GET", "/pulled");
        OK(transom_server_next(server, &request, &pulled, NULL, PATIENCE_MS));
        OK(transom_events_watch_stopping(events, (uintptr_t)pulled));
        CHECK(!transom_request_is_stopping(request) && told == 0);
        CHECK_STATUS(transom_events_next(events, &event, 1, 0, &number), TRANSOM_TIMEOUT);

        OK(transom_server_stop(server, TRANSOM_FOREVER));
        CHECK(told == 1 && stream == NULL);
        hear(by_callback, &reply);
        CHECK(reply.status == 200 && strstr(reply.body, "data: bye\n\n\r\n0\r\n\r\n") != NULL);
        event = next_event();
        CHECK(event.kind == TRANSOM_EVENT_STOPPING && (event.token == (uintptr_t)kept || event.token == (uintptr_t)pulled));
        event = next_event();
        CHECK(event.kind == TRANSOM_EVENT_STOPPING);
        CHECK_STATUS(transom_events_next(events, &event, 1, 0, &number), TRANSOM_TIMEOUT);

        /* From now on, all is told at once. */
        CHECK(transom_request_is_stopping(kept_request) && transom_request_is_stopping(request));
        OK(transom_responder_on_stopping(pulled, tell, &told, count_free));
        CHECK(told == 2);
        OK(transom_responder_start(pulled, 200, NULL, 0, &writer, NULL));
        CHECK(transom_writer_is_stopping(writer));
        OK(transom_writer_on_stopping(writer, tell, &told, count_free));
        CHECK(told == 3);
        OK(transom_events_watch_writer_stopping(events, writer));
        CHECK(next_event().kind == TRANSOM_EVENT_WRITER_STOPPING);
        OK(transom_writer_finish(writer));
        hear(puller, &reply);
        CHECK(reply.status == 200);
        OK(transom_responder_send_text(atomic_exchange(&kept, NULL), 200, "in time"));
        hear(waiting, &reply);
        CHECK(reply.status == 200 && strcmp(reply.body, "in time") == 0);
        /* Also the failed one of keep. */
        EVENTUALLY(freed == freed_so_far + 5);
    }
    OK(transom_server_wait(server, PATIENCE_MS));
    OK(transom_server_report(server, &report));
    CHECK(report.cut == 0 && report.pending == 0);
    CHECK(told == (is_sequential ? 0 : 3));
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
