/* The header fields of responses: which are sent, which only the server sets, and which a status excludes. */
#include "common.h"

static const char *const HELLO = "hello";

/* Fields that are refused, each with the status that the function returns. */
static const struct {
    uint16_t status;
    transom_field field;
} REFUSED[] = {
    {200, TRANSOM_FIELD("TE", "trailers")},
    {200, TRANSOM_FIELD("Trailer", "x-sum")},
    {200, TRANSOM_FIELD("Keep-Alive", "timeout=5")},
    {200, TRANSOM_FIELD("Proxy-Connection", "close")},
    {200, TRANSOM_FIELD("Transfer-Encoding", "chunked")},
    {200, TRANSOM_FIELD("Upgrade", "h2c")},
    {200, TRANSOM_FIELD("Connection", "x-a")},
    {200, TRANSOM_FIELD("Connection", "upgrade")},
    {200, TRANSOM_FIELD("Content-Length", "zz")},
    {200, TRANSOM_FIELD("content-length", "-1")},
    {204, TRANSOM_FIELD("content-length", "0")},
    {205, TRANSOM_FIELD("content-length", "1")},
};

static void refuse(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_writer *writer;
    size_t i;
    for (i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        CHECK_STATUS(transom_responder_send(responder, REFUSED[i].status, &REFUSED[i].field, 1, NULL, 0, NULL),
                     TRANSOM_BAD_HEADER);
        CHECK_STATUS(transom_responder_start_sized(responder, REFUSED[i].status, &REFUSED[i].field, 1, 7, &writer, NULL),
                     TRANSOM_BAD_HEADER);
        CHECK(writer == NULL);
        if (!transom_bytes_equal(REFUSED[i].field.name, "Trailer"))
            CHECK_STATUS(transom_responder_start(responder, REFUSED[i].status, &REFUSED[i].field, 1, &writer, NULL),
                         TRANSOM_BAD_HEADER);
        if (REFUSED[i].status == 200)
            CHECK_STATUS(transom_responder_early_hints(responder, &REFUSED[i].field, 1, NULL), TRANSOM_BAD_HEADER);
    }
    CHECK_STATUS(transom_responder_send(responder, 600, NULL, 0, NULL, 0, NULL), TRANSOM_BAD_STATUS_CODE);
    CHECK_STATUS(transom_responder_send(responder, 999, NULL, 0, NULL, 0, NULL), TRANSOM_BAD_STATUS_CODE);
    CHECK_STATUS(transom_responder_send_text(responder, 99, ""), TRANSOM_BAD_STATUS_CODE);
    OK(transom_responder_send_text(responder, 200, "refused"));
}

static void upgrade(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_field headers[] = {TRANSOM_FIELD("Upgrade", "chat"), TRANSOM_FIELD("Connection", "Upgrade")};
    OK(transom_responder_send(responder, 426, headers, 2, HELLO, 5, NULL));
}

static void same(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_field headers[] = {TRANSOM_FIELD("etag", "\"1\""), TRANSOM_FIELD("content-encoding", "gzip"), TRANSOM_FIELD("content-language", "de"),
                                      TRANSOM_FIELD("content-range", "bytes 0-4/5"), TRANSOM_FIELD("vary", "accept")};
    OK(transom_responder_send(responder, 304, headers, 5, HELLO, 5, NULL));
}

static void same_text(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    OK(transom_responder_send_text(responder, 304, "hello"));
}

static void large(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    OK(transom_responder_send_text(responder, 413, "too large"));
}

static void cookies(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_field headers[] = {TRANSOM_FIELD("Set-Cookie", "a=1"), TRANSOM_FIELD("set-cookie", "b=2")};
    OK(transom_responder_send(responder, 200, headers, 2, HELLO, 5, NULL));
}

static void head_of_nothing(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    OK(transom_responder_send(responder, 200, NULL, 0, NULL, 0, NULL));
}

static void head_of_seven(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_field length = TRANSOM_FIELD("content-length", "7");
    OK(transom_responder_send(responder, 200, &length, 1, NULL, 0, NULL));
}

/* Sends a request without a body and reads the response. */
static void fetch(uint16_t port, const char *method, const char *target, struct reply *reply)
{
    int fd = connect_to(port);
    ask(fd, method, target);
    hear(fd, reply);
}

int main(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    uint16_t port;

    OK(transom_server_route(server, "GET", "/refuse", refuse, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/upgrade", upgrade, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/same", same, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/same/text", same_text, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/large", large, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/cookies", cookies, NULL, NULL, NULL));
    OK(transom_server_route(server, "HEAD", "/nothing", head_of_nothing, NULL, NULL, NULL));
    OK(transom_server_route(server, "HEAD", "/seven", head_of_seven, NULL, NULL, NULL));
    port = start(server);

    CHECK(get(port, "/refuse", &reply) == 200 && strcmp(reply.body, "refused") == 0);

    CHECK(get(port, "/upgrade", &reply) == 426);
    CHECK(strstr(reply.text, "Upgrade: chat\r\n") && strstr(reply.text, "connection: upgrade, close\r\n"));

    CHECK(get(port, "/same", &reply) == 304 && *reply.body == '\0');
    CHECK(strstr(reply.text, "etag: \"1\"\r\n") && strstr(reply.text, "vary: accept\r\n"));
    CHECK(!strstr(reply.text, "content-"));
    CHECK(get(port, "/same/text", &reply) == 304 && *reply.body == '\0');
    CHECK(!strstr(reply.text, "content-"));

    CHECK(get(port, "/large", &reply) == 413);
    CHECK(strstr(reply.text, "HTTP/1.1 413 Content Too Large\r\n") == reply.text);

    CHECK(get(port, "/cookies", &reply) == 200);
    CHECK(strstr(reply.text, "Set-Cookie: a=1\r\nset-cookie: b=2\r\n"));

    fetch(port, "HEAD", "/nothing", &reply);
    CHECK(reply.status == 200 && !strstr(reply.text, "content-length"));
    fetch(port, "HEAD", "/seven", &reply);
    CHECK(reply.status == 200 && strstr(reply.text, "content-length: 7\r\n") && *reply.body == '\0');

    transom_server_free(server);
    return 0;
}
