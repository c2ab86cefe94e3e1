/* Clients in the same process, without a socket, in each model. */
#include "common.h"

static void hello(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    char text[64];
    transom_bytes peer = transom_request_peer(request);
    CHECK(transom_responder_local_address(responder, text, sizeof text) == 0);
    CHECK(transom_request_local_address(request).data == NULL);
    snprintf(text, sizeof text, "hello %.*s", TRANSOM_PRINT(peer));
    OK(transom_responder_send_text(responder, 200, text));
}

static void where(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    char text[64], part[4];
    size_t length = transom_responder_local_address(responder, text, sizeof text);
    CHECK(length > 0 && is(transom_request_local_address(request), text));
    CHECK(transom_responder_local_address(responder, part, sizeof part) == length && strncmp(part, text, 3) == 0);
    OK(transom_responder_send_text(responder, 200, text));
    CHECK(transom_responder_local_address(responder, text, sizeof text) == 0);
}

static void large(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    static char bytes[1000000];
    OK(transom_responder_send_bytes(responder, 200, "text/plain", bytes, sizeof bytes, NULL));
}

/* Reads up to the end, and returns how much there was. */
static size_t read_all(transom_client *client, char *text, size_t cap)
{
    char buf[4096];
    size_t len, all = 0;
    for (;;) {
        OK(transom_client_read(client, buf, sizeof buf, PATIENCE_MS, &len));
        if (len == 0)
            return all;
        if (all + len < cap)
            memcpy(text + all, buf, len);
        all += len;
    }
}

static void talk(const char *model)
{
    static char text[1000];
    char buf[8];
    size_t len;
    int status;
    transom_client *client;
    transom_error *error = NULL;
    transom_server *server = transom_server_new();

    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_route(server, "GET", "/hello", hello, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/large", large, NULL, NULL, NULL));
    CHECK_STATUS(transom_server_connect(server, NULL, &client, NULL), TRANSOM_NOT_STARTED);
    CHECK(client == NULL);
    CHECK_STATUS(transom_server_start(server, NULL, NULL), TRANSOM_INVALID_ARGUMENT);
    OK(transom_server_set_unbound(server));
    OK(transom_server_start(server, NULL, NULL));
    CHECK_STATUS(transom_server_set_unbound(server), TRANSOM_ALREADY_STARTED);
    CHECK(transom_server_port(server) == 0 && transom_server_address(server, 0, NULL, 0) == 0);

    CHECK_STATUS(transom_server_connect(server, "localhost", &client, &error), TRANSOM_BAD_ADDRESS);
    CHECK(client == NULL && strstr(transom_error_message(error), "'localhost'") != NULL);
    transom_error_free(error);

    /* One request after another, then the end that the client asked for. */
    OK(transom_server_connect(server, "127.0.0.1:50000", &client, NULL));
    CHECK_STATUS(transom_client_read(client, buf, sizeof buf, 0, &len), TRANSOM_WOULD_BLOCK);
    CHECK_STATUS(transom_client_read(client, buf, 0, 0, &len), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_client_read(client, NULL, 1, 0, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_client_read(client, buf, 1, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_client_write(client, NULL, 1, 0), TRANSOM_NULL_ARGUMENT);
    OK(transom_client_write(client, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\nGET /he", TRANSOM_NUL_TERMINATED, PATIENCE_MS));
    OK(transom_client_write(client, "llo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", TRANSOM_NUL_TERMINATED, PATIENCE_MS));
    memset(text, 0, sizeof text);
    read_all(client, text, sizeof text);
    CHECK(strstr(text, "hello 127.0.0.1:50000") != NULL);
    CHECK(strstr(strstr(text, "hello 127") + 1, "\r\n\r\nhello 127.0.0.1:50000") != NULL);
    transom_client_free(client);
    CHECK_STATUS(transom_client_read(client, buf, sizeof buf, 0, &len), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_client_write(client, "x", 1, 0), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_client_finish(client), TRANSOM_ALREADY_ANSWERED);

    /* A client that closes its sending side gets its response, and is refused as any other. */
    OK(transom_server_connect(server, NULL, &client, NULL));
    OK(transom_client_write(client, "GET /large HTTP/1.1\r\nHost: h\r\n\r\n", TRANSOM_NUL_TERMINATED, PATIENCE_MS));
    OK(transom_client_finish(client));
    CHECK_STATUS(transom_client_write(client, "x", 1, 0), TRANSOM_GONE);
    CHECK(read_all(client, text, 0) > 1000000);
    transom_client_free(client);
    OK(transom_server_connect(server, NULL, &client, NULL));
    OK(transom_client_write(client, "nonsense\r\n\r\n", TRANSOM_NUL_TERMINATED, PATIENCE_MS));
    OK(transom_client_finish(client));
    memset(text, 0, sizeof text);
    read_all(client, text, sizeof text);
    CHECK(strncmp(text, "HTTP/1.1 400 ", 13) == 0);
    transom_client_free(client);

    /* A client that does not read, and one that leaves, do not hold the stop up. */
    OK(transom_server_connect(server, NULL, &client, NULL));
    OK(transom_client_write(client, "GET /hello HT", TRANSOM_NUL_TERMINATED, PATIENCE_MS));
    transom_client_free(client);
    OK(transom_server_connect(server, NULL, &client, NULL));
    OK(transom_server_stop(server, PATIENCE_MS));
    OK(transom_server_wait(server, PATIENCE_MS));
    /* The connection was closed in order, or the stop was over before its thread ran. */
    CHECK((status = transom_client_read(client, buf, sizeof buf, PATIENCE_MS, &len)) == TRANSOM_OK || status == TRANSOM_GONE);
    CHECK(len == 0);
    transom_client_free(client);
    transom_server_free(server);
}

int main(void)
{
    static struct reply reply;
    char address[32];
    uint16_t port;
    transom_server *server = transom_server_new();

    talk("event");
#ifdef __linux__
    talk("threads");
    talk("sequential");
#endif

    /* The address of a socket is told until the request is answered. */
    OK(transom_server_route(server, "GET", "/where", where, NULL, NULL, NULL));
    port = start(server);
    CHECK(get(port, "/where", &reply) == 200);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    CHECK(strcmp(reply.body, address) == 0);
    transom_server_free(server);
    return 0;
}
