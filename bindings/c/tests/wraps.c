/* Functions before and after handlers: their order, what they see, and what they change. */
#include "common.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char calls[256];
static atomic_int freed_values;
static transom_responder *_Atomic kept;

static void called(const char *name)
{
    pthread_mutex_lock(&lock);
    strcat(calls, name);
    pthread_mutex_unlock(&lock);
}

/* Checks which functions were called since the last time. */
static void expect(const char *names)
{
    pthread_mutex_lock(&lock);
    if (strcmp(calls, names) != 0) {
        fprintf(stderr, "called: %s, not %s\n", calls, names);
        exit(1);
    }
    calls[0] = '\0';
    pthread_mutex_unlock(&lock);
}

/* The user data is the name of the registration. */
static bool before(void *user_data, transom_request *request, transom_response *response)
{
    char name[16];
    snprintf(name, sizeof name, "%s> ", (const char *)user_data);
    called(name);
    CHECK(transom_response_status_code(response) == 403 && transom_response_body(response).len == 0);
    CHECK(memcmp(transom_request_peer(request).data, "127.0.0.1:", 10) == 0);
    return true;
}

static void after(void *user_data, const transom_request *request, transom_response *response)
{
    char name[16];
    snprintf(name, sizeof name, "<%s ", (const char *)user_data);
    called(name);
    CHECK(transom_request_path(request).len > 0);
    CHECK(memcmp(transom_request_peer(request).data, "127.0.0.1:", 10) == 0);
    CHECK(transom_request_body(request).len == 0);
    OK(transom_response_add_header(response, "x-after", user_data, TRANSOM_NUL_TERMINATED, NULL));
}

static void free_value(void *value)
{
    free(value);
    atomic_fetch_add(&freed_values, 1);
}

/* Lets those in who have the token, and gives the request the name of the user. */
static bool authenticate(void *user_data UNUSED, transom_request *request, transom_response *response)
{
    called("auth ");
    if (is(transom_request_header(request, "Authorization"), "Bearer secret")) {
        OK(transom_request_set_value(request, strdup("nobody"), free_value));
        OK(transom_request_set_value(request, strdup("ada"), free_value)); /* replaces the first */
        CHECK(strcmp(transom_request_value(request), "ada") == 0);
        return true;
    }
    CHECK(transom_request_value(request) == NULL);
    if (is(transom_request_query(request), "plain"))
        return false;
    OK(transom_response_set_status_code(response, 401));
    OK(transom_response_set_header(response, "www-authenticate", "Bearer", TRANSOM_NUL_TERMINATED, NULL));
    OK(transom_response_set_body(response, "who?", TRANSOM_NUL_TERMINATED));
    return false;
}

/* Replaces a body in memory by its length, and reports the user. */
static void measure(void *user_data UNUSED, const transom_request *request, transom_response *response)
{
    char text[64];
    transom_bytes body = transom_response_body(response);
    CHECK(strcmp(transom_request_value(request), "ada") == 0);
    CHECK(is(transom_request_param(request, "id"), "7"));
    if (body.data == NULL) {
        OK(transom_response_set_header(response, "x-body", "absent", TRANSOM_NUL_TERMINATED, NULL));
        return;
    }
    snprintf(text, sizeof text, "%d bytes of %.*s", (int)body.len,
             TRANSOM_PRINT(transom_response_header(response, "content-type")));
    OK(transom_response_set_body(response, text, TRANSOM_NUL_TERMINATED));
    OK(transom_response_set_status_code(response, 203));
}

static void greet(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    const char *name = transom_request_value(request);
    const transom_field length = TRANSOM_FIELD("content-length", "9");
    char text[64];
    called("handler ");
    if (is(transom_request_query(request), "stream")) {
        transom_writer *writer;
        OK(transom_responder_start(responder, 200, &length, 1, &writer, NULL));
        OK(transom_writer_write(writer, "in pieces", 9, 0));
        OK(transom_writer_finish(writer));
        return;
    }
    snprintf(text, sizeof text, "hello %s", name ? name : "you");
    OK(transom_responder_send_text(responder, 200, text));
}

static void keep(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    called("handler ");
    atomic_store(&kept, responder);
}

static void echo(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_bytes body = transom_request_body(request);
    called("handler ");
    OK(transom_responder_send(responder, 200, NULL, 0, body.data, body.len, NULL));
}

static bool measure_body(void *user_data UNUSED, transom_request *request, transom_response *response UNUSED)
{
    CHECK(transom_request_body(request).len == 5);
    return true;
}

static int get_as(uint16_t port, const char *target, const char *token, struct reply *reply)
{
    char text[512];
    int fd = connect_to(port);
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", target,
             token);
    say(fd, text);
    hear(fd, reply);
    return reply->status;
}

static transom_route *wrapped(const char *method, const char *pattern, transom_handler_fn handler, atomic_int *freed)
{
    static char name[] = "route";
    transom_route *route = transom_route_new(method, pattern, handler, NULL, NULL);
    OK(transom_route_wrap(route, before, after, name, NULL));
    OK(transom_route_wrap(route, before, NULL, freed, count));
    CHECK_STATUS(transom_route_wrap(route, NULL, NULL, freed, count), TRANSOM_NULL_ARGUMENT);
    transom_route_free(route);
    route = transom_route_new(method, pattern, handler, NULL, NULL);
    OK(transom_route_wrap(route, before, after, name, NULL));
    return route;
}

static void serve(const char *model)
{
    static struct reply reply;
    static atomic_int freed;
    static char one[] = "1", two[] = "2", user[] = "user", pulled[] = "pull";
    transom_server *server = transom_server_new();
    const transom_request *request;
    transom_responder *responder;
    transom_route *route;
    uint16_t port;
    int fd;

    atomic_store(&freed, 0);
    atomic_store(&freed_values, 0);
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_wrap(server, before, after, one, NULL));
    OK(transom_server_wrap(server, NULL, after, two, NULL));
    OK(transom_server_add(server, wrapped("GET", "/hello", greet, &freed), NULL));
    CHECK(atomic_load(&freed) == 2);
    OK(transom_server_route(server, "GET", "/plain", greet, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/keep", keep, NULL, NULL, NULL));
    route = transom_route_new("GET", "/users/{id}", greet, NULL, NULL);
    OK(transom_route_wrap(route, authenticate, measure, user, NULL));
    OK(transom_server_add(server, route, NULL));
    route = transom_route_new_pull("GET", "/pull", 1);
    OK(transom_route_wrap(route, before, after, pulled, NULL));
    OK(transom_server_add(server, route, NULL));
    route = transom_route_new("POST", "/echo", echo, NULL, NULL);
    OK(transom_route_wrap(route, measure_body, NULL, NULL, NULL));
    OK(transom_server_add(server, route, NULL));
    port = start(server);
    CHECK_STATUS(transom_server_wrap(server, before, after, &freed, count), TRANSOM_ALREADY_STARTED);
    CHECK(atomic_load(&freed) == 3);

    /* The order. */
    CHECK(get(port, "/hello", &reply) == 200 && strcmp(reply.body, "hello you") == 0);
    expect("1> route> handler <route <2 <1 ");
    CHECK(strstr(reply.text, "x-after: route\r\nx-after: 2\r\nx-after: 1\r\n") != NULL);
    CHECK(get(port, "/plain", &reply) == 200);
    expect("1> handler <2 <1 ");
    /* 404, 405, a refusal, and a responder that is freed. */
    CHECK(get(port, "/none", &reply) == 404);
    expect("1> <2 <1 ");
    CHECK(strcmp(reply.body, "404 Not Found\n") == 0 && strstr(reply.text, "x-after: 1\r\n") != NULL);
    fd = connect_to(port);
    ask(fd, "PUT", "/hello");
    hear(fd, &reply);
    CHECK(reply.status == 405);
    expect("1> <2 <1 ");
    fd = connect_to(port);
    say(fd, "GET / HTTP/1.1\r\n\r\n");
    hear(fd, &reply);
    CHECK(reply.status == 400);
    expect("");
    fd = connect_to(port);
    ask(fd, "GET", "/keep");
    EVENTUALLY(atomic_load(&kept) != NULL);
    transom_responder_free(atomic_exchange(&kept, NULL));
    hear(fd, &reply);
    CHECK(reply.status == 500);
    expect("1> handler <2 <1 ");

    /* A function that answers by itself, gives the request a value, or changes the response. */
    CHECK(get(port, "/users/7", &reply) == 401 && strcmp(reply.body, "who?") == 0);
    CHECK(strstr(reply.text, "www-authenticate: Bearer\r\n") != NULL);
    expect("1> auth <2 <1 ");
    CHECK(get(port, "/users/7?plain", &reply) == 403 && reply.body[0] == '\0');
    expect("1> auth <2 <1 ");
    CHECK(atomic_load(&freed_values) == 0);
    CHECK(get_as(port, "/users/7", "secret", &reply) == 203);
    CHECK(strcmp(reply.body, "9 bytes of text/plain; charset=utf-8") == 0);
    expect("1> auth handler <2 <1 ");
    EVENTUALLY(atomic_load(&freed_values) == 2);
    CHECK(get_as(port, "/users/7?stream", "secret", &reply) == 200);
    CHECK(strcmp(reply.body, "in pieces") == 0 && strstr(reply.text, "x-body: absent\r\n") != NULL);
    expect("1> auth handler <2 <1 ");
    EVENTUALLY(atomic_load(&freed_values) == 4);

    /* The body of a request stays for the handler. */
    fd = connect_to(port);
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\n12345");
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "12345") == 0);
    expect("1> handler <2 <1 ");

    /* A pulled request. */
    fd = connect_to(port);
    ask(fd, "GET", "/pull");
    OK(transom_server_next(server, &request, &responder, NULL, PATIENCE_MS));
    CHECK(transom_request_value(request) == NULL);
    OK(transom_responder_send_text(responder, 200, "pulled"));
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "pulled") == 0);
    expect("1> pull> <pull <2 <1 ");
    transom_server_free(server);
    CHECK(atomic_load(&freed) == 3);
}

/* Around the fallback, and the end of the user data. */
static void fallback(void)
{
    static struct reply reply;
    static atomic_int freed;
    transom_server *server = transom_server_new();
    transom_route *route = transom_route_new(NULL, NULL, greet, NULL, NULL);
    uint16_t port;

    OK(transom_route_wrap(route, authenticate, NULL, &freed, count));
    OK(transom_server_set_fallback(server, route, NULL));
    OK(transom_server_route(server, "GET", "/open", greet, NULL, NULL, NULL));
    OK(transom_server_wrap(server, NULL, after, &freed, count)); /* never called: see below */
    transom_server_free(server);
    CHECK(atomic_load(&freed) == 2);

    server = transom_server_new();
    route = transom_route_new(NULL, NULL, greet, NULL, NULL);
    OK(transom_route_wrap(route, authenticate, NULL, &freed, count));
    OK(transom_server_set_fallback(server, route, NULL));
    OK(transom_server_route(server, "GET", "/open", greet, NULL, NULL, NULL));
    port = start(server);
    CHECK(get(port, "/open", &reply) == 200);
    expect("handler ");
    CHECK(get(port, "/else", &reply) == 401);
    expect("auth ");
    CHECK(get_as(port, "/else", "secret", &reply) == 200 && strcmp(reply.body, "hello ada") == 0);
    expect("auth handler ");
    CHECK(atomic_load(&freed) == 2);
    transom_server_free(server);
    CHECK(atomic_load(&freed) == 3);
}

int main(void)
{
    serve("event");
    serve("threads");
    serve("sequential");
    fallback();
    return 0;
}
