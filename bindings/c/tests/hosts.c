/* A server answers for the hosts that it allows, and no others. */
#include "common.h"

static int ask_host(uint16_t port, const char *host)
{
    static struct reply reply;
    char text[256];
    int fd = connect_to(port);
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);
    say(fd, text);
    hear(fd, &reply);
    return reply.status;
}

static void refused(transom_server *server, const char *host)
{
    transom_error *why = NULL;
    CHECK_STATUS(transom_server_allow_host(server, host, &why), TRANSOM_INVALID_ARGUMENT);
    CHECK(strstr(transom_error_message(why), "a host is a name or an address") != NULL);
    transom_error_free(why);
}

int main(void)
{
    transom_server *server = transom_server_new();
    uint16_t port;

    refused(server, "");
    refused(server, "http://example.com");
    refused(server, "example.com/");
    refused(server, "two names");
    CHECK_STATUS(transom_server_allow_host(server, "\xff", NULL), TRANSOM_NOT_UTF8);
    OK(transom_server_route(server, "GET", "/", say_hello, NULL, NULL, NULL));
    port = start(server);
    CHECK_STATUS(transom_server_allow_host(server, "example.com", NULL), TRANSOM_ALREADY_STARTED);
    CHECK_STATUS(transom_server_allow_loopback_hosts(server, NULL), TRANSOM_ALREADY_STARTED);
    CHECK(ask_host(port, "anything") == 200);
    transom_server_free(server);

    server = transom_server_new();
    OK(transom_server_route(server, "GET", "/", say_hello, NULL, NULL, NULL));
    OK(transom_server_allow_loopback_hosts(server, NULL));
    OK(transom_server_allow_host(server, "Example.com", NULL));
    OK(transom_server_allow_host(server, "other:81", NULL));
    port = start(server);
    CHECK(ask_host(port, "localhost:1") == 200);
    CHECK(ask_host(port, "127.0.0.1") == 200);
    CHECK(ask_host(port, "[::1]:2") == 200);
    CHECK(ask_host(port, "example.COM:3") == 200);
    CHECK(ask_host(port, "other:81") == 200);
    CHECK(ask_host(port, "other") == 421);
    CHECK(ask_host(port, "evil.example") == 421);
    transom_server_free(server);
    return 0;
}
