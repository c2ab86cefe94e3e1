/* Log messages about requests that fail name the method, the path and the route. */
#include "common.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char lines[65536];
static transom_responder *_Atomic kept;
static atomic_int busy, leave;

static void keep_line(void *user_data UNUSED, int32_t level, const char *message)
{
    static const char *const names[] = {"", "error", "warning", "information", "debug", "trace"};
    size_t used;
    pthread_mutex_lock(&lock);
    used = strlen(lines);
    snprintf(lines + used, sizeof lines - used, "%s: %s\n", names[level], message);
    pthread_mutex_unlock(&lock);
}

static int logged(const char *text)
{
    int found;
    pthread_mutex_lock(&lock);
    found = strstr(lines, text) != NULL;
    pthread_mutex_unlock(&lock);
    return found;
}

static void forget(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    atomic_store(&kept, responder);
}

static void give_up(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_responder_free(responder);
}

static void block(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    atomic_fetch_add(&busy, 1);
    EVENTUALLY(atomic_load(&leave));
    transom_responder_send_text(responder, 200, "done");
}

int main(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    transom_error *error = NULL;
    transom_route *route;
    uint16_t port;
    int fd;

    CHECK_STATUS(transom_set_log_level(6), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_set_log_level(-1), TRANSOM_INVALID_ARGUMENT);
    OK(transom_set_log_level(2));
    OK(transom_log(1, "nobody listens yet"));
    OK(transom_set_logger(keep_line, NULL));
    OK(transom_log(1, "of the host"));
    CHECK(logged("error: of the host\n") && !logged("nobody"));
    OK(transom_log(2, "of its callback"));
    OK(transom_log(3, "beyond the level"));
    CHECK(logged("warning: of its callback\n") && !logged("beyond"));
    CHECK_STATUS(transom_log(0, "x"), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_log(6, "x"), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_log(1, "\xff"), TRANSOM_NOT_UTF8);
    CHECK_STATUS(transom_log(1, NULL), TRANSOM_NULL_ARGUMENT);
    /* A mistake for which there is no place for an error. */
    CHECK_STATUS(transom_server_route(server, "GET", "hello", forget, NULL, NULL, NULL), TRANSOM_BAD_ROUTE);
    CHECK(logged("warning: a call was refused: bad route GET \"hello\": a pattern starts with `/`\n"));
    CHECK_STATUS(transom_server_set_limit(server, "size", 1, &error), TRANSOM_INVALID_ARGUMENT);
    CHECK(error != NULL && !logged("size"));
    transom_error_free(error);
    /* Inline, because a handler on the pool might start too late. */
    OK(add_inline(server, NULL, "/forget/{id}", forget, NULL, NULL));
    /* Without a deadline, which might pass between the end of the handler and the answer. */
    route = transom_route_new(NULL, "/free/{id}", give_up, NULL, NULL);
    OK(transom_route_set_inline(route, true));
    OK(transom_route_set_timeout(route, TRANSOM_FOREVER));
    OK(transom_server_add(server, route, NULL));
    OK(transom_server_add(server, transom_route_new_pull(NULL, "/pull/{id}", 1), NULL));
    OK(transom_server_set_fallback(server, transom_route_new(NULL, NULL, forget, NULL, NULL), NULL));
    OK(transom_server_set_timeout(server, "handler", 100, NULL));
    port = start(server);

    CHECK(get(port, "/forget/7?x=1", &reply) == 503);
    EVENTUALLY(logged("warning: a handler did not answer in time (GET /forget/7, route /forget/{id})\n"));
    CHECK_STATUS(transom_responder_send_text(atomic_exchange(&kept, NULL), 200, "late"), TRANSOM_GONE);
    fd = connect_to(port);
    ask(fd, "POST", "/pull/8");
    hear(fd, &reply);
    CHECK(reply.status == 503);
    EVENTUALLY(logged("warning: a handler did not answer in time (POST /pull/8, route /pull/{id})\n"));
    CHECK(get(port, "/else", &reply) == 503);
    EVENTUALLY(logged("warning: a handler did not answer in time (GET /else, the fallback)\n"));
    transom_responder_free(atomic_load(&kept)); /* if the fallback started in time */
    fd = connect_to(port);
    say(fd, "GET / HTTP/1.1\r\n\r\n");
    hear(fd, &reply);
    CHECK(reply.status == 400 && !logged("debug: "));
    OK(transom_set_log_level(0));
    CHECK(get(port, "/free/9", &reply) == 500);
    CHECK(!logged("responder was dropped"));
    OK(transom_set_log_level(5));
    fd = connect_to(port);
    say(fd, "GET / HTTP/1.1\r\n\r\n");
    hear(fd, &reply);
    EVENTUALLY(logged("debug: refused a request of 127.0.0.1:"));
    CHECK(get(port, "/free/9", &reply) == 500);
    EVENTUALLY(logged("error: a request was never answered: its responder was dropped (GET /free/9, route /free/{id})\n"));
    transom_server_free(server);

    /* The pool and the pull queue are full. */
    server = transom_server_new();
    OK(transom_server_set_limit(server, "pool_threads", 1, NULL));
    OK(transom_server_set_limit(server, "pool_queue", 0, NULL));
    OK(transom_server_route(server, NULL, "/block/{id}", block, NULL, NULL, NULL));
    port = start(server);
    fd = connect_to(port);
    ask(fd, "GET", "/block/1");
    EVENTUALLY(atomic_load(&busy) == 1);
    CHECK(get(port, "/block/2", &reply) == 503);
    EVENTUALLY(logged("warning: a handler had no thread: pool-full (GET /block/2, route /block/{id})\n"));
    atomic_store(&leave, 1);
    hear(fd, &reply);
    CHECK(reply.status == 200);
    transom_server_free(server);

    server = transom_server_new();
    OK(transom_server_set_limit(server, "pool_queue", 0, NULL));
    OK(transom_server_add(server, transom_route_new_pull(NULL, "/pull/{id}", 1), NULL));
    port = start(server);
    CHECK(get(port, "/pull/3", &reply) == 503);
    EVENTUALLY(logged("warning: a handler had no thread: pool-full (GET /pull/3, route /pull/{id})\n"));
    transom_server_free(server);
    return 0;
}
