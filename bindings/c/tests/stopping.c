/* Stopping, waiting and freeing, on any thread and in handlers. */
#include "common.h"

static atomic_int released, freed, waited;
static transom_server *server;

static void stop_here(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    OK(transom_server_stop(server, 5000));
    OK(transom_server_stop(server, 5000));
    CHECK_STATUS(transom_server_wait(server, TRANSOM_FOREVER), TRANSOM_WOULD_DEADLOCK);
    CHECK_STATUS(transom_server_wait(server, 0), TRANSOM_WOULD_DEADLOCK);
    OK(transom_responder_send_text(responder, 200, "stopping"));
}

/* Set once the main thread has used the server for the last time. */
static atomic_int may_free;

static void free_here(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    EVENTUALLY(may_free);
    transom_server_free(server);
    OK(transom_responder_send_text(responder, 200, "freed"));
}

static void hold(void *user_data, const transom_request *request UNUSED, transom_responder *responder)
{
    atomic_store((atomic_int *)user_data, 1);
    EVENTUALLY(released);
    transom_responder_send_text(responder, 200, "held");
}

/* A handler that goes on long after the server was freed, and uses it. */
static void hold_on(void *user_data, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_report report = {.size = sizeof report};
    atomic_store((atomic_int *)user_data, 1);
    EVENTUALLY(released);
    EVENTUALLY(transom_responder_is_gone(responder));
    OK(transom_server_stop(server, 0));
    OK(transom_server_report(server, &report));
    CHECK(transom_server_port(server) != 0);
    CHECK_STATUS(transom_responder_send_text(responder, 200, "late"), TRANSOM_GONE);
}

/* A callback that runs during the start. */
static void stop_at_once(void *user_data)
{
    OK(transom_server_stop(server, 1000));
    count(user_data);
}

static void keep(void *user_data, const transom_request *request UNUSED, transom_responder *responder)
{
    *(transom_responder *_Atomic *)user_data = responder;
}

static void *wait_for_it(void *unused UNUSED)
{
    OK(transom_server_wait(server, TRANSOM_FOREVER));
    atomic_fetch_add(&waited, 1);
    return NULL;
}

static transom_server *with(const char *path, transom_handler_fn handler, void *user_data, int is_inline)
{
    transom_server *it = transom_server_new();
    if (is_inline)
        OK(add_inline(it, "GET", path, handler, user_data, NULL));
    else
        OK(transom_server_route(it, "GET", path, handler, user_data, NULL, NULL));
    return it;
}

static __thread int is_registered;
static atomic_int registered, unregistered, stuck, unstuck, routes_freed;

static void register_thread(void *user_data UNUSED)
{
    is_registered = 1;
    atomic_fetch_add(&registered, 1);
}

static void unregister_thread(void *user_data UNUSED)
{
    CHECK(is_registered);
    is_registered = 0;
    atomic_fetch_add(&unregistered, 1);
}

/* A free function that runs on the thread that frees the server, or on one with hooks. */
static void free_registered(void *user_data UNUSED)
{
    CHECK(is_registered);
    atomic_fetch_add(&routes_freed, 1);
}

static void get_stuck(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    CHECK(is_registered);
    atomic_store(&stuck, 1);
    EVENTUALLY(atomic_load(&unstuck));
    transom_responder_free(responder);
}

/* A server that could not be freed in time is freed by the library later, on threads that have
   run the thread hooks. */
static void free_with_a_stuck_handler(const char *model)
{
    transom_server *server = transom_server_new();
    int fd;
    atomic_store(&stuck, 0);
    atomic_store(&unstuck, 0);
    atomic_store(&routes_freed, 0);
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_set_thread_hooks(server, register_thread, unregister_thread, NULL, NULL));
    OK(transom_server_set_timeout(server, "stop", 10, NULL));
    OK(transom_server_route(server, NULL, "/", get_stuck, NULL, free_registered, NULL));
    fd = connect_to(start(server));
    ask(fd, "GET", "/");
    EVENTUALLY(atomic_load(&stuck));
    transom_server_free(server);
    CHECK(atomic_load(&routes_freed) == 0);
    atomic_store(&unstuck, 1);
    EVENTUALLY(atomic_load(&routes_freed) == 1);
    EVENTUALLY(atomic_load(&registered) == atomic_load(&unregistered));
    close(fd);
}

int main(void)
{
    free_with_a_stuck_handler("event");
    free_with_a_stuck_handler("threads");
    free_with_a_stuck_handler("sequential");

    static struct reply reply;
    transom_responder *_Atomic kept = NULL;
    transom_report report = {.size = sizeof report};
    pthread_t waiting[3];
    atomic_int held = 0;
    uint16_t port;
    int fd, i, is_inline;

    for (is_inline = 0; is_inline < 2; is_inline++) {
        /* A handler stops the server twice, while other threads wait. */
        server = with("/stop", stop_here, NULL, is_inline);
        port = start(server);
        waited = 0;
        for (i = 0; i < 3; i++)
            CHECK(pthread_create(&waiting[i], NULL, wait_for_it, NULL) == 0);
        CHECK(get(port, "/stop", &reply) == 200);
        OK(transom_server_wait(server, PATIENCE_MS));
        for (i = 0; i < 3; i++)
            pthread_join(waiting[i], NULL);
        CHECK(waited == 3);
        OK(transom_server_stop(server, 0));
        OK(transom_server_wait(server, 0));
        OK(transom_server_wait(server, TRANSOM_FOREVER));
        transom_server_free(server);

        /* A handler frees the server: the rest is freed later, user data included. */
        freed = 0;
        server = with("/free", free_here, NULL, is_inline);
        OK(transom_server_set_fallback(server, transom_route_new(NULL, NULL, say_hello, &freed, count), NULL));
        may_free = 0;
        port = start(server);
        may_free = 1;
        CHECK(get(port, "/free", &reply) == 200 && strcmp(reply.body, "freed") == 0);
        EVENTUALLY(freed == 1);
    }

    /* Requests in progress finish; idle connections do not delay the stop. */
    server = with("/hold", hold, &held, 0);
    port = start(server);
    i = connect_to(port);
    fd = connect_to(port);
    ask(fd, "GET", "/hold");
    EVENTUALLY(held);
    OK(transom_server_stop(server, PATIENCE_MS));
    CHECK_STATUS(transom_server_wait(server, 50), TRANSOM_TIMEOUT);
    OK(transom_server_report(server, &report));
    CHECK(report.pending == 1 && report.cut == 0);
    released = 1;
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "held") == 0);
    OK(transom_server_wait(server, PATIENCE_MS));
    OK(transom_server_report(server, &report));
    CHECK(report.pending == 0 && report.finished == 1 && report.cut == 0);
    transom_server_free(server);
    close(i);

    /* Requests that do not end in time are cut off. */
    server = with("/keep", keep, &kept, 1);
    port = start(server);
    fd = connect_to(port);
    ask(fd, "GET", "/keep");
    EVENTUALLY(kept != NULL);
    OK(transom_server_stop(server, TRANSOM_FOREVER));
    CHECK_STATUS(transom_server_wait(server, 50), TRANSOM_TIMEOUT);
    OK(transom_server_stop(server, 50)); /* a shorter deadline */
    OK(transom_server_wait(server, PATIENCE_MS));
    OK(transom_server_report(server, &report));
    CHECK(report.pending == 0 && report.cut == 1);
    hear(fd, &reply);
    CHECK(reply.length == 0);
    CHECK(transom_responder_is_gone(kept));
    CHECK_STATUS(transom_responder_send_text(kept, 200, "late"), TRANSOM_GONE);
    transom_server_free(server);

    /* Freed while a request is never answered: the request is cut off, and every thread has ended. */
    kept = NULL;
    freed = 0;
    server = transom_server_new();
    OK(transom_server_route(server, "GET", "/keep", keep, &kept, NULL, NULL));
    OK(transom_server_set_fallback(server, transom_route_new(NULL, NULL, say_hello, &freed, count), NULL));
    OK(transom_server_set_timeout(server, "stop", 100, NULL));
    fd = connect_to(start(server));
    ask(fd, "GET", "/keep");
    EVENTUALLY(kept != NULL);
    transom_server_free(server);
    EVENTUALLY(freed == 1);
    close(fd);
    transom_responder_free(kept);

    /* Freed while a handler does not end in time: the handler can still use the server. */
    held = released = 0;
    freed = 0;
    server = with("/hold", hold_on, &held, 0);
    OK(transom_server_set_fallback(server, transom_route_new(NULL, NULL, say_hello, &freed, count), NULL));
    OK(transom_server_set_timeout(server, "stop", 100, NULL));
    fd = connect_to(start(server));
    ask(fd, "GET", "/hold");
    EVENTUALLY(held);
    transom_server_free(server);
    CHECK(freed == 0);
    released = 1;
    EVENTUALLY(freed == 1);
    close(fd);

    /* Stopped by a hook or a handler that runs before the start has ended. */
    for (i = 0; i < 10; i++) {
        held = 0;
        server = with("/", say_hello, NULL, 0);
        OK(transom_server_set_workers(server, 8, NULL));
        OK(transom_server_set_thread_hooks(server, stop_at_once, NULL, &held, NULL));
        start(server);
        OK(transom_server_wait(server, PATIENCE_MS));
        CHECK(held >= 8);
        transom_server_free(server);
    }

    /* Freed while it runs, and directly after the start. */
    server = with("/", say_hello, NULL, 0);
    CHECK(get(start(server), "/", &reply) == 200);
    transom_server_free(server);
    server = with("/", say_hello, NULL, 0);
    start(server);
    transom_server_free(server);
    return 0;
}
