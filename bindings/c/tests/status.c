/* The live status page: who may see it, and that it works while handlers are stuck. */

#include "common.h"

static struct reply reply;
static atomic_int held, go, freed;

static void hold(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    atomic_store(&held, 1);
    EVENTUALLY(atomic_load(&go));
    transom_responder_send_text(responder, 200, "done");
}

static bool check(void *user_data, const transom_request *request)
{
    CHECK(user_data == &freed);
    return is(transom_request_header(request, "x-key"), "right");
}

/* The status of the answer to a request with these fields. */
static int status(uint16_t port, const char *path, const char *fields)
{
    static char request[512];
    int fd = connect_to(port);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n%sConnection: close\r\n\r\n", path, fields);
    say(fd, request);
    hear(fd, &reply);
    return reply.status;
}

/* Reads a stream until a text has come. */
static void hear_text(int fd, const char *text)
{
    static char all[65536];
    size_t length = 0;
    while (strstr(all, text) == NULL) {
        ssize_t got;
        CHECK(length < sizeof all - 1);
        got = receive(fd, all + length, sizeof all - 1 - length, 0);
        CHECK(got > 0);
        length += (size_t)got;
        all[length] = '\0';
    }
}

int main(void)
{
    transom_metrics *metrics = transom_metrics_new(0);
    transom_server *server = transom_server_new();
    uint16_t port;
    int stuck, page;
    OK(transom_server_add_metrics(server, metrics));
    OK(transom_server_add_status(server, "/here", metrics, NULL, NULL, NULL, NULL));
    OK(transom_server_add_status(server, "/checked", metrics, check, &freed, count, NULL));
    OK(transom_server_add_status_password(server, "/status", metrics, "ada", "sesame", NULL));
    CHECK_STATUS(transom_server_add_status_password(server, "/empty", metrics, "ada", "", NULL),
                 TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_add_status_password(server, "/colon", metrics, "a:da", "sesame", NULL),
                 TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_add_status(server, "/here", metrics, NULL, &freed, count, NULL),
                 TRANSOM_BAD_ROUTE);
    CHECK(atomic_load(&freed) == 1);
    CHECK_STATUS(transom_server_add_status(server, "no-slash", metrics, check, &freed, count, NULL),
                 TRANSOM_BAD_ROUTE);
    CHECK(atomic_load(&freed) == 2);
    OK(transom_server_route(server, "GET", "/hold", hold, NULL, NULL, NULL));
    OK(transom_server_set_limit(server, "pool_threads", 1, NULL));
    port = start(server);
    transom_metrics_free(metrics);

    CHECK(status(port, "/here", "Host: localhost\r\n") == 200 && strstr(reply.body, "<!doctype html>") == reply.body);
    CHECK(status(port, "/here", "Host: evil.example\r\n") == 403);
    CHECK(status(port, "/checked", "Host: h\r\n") == 403);
    CHECK(status(port, "/checked", "Host: h\r\nX-Key: right\r\n") == 200);
    CHECK(status(port, "/status", "Host: h\r\n") == 401);
    CHECK(status(port, "/status", "Host: h\r\nAuthorization: Basic YWRhOnNlc2FtZQ==\r\n") == 200);

    /* The pool is stuck, and the page shows it. */
    stuck = connect_to(port);
    ask(stuck, "GET", "/hold");
    EVENTUALLY(atomic_load(&held));
    page = connect_to(port);
    say(page, "GET /status/events HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YWRhOnNlc2FtZQ==\r\n\r\n");
    hear_text(page, "{\"route\":\"/hold\",");
    atomic_store(&go, 1);
    hear(stuck, &reply);
    CHECK(reply.status == 200);
    transom_server_free(server);
    close(page);
    CHECK(atomic_load(&freed) == 3);
    return 0;
}
