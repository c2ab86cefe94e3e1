/* Listening on several addresses, inherited descriptors and Unix sockets. */
#include "common.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>

static int listening_socket(uint16_t *port)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 16) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void who(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_bytes peer = transom_request_peer(request);
    OK(transom_responder_send(responder, 200, NULL, 0, peer.data, peer.len, NULL));
}

/* Two servers listen on one address if both ask for it. */
static void share_a_port(void)
{
    transom_server *servers[] = {transom_server_new(), transom_server_new(), transom_server_new()};
    static struct reply reply;
    char address[64];
    int i;

    OK(transom_server_set_reuse_port(servers[0], true, NULL));
    OK(transom_server_start(servers[0], "127.0.0.1:0", NULL));
    CHECK(transom_server_address(servers[0], 0, address, sizeof address) < sizeof address);
    CHECK_STATUS(transom_server_bind(servers[1], address, NULL), TRANSOM_ADDRESS_IN_USE);
    OK(transom_server_set_reuse_port(servers[1], true, NULL));
    OK(transom_server_set_unix_mode(servers[1], 0600, NULL));
    OK(transom_server_start(servers[1], address, NULL));
    OK(transom_server_set_reuse_port(servers[2], true, NULL));
    OK(transom_server_set_reuse_port(servers[2], false, NULL));
    CHECK_STATUS(transom_server_start(servers[2], address, NULL), TRANSOM_ADDRESS_IN_USE);
    CHECK(get(transom_server_port(servers[1]), "/", &reply) == 404);
    for (i = 0; i < 3; i++)
        transom_server_free(servers[i]);
}

int main(void)
{
    static struct reply reply;
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "listening.sock"};
    transom_server *server = transom_server_new();
    struct stat its;
    uint16_t inherited_port, first_port;
    char text[64], expected[64], name[64];
    int fd;

    unlink(address.sun_path);
    OK(transom_server_route(server, "GET", "/", who, NULL, NULL, NULL));
    OK(transom_server_set_unix_mode(server, 0602, NULL));
    OK(transom_server_bind(server, "unix:listening.sock", NULL));
    CHECK(stat("listening.sock", &its) == 0 && (its.st_mode & 07777) == 0602);
    OK(transom_server_bind(server, "127.0.0.1:0", NULL));
    fd = listening_socket(&inherited_port);
    OK(transom_server_listen_fd(server, fd, NULL));
    snprintf(name, sizeof name, "unix:@transom-listening-%ld", (long)getpid());
    OK(transom_server_bind(server, name, NULL));
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    /* A client can connect before the start, and is served after it. */
    fd = connect_to(inherited_port);
    ask(fd, "GET", "/");
    OK(transom_server_start(server, NULL, NULL));
    hear(fd, &reply);
    CHECK(reply.status == 200);

    first_port = transom_server_port(server);
    CHECK(first_port != 0 && first_port != inherited_port);
    CHECK(get(first_port, "/", &reply) == 200 && strncmp(reply.body, "127.0.0.1:", 10) == 0);

    CHECK(transom_server_address(server, 0, text, sizeof text) == strlen("unix:listening.sock"));
    CHECK(strcmp(text, "unix:listening.sock") == 0);
    snprintf(expected, sizeof expected, "127.0.0.1:%u", first_port);
    CHECK(transom_server_address(server, 1, text, sizeof text) == strlen(expected) && strcmp(text, expected) == 0);
    CHECK(transom_server_address(server, 2, text, sizeof text) > 0 && strcmp(text, expected) != 0);
    CHECK(transom_server_address(server, 3, text, sizeof text) > 0 && strcmp(text, name) == 0);
    CHECK(transom_server_address(server, 4, text, sizeof text) == 0 && *text == '\0');
    CHECK(transom_server_address(server, 1, text, 5) == strlen(expected) && strcmp(text, "127.") == 0);
    CHECK(transom_server_address(server, 1, text, 1) == strlen(expected) && *text == '\0');
    CHECK(transom_server_address(server, 1, text, 0) == strlen(expected));
    CHECK(transom_server_address(server, 1, NULL, 99) == strlen(expected));

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    ask(fd, "GET", "/");
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "unix") == 0);

    transom_server_free(server);
    CHECK(access(address.sun_path, F_OK) != 0);
    share_a_port();
    return 0;
}
