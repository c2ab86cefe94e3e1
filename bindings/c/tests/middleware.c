/* Ready middleware around a server and around one route, and the settings that there are. */
#include "common.h"

static void hello(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    CHECK(transom_request_header(request, "x-request-id").len == 32);
    OK(transom_responder_send_text(responder, 200, "hello"));
}

/* Makes middleware with one setting, or none. */
static transom_middleware *make(const char *name, const char *argument, const char *setting, const char *value)
{
    transom_middleware *made;
    OK(transom_middleware_new(name, argument, &made, NULL));
    if (setting != NULL)
        OK(transom_middleware_set(made, setting, value, NULL));
    return made;
}

static void use(transom_server *server, transom_middleware *made)
{
    OK(transom_server_use(server, made));
    transom_middleware_free(made);
}

/* Asks, and returns the status. */
static int ask_for(uint16_t port, const char *line, const char *fields, struct reply *reply)
{
    char head[512];
    int fd = connect_to(port);
    snprintf(head, sizeof head, "%s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n%s\r\n", line, fields);
    say(fd, head);
    hear(fd, reply);
    return reply->status;
}

#define ORIGIN "Origin: https://a.example\r\n"
#define ALLOWED "access-control-allow-origin: https://a.example\r\n"

static void settings(void)
{
    static const struct {
        const char *name, *argument, *setting, *value;
    } good[] = {
        {"cors", NULL, "any_origin", NULL},         {"cors", NULL, "method", "PUT"},
        {"cors", NULL, "request_header", "x-a"},    {"cors", NULL, "expose", "x-a"},
        {"cors", NULL, "credentials", NULL},        {"cors", NULL, "max_age", "60"},
        {"basic_auth", "r", "user", "a:b"},         {"bearer_auth", "r", "token", "a:b"},
        {"security_headers", NULL, "hsts", "60"},   {"security_headers", NULL, "field", "x-a: 1"},
        {"request_ids", NULL, "trust_client", NULL}, {"canonical_host", "a", "https", NULL},
        {"trailing_slash", "add", NULL, NULL},      {"trailing_slash", "remove", NULL, NULL},
        {"rate_limit", "1/1", "addresses", "100"},  {"rate_limit", "1/1", "for_all_clients", NULL},
        {"concurrency_limit", "1", "for_each_address", NULL}, {"cache_control", "no-cache", "for_type", "image/: x"},
    }, bad[] = {
        {"nothing", NULL, NULL, NULL},  {"trailing_slash", "x", NULL, NULL}, {"rate_limit", "0/1", NULL, NULL},
        {"rate_limit", "1/0", NULL, NULL}, {"rate_limit", "1", NULL, NULL}, {"concurrency_limit", "-1", NULL, NULL},
        {"canonical_host", NULL, NULL, NULL}, {"cors", "x", NULL, NULL},
    };
    transom_middleware *made;
    transom_error *error;
    size_t i;
    for (i = 0; i < sizeof good / sizeof *good; i++) {
        made = make(good[i].name, good[i].argument, good[i].setting, good[i].value);
        CHECK_STATUS(transom_middleware_set(made, "nothing", NULL, &error), TRANSOM_INVALID_ARGUMENT);
        CHECK(strcmp(transom_error_message(error), "the middleware has no setting \"nothing\" of \"\"") == 0);
        transom_error_free(error);
        transom_middleware_free(made);
    }
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_STATUS(transom_middleware_new(bad[i].name, bad[i].argument, &made, NULL), TRANSOM_INVALID_ARGUMENT);
        CHECK(made == NULL);
    }
    made = make("basic_auth", "r", NULL, NULL);
    CHECK_STATUS(transom_middleware_set(made, "user", "no colon", NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_middleware_set(made, NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_middleware_set(NULL, "user", "a:b", NULL), TRANSOM_NULL_ARGUMENT);
    transom_middleware_free(made);
    CHECK_STATUS(transom_middleware_new(NULL, NULL, &made, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(made == NULL);
    CHECK_STATUS(transom_middleware_new("cors", NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    transom_middleware_free(NULL);
}

int main(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    transom_route *route;
    transom_middleware *limit = make("rate_limit", "2/60", "for_all_clients", NULL);
    uint16_t port;

    settings();
    CHECK_STATUS(transom_server_use(NULL, limit), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_use(server, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_route_use(NULL, limit), TRANSOM_NULL_ARGUMENT);
    use(server, make("cors", NULL, "origin", "https://a.example"));
    use(server, make("request_ids", NULL, NULL, NULL));
    use(server, make("security_headers", NULL, "field", "x-own: 1"));
    use(server, make("cache_control", "no-cache", NULL, NULL));
    OK(transom_server_route(server, "GET", "/", hello, NULL, NULL, NULL));
    route = transom_route_new("POST", "/limited", hello, NULL, NULL);
    CHECK_STATUS(transom_route_use(route, NULL), TRANSOM_NULL_ARGUMENT);
    OK(transom_route_use(route, limit));
    OK(transom_route_set_body_limit(route, 3));
    OK(transom_server_add(server, route, NULL));
    transom_middleware_free(limit);
    port = start(server);

    CHECK(ask_for(port, "GET /", ORIGIN, &reply) == 200);
    CHECK(strstr(reply.text, ALLOWED) && strstr(reply.text, "x-own: 1\r\n") && strstr(reply.text, "cache-control: no-cache\r\n"));
    CHECK(strstr(reply.text, "x-request-id: ") && strstr(reply.text, "x-content-type-options: nosniff\r\n"));
    CHECK(ask_for(port, "GET /none", ORIGIN, &reply) == 404 && strstr(reply.text, ALLOWED));
    CHECK(ask_for(port, "OPTIONS /", ORIGIN "Access-Control-Request-Method: PUT\r\n", &reply) == 204);
    CHECK(strstr(reply.text, "access-control-allow-methods: GET, HEAD, POST, PUT, PATCH, DELETE\r\n"));
    CHECK(ask_for(port, "POST /limited", "Content-Length: 0\r\n", &reply) == 200);
    CHECK(ask_for(port, "POST /limited", "Content-Length: 0\r\n", &reply) == 200);
    CHECK(ask_for(port, "POST /limited", "Content-Length: 0\r\n", &reply) == 429 && strstr(reply.text, "retry-after: "));
    CHECK(ask_for(port, "GET /", "", &reply) == 200);
    /* The server's own refusal. */
    CHECK(ask_for(port, "POST /limited", "Content-Length: 4\r\n", &reply) == 413 && strstr(reply.text, ALLOWED));
    transom_server_free(server);
    return 0;
}
