/* Routes as objects: each with its own body limit and timeout, and a fallback that has them too. */
#include "common.h"

static void size_of_body(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    char text[32];
    snprintf(text, sizeof text, "%zu", transom_request_body(request).len);
    OK(transom_responder_send_text(responder, 200, text));
}

/* Keeps the responder, which nobody answers. */
static void keep(void *user_data, const transom_request *request UNUSED, transom_responder *responder)
{
    atomic_store((_Atomic(transom_responder *) *)user_data, responder);
}

static transom_route *limited(const char *method, const char *pattern)
{
    transom_route *route = transom_route_new(method, pattern, size_of_body, NULL, NULL);
    OK(transom_route_set_body_limit(route, 4));
    OK(transom_route_set_inline(route, true));
    return route;
}

static int post(uint16_t port, const char *path, const char *body, struct reply *reply)
{
    char request[256];
    int fd = connect_to(port);
    snprintf(request, sizeof request,
             "POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", path, strlen(body),
             body);
    say(fd, request);
    hear(fd, reply);
    return reply->status;
}

/* A report is stored up to the size that the host says it has. */
static void sizes(transom_server *server)
{
    struct {
        transom_report report;
        uint64_t after;
    } larger = {{.size = sizeof larger}, 7};
    transom_report small = {.size = sizeof small - 1};
    CHECK_STATUS(transom_server_report(server, &small), TRANSOM_INVALID_ARGUMENT);
    larger.report.pending = 99;
    /* The last client may have its answer before the request counts as ended. */
    EVENTUALLY(transom_server_report(server, &larger.report) == TRANSOM_OK && larger.report.pending == 0);
    CHECK(larger.report.size == sizeof larger && larger.after == 7);
}

int main(void)
{
    static _Atomic(transom_responder *) kept;
    static struct reply reply;
    transom_server *server = transom_server_new();
    transom_route *route = transom_route_new("GET", "/slow", keep, &kept, NULL);
    transom_error *error;
    uint16_t port;
    OK(transom_route_set_timeout(route, 20));
    OK(transom_server_add(server, route, &error));
    CHECK(error == NULL);
    OK(transom_server_add(server, limited("POST", "/limited"), NULL));
    OK(transom_server_route(server, "POST", "/free", size_of_body, NULL, NULL, NULL));
    CHECK_STATUS(transom_server_add(server, limited("POST", "/limited"), &error), TRANSOM_BAD_ROUTE);
    CHECK(strstr(transom_error_message(error), "/limited") != NULL);
    transom_error_free(error);
    OK(transom_server_set_fallback(server, limited(NULL, NULL), NULL));
    port = start(server);

    CHECK(post(port, "/limited", "1234", &reply) == 200 && strcmp(reply.body, "4") == 0);
    CHECK(post(port, "/limited", "12345", &reply) == 413);
    CHECK(post(port, "/free", "12345", &reply) == 200 && strcmp(reply.body, "5") == 0);
    CHECK(post(port, "/else", "12345", &reply) == 413);
    CHECK(post(port, "/else", "123", &reply) == 200 && strcmp(reply.body, "3") == 0);
    CHECK(get(port, "/slow", &reply) == 503);
    transom_responder_free(atomic_load(&kept));
    sizes(server);
    transom_server_free(server);
    return 0;
}
