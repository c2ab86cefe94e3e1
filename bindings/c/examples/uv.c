/*
 * Requests in a libuv loop (https://libuv.org), beside a timer of the program. Needs libuv:
 *
 *     cc -Iinclude bindings/c/examples/uv.c -Ltarget/release -ltransom -luv -o uv
 *     curl http://127.0.0.1:8080/ticks             ticks: 3
 */
#include "example.h"

#include <uv.h>

static unsigned long ticks;

static void tick(uv_timer_t *timer)
{
    (void)timer;
    ticks++;
}

/* Answers the requests that are queued. */
static void serve(uv_poll_t *poll, int status, int events)
{
    const transom_request *request;
    transom_responder *responder;
    (void)status;
    (void)events;
    while (transom_server_next(poll->data, &request, &responder, NULL, 0) == TRANSOM_OK) {
        char text[256];
        snprintf(text, sizeof text, "%.*s: %lu\n", TRANSOM_PRINT(transom_request_param(request, "what")), ticks);
        transom_responder_send_text(responder, 200, text);
    }
}

static void end(uv_signal_t *signal, int number)
{
    (void)number;
    uv_stop(signal->loop);
}

int main(int argc, char **argv)
{
    uv_loop_t *loop = uv_default_loop();
    uv_poll_t poll;
    uv_timer_t timer;
    uv_signal_t interrupt, terminate;
    transom_server *server = transom_server_new();

    transom_server_add(server, transom_route_new_pull("GET", "/{what}", 0), NULL);
    poll.data = server;
    if (uv_poll_init(loop, &poll, transom_server_event_fd(server)) != 0 || uv_timer_init(loop, &timer) != 0 ||
        uv_signal_init(loop, &interrupt) != 0 || uv_signal_init(loop, &terminate) != 0)
        return 1;
    uv_poll_start(&poll, UV_READABLE, serve);
    uv_timer_start(&timer, tick, 1000, 1000);
    uv_signal_start(&interrupt, end, SIGINT);
    uv_signal_start(&terminate, end, SIGTERM);
    start(server, argc, argv);

    uv_run(loop, UV_RUN_DEFAULT);
    uv_poll_stop(&poll); /* before the server closes its descriptor */
    transom_server_free(server);
    return 0;
}
