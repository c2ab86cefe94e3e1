/* A forked child that executes no other program keeps the descriptors of its parent open. The
 * clients and the ports of the parent's server are not affected. */
#include "common.h"

#include <signal.h>
#include <stddef.h>
#include <sys/un.h>
#include <sys/wait.h>

static atomic_int kept_count;
static transom_responder *_Atomic kept;

static void keep(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    kept = responder;
    atomic_fetch_add(&kept_count, 1);
}

/* Starts a response that is not complete. */
static void begin(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    static const transom_field length = TRANSOM_FIELD("content-length", "100");
    transom_writer *writer;
    OK(transom_responder_start(responder, 200, &length, 1, &writer, NULL));
    transom_writer_free(writer);
}

static pid_t fork_child(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(600);
        for (;;)
            pause();
    }
    return child;
}

static void end_child(pid_t child)
{
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
}

/* The abstract name that the server listens at, which no other process has. */
static char name[64];

static int try_unix(const char *path, socklen_t length)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int result, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    memcpy(address.sun_path, path, length);
    result = connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
    close(fd);
    return result;
}

static int try_port(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int result, fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    result = connect(fd, (struct sockaddr *)&address, sizeof address);
    close(fd);
    return result;
}

static void serve(const char *model, const char *target)
{
    static struct reply reply;
    transom_server *server = transom_server_new(), *next = transom_server_new();
    char address[64];
    uint16_t port;
    pid_t child;
    int fd;

    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_set_timeout(server, "drain", 100, NULL));
    OK(add_inline(server, "GET", "/keep", keep, NULL, NULL));
    OK(add_inline(server, "GET", "/begin", begin, NULL, NULL));
    snprintf(name, sizeof name, "unix:@transom-holding-%ld", (long)getpid());
    OK(transom_server_bind(server, name, NULL));
    port = start(server);
    kept = NULL;
    atomic_store(&kept_count, 0);

    /* The client sees the end of a response with `Connection: close`, and of one that breaks off. */
    fd = connect_to(port);
    ask(fd, "GET", "/keep");
    EVENTUALLY(atomic_load(&kept_count) == 1);
    child = fork_child();
    OK(transom_responder_send_text(kept, 200, "kept"));
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "kept") == 0);
    end_child(child);

    /* A response that a stop cuts off ends too, and the port is closed. */
    fd = connect_to(port);
    ask(fd, "GET", target);
    if (strcmp(target, "/keep") == 0)
        EVENTUALLY(atomic_load(&kept_count) == 2);
    child = fork_child();
    OK(transom_server_stop(server, 0));
    OK(transom_server_wait(server, PATIENCE_MS));
    hear(fd, &reply);
    CHECK(try_port(port) < 0 && errno == ECONNREFUSED);
    /* In the address of the system, a NUL takes the place of the @. */
    name[strlen("unix:")] = '\0';
    CHECK(try_unix(name + strlen("unix:"), 1 + (socklen_t)strlen(name + strlen("unix:@"))) < 0 && errno == ECONNREFUSED);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    OK(transom_server_route(next, "GET", "/hello", say_hello, NULL, NULL, NULL));
    OK(transom_server_start(next, address, NULL));
    CHECK(get(port, "/hello", &reply) == 200);
    end_child(child);
    if (strcmp(target, "/keep") == 0)
        transom_responder_free(kept);
    transom_server_free(server);
    transom_server_free(next);
}

/* An inherited socket belongs to other processes too: the server closes it without shutting it down. */
static void inherited(void)
{
    transom_server *server = transom_server_new();
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int ours = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(ours, (struct sockaddr *)&address, sizeof address) == 0 && listen(ours, 8) == 0);
    CHECK(getsockname(ours, (struct sockaddr *)&address, &length) == 0);
    OK(transom_server_listen_fd(server, dup(ours), NULL));
    OK(transom_server_start(server, NULL, NULL));
    transom_server_free(server);
    CHECK(try_port(ntohs(address.sin_port)) == 0);
    close(ours);
}

/* A server in a child that ends leaves the listener, which its parent bound, to the others. */
static void prefork(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    char address[64];
    uint16_t port;
    pid_t child;
    int status;

    OK(transom_server_route(server, "GET", "/hello", say_hello, NULL, NULL, NULL));
    OK(transom_server_bind(server, "unix:holding.sock", NULL));
    OK(transom_server_bind(server, "127.0.0.1:0", NULL));
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (transom_server_start(server, NULL, NULL) == TRANSOM_OK)
            transom_server_free(server);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(access("holding.sock", F_OK) == 0);
    OK(transom_server_start(server, NULL, NULL));
    port = transom_server_port(server);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    CHECK(get(port, "/hello", &reply) == 200);
    transom_server_free(server);
    CHECK(access("holding.sock", F_OK) != 0);
}

int main(void)
{
    static const char *const models[] = {"event", "threads", "sequential"};
    size_t i;

    prefork();
    for (i = 0; i < sizeof models / sizeof models[0]; i++) {
        serve(models[i], "/keep");
        serve(models[i], "/begin");
    }
    inherited();
    return 0;
}
