/* A request tells the two ends of its connection. */
#include "common.h"

#include <sys/un.h>

/* Answers with the local address and what is known of the peer. */
static void tell(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_bytes local = transom_request_local_address(request);
    uint32_t pid = 1, uid = 1, gid = 1;
    bool known = transom_request_peer_credentials(request, &pid, &uid, &gid);
    char text[256];
    CHECK(transom_request_peer_credentials(request, NULL, NULL, NULL) == known);
    CHECK(local.data == transom_request_local_address(request).data);
    snprintf(text, sizeof text, "%.*s %d %u %u %u", TRANSOM_PRINT(local), known, pid, uid, gid);
    OK(transom_responder_send_text(responder, 200, text));
}

int main(void)
{
    static struct reply reply;
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "connection.sock"};
    transom_server *server = transom_server_new();
    char expected[256];
    int fd;

    unlink(address.sun_path);
    OK(transom_server_route(server, "GET", "/", tell, NULL, NULL, NULL));
    OK(transom_server_bind(server, "unix:connection.sock", NULL));
    OK(transom_server_start(server, "127.0.0.1:0", NULL));

    snprintf(expected, sizeof expected, "127.0.0.1:%d 0 0 %u %u", transom_server_port(server), UINT32_MAX, UINT32_MAX);
    CHECK(get(transom_server_port(server), "/", &reply) == 200);
    CHECK(strcmp(reply.body, expected) == 0);

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    ask(fd, "GET", "/");
    hear(fd, &reply);
    snprintf(expected, sizeof expected, "unix:connection.sock 1 %d %u %u", getpid(), geteuid(), getegid());
    CHECK(strcmp(reply.body, expected) == 0);

    CHECK(!transom_server_is_stopping(server));
    OK(transom_server_stop(server, 0));
    CHECK(transom_server_is_stopping(server));
    OK(transom_server_wait(server, PATIENCE_MS));
    CHECK(transom_server_is_stopping(server));
    transom_server_free(server);
    return 0;
}
