/* A listening socket is handed over to another server, in this process and in a child. */
#include "common.h"

#include <fcntl.h>
#include <sys/un.h>
#include <sys/wait.h>

static void name(void *user_data, const transom_request *request UNUSED, transom_responder *responder)
{
    OK(transom_responder_send_text(responder, 200, user_data));
}

/* Starts a server on a socket that was handed over. */
static transom_server *take_over(int fd, char *own_name)
{
    transom_server *server = transom_server_new();
    OK(transom_server_route(server, "GET", "/", name, own_name, NULL, NULL));
    OK(transom_server_listen_fd(server, fd, NULL));
    OK(transom_server_start(server, NULL, NULL));
    return server;
}

int main(void)
{
    static struct reply reply;
    static char old_name[] = "old", new_name[] = "new", child_name[] = "child";
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "handover.sock"};
    transom_server *server, *successor, *other;
    uint16_t port;
    int fd, status, ready[2], go[2];
    pid_t child;
    char byte;

    /* The child is forked before any server starts, and gets the descriptor later. */
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ready) == 0 && pipe(go) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char control[CMSG_SPACE(sizeof(int))];
        struct iovec part = {&byte, 1};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        CHECK(recvmsg(ready[1], &message, MSG_CMSG_CLOEXEC) == 1);
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
        server = take_over(fd, child_name);
        CHECK(write(ready[1], "x", 1) == 1);
        CHECK(read(go[0], &byte, 1) == 1);
        transom_server_free(server);
        exit(0);
    }

    server = transom_server_new();
    unlink(address.sun_path);
    OK(transom_server_route(server, "GET", "/", name, old_name, NULL, NULL));
    CHECK(transom_server_listener(server, 0) == -1);
    OK(transom_server_bind(server, "unix:handover.sock", NULL));
    CHECK(transom_server_listener(server, 0) == -1);
    port = start(server);
    CHECK(transom_server_listener(server, 2) == -1);
    CHECK(transom_server_listener(server, SIZE_MAX) == -1);
    fd = transom_server_listener(server, 0);
    CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
    other = take_over(fd, new_name);
    fd = transom_server_listener(server, 1);
    CHECK(fd >= 0);
    successor = take_over(fd, new_name);
    CHECK(transom_server_port(successor) == port);
    OK(transom_server_note_successor(server));
    transom_server_free(server);
    CHECK(get(port, "/", &reply) == 200 && strcmp(reply.body, "new") == 0);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    ask(fd, "GET", "/");
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "new") == 0);
    transom_server_free(other);

    /* The next successor is another process. */
    {
        char control[CMSG_SPACE(sizeof(int))] = {0};
        struct iovec part = {&byte, 1};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        byte = 'x';
        fd = transom_server_listener(successor, 0);
        CHECK(fd >= 0);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(rights), &fd, sizeof fd);
        CHECK(sendmsg(ready[0], &message, 0) == 1);
        close(fd);
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    OK(transom_server_stop(successor, 0));
    OK(transom_server_wait(successor, PATIENCE_MS));
    CHECK(transom_server_listener(successor, 0) == -1);
    transom_server_free(successor);
    CHECK(get(port, "/", &reply) == 200 && strcmp(reply.body, "child") == 0);
    CHECK(write(go[1], "x", 1) == 1);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    unlink(address.sun_path);
    return 0;
}
