/* Compressed responses and requests, and their settings. */
#include "common.h"

/* "hello, compressed world" */
static const unsigned char coded[] = {
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xd7, 0x51, 0x48,
    0xce, 0xcf, 0x2d, 0x28, 0x4a, 0x2d, 0x2e, 0x4e, 0x4d, 0x51, 0x28, 0xcf, 0x2f, 0xca, 0x49, 0x01, 0x00, 0x08,
    0x9e, 0x34, 0x35, 0x17, 0x00, 0x00, 0x00,
};

static void say_much(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    static char much[5000];
    memset(much, 'x', sizeof much - 1);
    OK(transom_responder_send_text(responder, 200, much));
}

static void echo(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_bytes body = transom_request_body(request);
    CHECK(transom_request_header(request, "content-encoding").data == NULL);
    OK(transom_responder_send(responder, 200, NULL, 0, body.data, body.len, NULL));
}

/* Asks for the long text, and returns its coding. */
static const char *coding(uint16_t port, const char *accepted)
{
    static struct reply reply;
    char text[256];
    int fd = connect_to(port);
    snprintf(text, sizeof text, "GET /much HTTP/1.1\r\nHost: test\r\nAccept-Encoding: %s\r\nConnection: close\r\n\r\n",
             accepted);
    say(fd, text);
    hear(fd, &reply);
    CHECK(reply.status == 200);
    if (strstr(reply.text, "content-encoding: ") == NULL)
        return "";
    CHECK(reply.length < 1000 && strstr(reply.text, "vary: accept-encoding") != NULL);
    if (strstr(reply.text, "content-encoding: gzip") != NULL)
        return "gzip";
    return strstr(reply.text, "content-encoding: br") != NULL ? "br" : "zstd";
}

/* Sends a body, and returns the status of the response. */
static int post(uint16_t port, const char *names, const void *body, size_t length, struct reply *reply)
{
    char text[256];
    int fd = connect_to(port);
    snprintf(text, sizeof text,
             "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Encoding: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
             names, length);
    say(fd, text);
    CHECK(send(fd, body, length, MSG_NOSIGNAL) == (ssize_t)length);
    hear(fd, reply);
    return reply->status;
}

static transom_server *new_server(void)
{
    transom_server *server = transom_server_new();
    transom_route *route = transom_route_new("POST", "/echo", echo, NULL, NULL);
    OK(transom_route_set_decompression(route, 23));
    OK(transom_server_add(server, route, NULL));
    OK(transom_server_route(server, "GET", "/much", say_much, NULL, NULL, NULL));
    return server;
}

int main(void)
{
    static struct reply reply;
    transom_error *why = NULL;
    transom_compression *compression = transom_compression_new();
    transom_server *server = new_server();
    uint16_t port;

    /* The default settings. */
    OK(transom_server_set_compression(server, NULL, NULL));
    port = start(server);
    CHECK_STATUS(transom_server_set_compression(server, NULL, NULL), TRANSOM_ALREADY_STARTED);
    CHECK(strcmp(coding(port, "gzip, br, zstd"), "zstd") == 0);
    CHECK(strcmp(coding(port, "gzip, br"), "br") == 0);
    CHECK(strcmp(coding(port, "gzip;q=1, br;q=0.5"), "gzip") == 0);
    CHECK(strcmp(coding(port, "deflate"), "") == 0);

    /* Compressed requests. */
    CHECK(post(port, "gzip", coded, sizeof coded, &reply) == 200);
    CHECK(strstr(reply.text, "\r\n\r\nhello, compressed world") != NULL);
    CHECK(post(port, "gzip", coded, sizeof coded - 1, &reply) == 400);
    CHECK(post(port, "deflate", coded, sizeof coded, &reply) == 415);
    CHECK(strstr(reply.text, "accept-encoding: zstd, br, gzip") != NULL);
    CHECK(transom_server_refused(server, TRANSOM_REJECT_BAD_CONTENT_CODING) == 1);
    CHECK(transom_server_refused(server, TRANSOM_REJECT_UNKNOWN_CONTENT_CODING) == 1);
    transom_server_free(server);

    /* Own settings, which a server copies. */
    server = new_server();
    CHECK_STATUS(transom_compression_set_codings(compression, "gzip, gzp", &why), TRANSOM_INVALID_ARGUMENT);
    CHECK(strstr(transom_error_message(why), "'gzip'") != NULL);
    transom_error_free(why);
    CHECK_STATUS(transom_compression_set_codings(compression, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_compression_set_level(compression, "brotli", 1, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_compression_set_level(compression, NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_compression_set_types(compression, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_compression_set_codings(NULL, "br", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_compression_set_level(NULL, "br", 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_compression_set_min_size(NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_compression_set_types(NULL, "text/plain"), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_compression_set_max_streams(NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_compression(NULL, compression, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_route_set_decompression(NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_route_set_decompression_memory(NULL, 1), TRANSOM_NULL_ARGUMENT);
    OK(transom_compression_set_codings(compression, "br, gzip", NULL));
    OK(transom_compression_set_level(compression, "gzip", 99, NULL));
    OK(transom_compression_set_min_size(compression, 4999));
    OK(transom_compression_set_types(compression, "text/plain, application/json"));
    OK(transom_compression_set_max_streams(compression, 10));
    OK(transom_server_set_compression(server, compression, NULL));
    OK(transom_compression_set_min_size(compression, 1000000));
    transom_compression_free(compression);
    transom_compression_free(compression);
    transom_compression_free(NULL);
    CHECK_STATUS(transom_compression_set_min_size(compression, 1), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_server_set_compression(server, compression, NULL), TRANSOM_ALREADY_ANSWERED);
    port = start(server);
    CHECK(strcmp(coding(port, "zstd, gzip, br"), "br") == 0);
    transom_server_free(server);

    /* A limit that the content is longer than, and a server that compresses nothing. */
    server = transom_server_new();
    {
        transom_route *route = transom_route_new("POST", "/echo", echo, NULL, NULL);
        OK(transom_route_set_decompression(route, 22));
        OK(transom_server_add(server, route, NULL));
        OK(transom_server_route(server, "GET", "/much", say_much, NULL, NULL, NULL));
    }
    port = start(server);
    CHECK(post(port, "gzip", coded, sizeof coded, &reply) == 413);
    CHECK(strcmp(coding(port, "gzip"), "") == 0);
    transom_server_free(server);

    /* Too little memory for the content; whatever order the settings are given in, both hold. */
    for (int is_enough = 0; is_enough < 2; is_enough++) {
        transom_route *route = transom_route_new("POST", "/echo", echo, NULL, NULL);
        OK(transom_route_set_decompression_memory(route, is_enough ? 23 : 22));
        OK(transom_route_set_decompression(route, 23));
        server = transom_server_new();
        OK(transom_server_add(server, route, NULL));
        port = start(server);
        CHECK(post(port, "gzip", coded, sizeof coded, &reply) == (is_enough ? 200 : 503));
        transom_server_free(server);
    }
    return 0;
}
