/* A server behind proxies: the client is the one that a trusted proxy names. */
#include "common.h"

/* Answers with the client, the proxy without its port, and the local address. */
static void tell(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_bytes peer = transom_request_peer(request), local = transom_request_local_address(request);
    transom_bytes proxy = transom_request_connection_peer(request);
    char text[256];
    CHECK(proxy.data == transom_request_connection_peer(request).data);
    snprintf(text, sizeof text, "%.*s by %.9s at %.*s", TRANSOM_PRINT(peer), (const char *)proxy.data,
             TRANSOM_PRINT(local));
    OK(transom_responder_send_text(responder, 200, text));
}

static void refused(transom_server *server, const char *networks, transom_status status, const char *reason)
{
    transom_error *why = NULL;
    CHECK_STATUS(transom_server_set_proxy_protocol(server, networks, &why), status);
    CHECK(strstr(transom_error_message(why), reason) != NULL);
    transom_error_free(why);
}

/* Sends a request after these bytes, and returns the status, or 0 if there is no answer. */
static int ask_after(uint16_t port, const char *header, struct reply *reply)
{
    char text[256], byte;
    int fd = connect_to(port);
    snprintf(text, sizeof text, "%sGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", header);
    say(fd, text);
    if (receive(fd, &byte, 1, MSG_PEEK) <= 0) {
        close(fd);
        return 0;
    }
    hear(fd, reply);
    return reply->status;
}

static void proxy_protocol(void)
{
    static struct reply reply;
    const char *line = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
    transom_server *server = transom_server_new();
    uint16_t port;

    refused(server, "", TRANSOM_INVALID_ARGUMENT, "is empty");
    refused(server, " , ", TRANSOM_INVALID_ARGUMENT, "is empty");
    refused(server, "10.0.0.0/8, nobody", TRANSOM_BAD_ADDRESS, "bad address \"nobody\": a network is");
    refused(server, "10.0.0.1/8", TRANSOM_BAD_ADDRESS, "10.0.0.0/8");
    OK(transom_server_route(server, "GET", "/", tell, NULL, NULL, NULL));
    OK(transom_server_set_proxy_protocol(server, "unix, 127.0.0.0/8", NULL));
    port = start(server);
    CHECK_STATUS(transom_server_set_proxy_protocol(server, NULL, NULL), TRANSOM_ALREADY_STARTED);
    CHECK(ask_after(port, line, &reply) == 200);
    CHECK(strcmp(reply.body, "192.0.2.7:4711 by 127.0.0.1 at 198.51.100.1:443") == 0);
    CHECK(ask_after(port, "", &reply) == 0);
    CHECK(ask_after(port, "PROXY TCP4 you me 1 2\r\n", &reply) == 0);
    EVENTUALLY(transom_server_refused(server, TRANSOM_REJECT_BAD_PROXY_HEADER) == 2);
    transom_server_free(server);

    /* A network that does not have this address; and no header after all. */
    server = transom_server_new();
    OK(transom_server_route(server, "GET", "/", tell, NULL, NULL, NULL));
    OK(transom_server_set_proxy_protocol(server, "10.0.0.0/8", NULL));
    OK(transom_server_bind(server, "127.0.0.1:0", NULL));
    OK(transom_server_set_proxy_protocol(server, NULL, NULL));
    OK(transom_server_bind(server, "127.0.0.1:0", NULL));
    OK(transom_server_start(server, NULL, NULL));
    CHECK(ask_after(transom_server_port(server), line, &reply) == 0);
    EVENTUALLY(transom_server_refused(server, TRANSOM_REJECT_UNTRUSTED_PROXY) == 1);
    {
        char address[64];
        CHECK(transom_server_address(server, 1, address, sizeof address) > 0);
        CHECK(ask_after((uint16_t)atoi(strrchr(address, ':') + 1), "", &reply) == 200);
    }
    transom_server_free(server);
}

/* Answers with the client, the scheme, the host and a field. */
static void tell_origin(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_bytes peer = transom_request_peer(request), scheme = transom_request_scheme(request);
    transom_bytes host = transom_request_host(request), sent = transom_request_header(request, "x-forwarded-for");
    char text[256];
    CHECK(memcmp(transom_request_connection_peer(request).data, "127.0.0.1:", 10) == 0);
    snprintf(text, sizeof text, "%.*s %.*s://%.*s %.*s", TRANSOM_PRINT(peer), TRANSOM_PRINT(scheme),
             TRANSOM_PRINT(host), TRANSOM_PRINT(sent));
    OK(transom_responder_send_text(responder, 200, text));
}

static const char *ask_with(uint16_t port, const char *fields)
{
    static struct reply reply;
    char text[512];
    int fd = connect_to(port);
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\n%sConnection: close\r\n\r\n", fields);
    say(fd, text);
    hear(fd, &reply);
    return reply.status == 200 ? reply.body : "";
}

static void forwarded(void)
{
    const char *fields = "X-Forwarded-For: 1.1.1.1, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
                         "X-Forwarded-Host: a.example\r\nForwarded: for=\"[2001:db8::7]:80\";host=b.example\r\n";
    const char *models[] = {"event", "threads", "sequential"};
    transom_server *server;
    size_t model;

    for (model = 0; model < 3; model++) {
        server = transom_server_new();
        OK(transom_server_set_model(server, models[model], NULL));
        OK(transom_server_route(server, "GET", "/", tell_origin, NULL, NULL, NULL));
        OK(transom_server_trust_forwarded(server, "x-forwarded", "127.0.0.1, 10.0.0.0/8", true, NULL));
        CHECK(strcmp(ask_with(start(server), fields), "192.0.2.7 https://a.example 1.1.1.1, 192.0.2.7") == 0);
        CHECK_STATUS(transom_server_trust_forwarded(server, "forwarded", NULL, false, NULL), TRANSOM_ALREADY_STARTED);
        transom_server_free(server);
    }

    server = transom_server_new();
    OK(transom_server_route(server, "GET", "/", tell_origin, NULL, NULL, NULL));
    CHECK_STATUS(transom_server_trust_forwarded(server, "via", "unix", false, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_trust_forwarded(server, "forwarded", "", false, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_trust_forwarded(server, "forwarded", "x", false, NULL), TRANSOM_BAD_ADDRESS);
    OK(transom_server_trust_forwarded(server, "forwarded", "127.0.0.1", false, NULL));
    CHECK(strcmp(ask_with(start(server), fields), "[2001:db8::7]:80 http://h 1.1.1.1, 192.0.2.7") == 0);
    transom_server_free(server);

    /* Nobody is believed, at first by the addresses, and then at all. */
    server = transom_server_new();
    OK(transom_server_route(server, "GET", "/", tell_origin, NULL, NULL, NULL));
    OK(transom_server_trust_forwarded(server, "x-forwarded", "10.0.0.0/8, unix", true, NULL));
    CHECK(memcmp(ask_with(start(server), fields), "127.0.0.1:", 10) == 0);
    transom_server_free(server);
    server = transom_server_new();
    OK(transom_server_route(server, "GET", "/", tell_origin, NULL, NULL, NULL));
    OK(transom_server_trust_forwarded(server, "x-forwarded", "127.0.0.1", true, NULL));
    OK(transom_server_trust_forwarded(server, "x-forwarded", NULL, true, NULL));
    CHECK(memcmp(ask_with(start(server), fields), "127.0.0.1:", 10) == 0);
    transom_server_free(server);
}

int main(void)
{
    proxy_protocol();
    forwarded();
    return 0;
}
