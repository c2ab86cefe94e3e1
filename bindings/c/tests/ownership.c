/* Free functions run exactly once, on success and after every error. */
#include "common.h"

static atomic_int routes_freed, bodies_freed, hooks_freed;

static void free_body(void *user_data)
{
    free(user_data);
    atomic_fetch_add(&bodies_freed, 1);
}

static void send_owned(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    const transom_field bad = TRANSOM_FIELD("a", "\n"), good = TRANSOM_FIELD("content-type", "text/plain");
    uint8_t *body = malloc(30000);
    atomic_int freed = 0;
    (void)request;
    memset(body, 'x', 30000);
    /* If a response is refused, its body is freed, and the responder can still be used. */
    CHECK_STATUS(transom_responder_send_owned(responder, 200, &bad, 1, body, 1, &freed, count, NULL), TRANSOM_BAD_HEADER);
    CHECK_STATUS(transom_responder_send_owned(responder, 7, NULL, 0, body, 1, &freed, count, NULL), TRANSOM_BAD_STATUS_CODE);
    CHECK_STATUS(transom_responder_send_owned(responder, 200, NULL, 0, NULL, 1, &freed, count, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send_owned(NULL, 200, NULL, 0, body, 1, &freed, count, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(freed == 4);
    OK(transom_responder_send_owned(responder, 200, &good, 1, body, 30000, body, free_body, NULL));
    CHECK_STATUS(transom_responder_send_owned(responder, 200, NULL, 0, "x", 1, &freed, count, NULL),
                 TRANSOM_ALREADY_ANSWERED);
    CHECK(freed == 5);
}

static void send_empty(void *user_data, const transom_request *request UNUSED, transom_responder *responder)
{
    OK(transom_responder_send_owned(responder, 200, NULL, 0, NULL, 0, user_data, count, NULL));
}

static void send_static(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    static const char text[] = "static";
    OK(transom_responder_send_owned(responder, 200, NULL, 0, (const uint8_t *)text, TRANSOM_NUL_TERMINATED, NULL, NULL, NULL));
}

/* A free function that uses the server, which works only if no lock is held. */
static transom_server *used_in_free;
static atomic_int used;

static void use_server(void *user_data UNUSED)
{
    transom_server_set_timeout(used_in_free, "idle", PATIENCE_MS, NULL);
    transom_server_route(used_in_free, "GET", "bad", say_hello, NULL, NULL, NULL);
    atomic_fetch_add(&used, 1);
}

static void failed_registrations(transom_server *server)
{
    atomic_int freed = 0;
    CHECK_STATUS(transom_server_route(NULL, "GET", "/x", say_hello, &freed, count, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_route(server, "GET", NULL, say_hello, &freed, count, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_route(server, "GET", "/x", NULL, &freed, count, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_route(server, "GET", "x", say_hello, &freed, count, NULL), TRANSOM_BAD_ROUTE);
    CHECK_STATUS(add_inline(server, "G T", "/x", say_hello, &freed, count), TRANSOM_BAD_ROUTE);
    CHECK_STATUS(transom_server_set_fallback(NULL, transom_route_new(NULL, NULL, say_hello, &freed, count), NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_fallback(server, transom_route_new(NULL, NULL, NULL, &freed, count), NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_thread_hooks(NULL, NULL, NULL, &freed, count), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_on_gone(NULL, count, &freed, count), TRANSOM_NULL_ARGUMENT);
    CHECK(freed == 9);
}

int main(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    atomic_int freed = 0;
    uint16_t port;
    int i;

    /* A server that is never started. */
    OK(transom_server_route(server, "GET", "/", say_hello, &freed, count, NULL));
    OK(transom_server_set_fallback(server, transom_route_new(NULL, NULL, say_hello, &freed, count), NULL));
    OK(transom_server_set_thread_hooks(server, NULL, NULL, &freed, count));
    CHECK(freed == 0);
    transom_server_free(server);
    CHECK(freed == 3);

    /* Hooks and fallbacks that are replaced are freed. */
    server = used_in_free = transom_server_new();
    failed_registrations(server);
    freed = 0;
    OK(transom_server_set_fallback(server, transom_route_new(NULL, NULL, say_hello, &freed, count), NULL));
    OK(transom_server_set_fallback(server, transom_route_new(NULL, NULL, say_hello, &freed, use_server), NULL));
    CHECK(freed == 1);
    OK(transom_server_set_fallback(server, transom_route_new(NULL, NULL, say_hello, &routes_freed, count), NULL));
    CHECK(used == 1);
    OK(transom_server_set_thread_hooks(server, NULL, NULL, &freed, use_server));
    OK(transom_server_set_thread_hooks(server, NULL, NULL, &hooks_freed, count));
    CHECK(used == 2);

    /* A server that is started: its routes, hooks and bodies. */
    OK(transom_server_route(server, "GET", "/owned", send_owned, &routes_freed, count, NULL));
    OK(transom_server_route(server, "GET", "/empty", send_empty, &bodies_freed, NULL, NULL));
    OK(add_inline(server, "GET", "/static", send_static, &routes_freed, count));
    port = start(server);
    CHECK_STATUS(transom_server_route(server, "GET", "/late", say_hello, &freed, use_server, NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_set_fallback(server, transom_route_new(NULL, NULL, say_hello, &freed, use_server), NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_set_thread_hooks(server, NULL, NULL, &freed, use_server), TRANSOM_ALREADY_STARTED);
    CHECK(used == 5);
    for (i = 0; i < 10; i++) {
        CHECK(get(port, "/owned", &reply) == 200);
        CHECK(strlen(reply.body) == 30000 && strspn(reply.body, "x") == 30000);
    }
    EVENTUALLY(bodies_freed == 10);
    CHECK(get(port, "/empty", &reply) == 200 && *reply.body == '\0');
    EVENTUALLY(bodies_freed == 11);
    CHECK(get(port, "/static", &reply) == 200 && strcmp(reply.body, "static") == 0);
    CHECK(routes_freed == 0 && hooks_freed == 0);
    transom_server_free(server);
    CHECK(routes_freed == 3 && hooks_freed == 1);
    CHECK(bodies_freed == 11);
    return 0;
}
