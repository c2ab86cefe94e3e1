/* The header fields of responses: which are sent, which only the server sets, and which a status excludes. */
#include "common.h"

static const uint8_t *const HELLO = (const uint8_t *)"hello";

/* Fields that are refused, each with the status that the function returns. */
static const struct {
    uint16_t status;
    transom_header field;
} REFUSED[] = {
    {200, {"TE", "trailers"}},
    {200, {"Trailer", "x-sum"}},
    {200, {"Keep-Alive", "timeout=5"}},
    {200, {"Proxy-Connection", "close"}},
    {200, {"Transfer-Encoding", "chunked"}},
    {200, {"Upgrade", "h2c"}},
    {200, {"Connection", "x-a"}},
    {200, {"Connection", "upgrade"}},
    {200, {"Content-Length", "zz"}},
    {200, {"content-length", "-1"}},
    {204, {"content-length", "0"}},
    {205, {"content-length", "1"}},
};

static void refuse(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_writer *writer;
    size_t i;
    for (i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        CHECK_STATUS(transom_responder_send(responder, REFUSED[i].status, &REFUSED[i].field, 1, NULL, 0),
                     TRANSOM_BAD_HEADER);
        CHECK_STATUS(transom_responder_start(responder, REFUSED[i].status, &REFUSED[i].field, 1, &writer),
                     TRANSOM_BAD_HEADER);
    }
    CHECK_STATUS(transom_responder_send(responder, 600, NULL, 0, NULL, 0), TRANSOM_BAD_STATUS_CODE);
    CHECK_STATUS(transom_responder_send(responder, 999, NULL, 0, NULL, 0), TRANSOM_BAD_STATUS_CODE);
    CHECK_STATUS(transom_responder_send_text(responder, 99, ""), TRANSOM_BAD_STATUS_CODE);
    OK(transom_responder_send_text(responder, 200, "refused"));
}

static void upgrade(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_header headers[] = {{"Upgrade", "chat"}, {"Connection", "Upgrade"}};
    OK(transom_responder_send(responder, 426, headers, 2, HELLO, 5));
}

static void same(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_header headers[] = {{"etag", "\"1\""}, {"content-encoding", "gzip"}, {"content-language", "de"},
                                      {"content-range", "bytes 0-4/5"}, {"vary", "accept"}};
    OK(transom_responder_send(responder, 304, headers, 5, HELLO, 5));
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
    const transom_header headers[] = {{"Set-Cookie", "a=1"}, {"set-cookie", "b=2"}};
    OK(transom_responder_send(responder, 200, headers, 2, HELLO, 5));
}

static void head_of_nothing(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    OK(transom_responder_send(responder, 200, NULL, 0, NULL, 0));
}

static void head_of_seven(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_header length = {"content-length", "7"};
    OK(transom_responder_send(responder, 200, &length, 1, NULL, 0));
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

    OK(transom_server_route(server, "GET", "/refuse", refuse, NULL, NULL));
    OK(transom_server_route(server, "GET", "/upgrade", upgrade, NULL, NULL));
    OK(transom_server_route(server, "GET", "/same", same, NULL, NULL));
    OK(transom_server_route(server, "GET", "/same/text", same_text, NULL, NULL));
    OK(transom_server_route(server, "GET", "/large", large, NULL, NULL));
    OK(transom_server_route(server, "GET", "/cookies", cookies, NULL, NULL));
    OK(transom_server_route(server, "HEAD", "/nothing", head_of_nothing, NULL, NULL));
    OK(transom_server_route(server, "HEAD", "/seven", head_of_seven, NULL, NULL));
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
