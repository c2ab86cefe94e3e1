/* A forked child gets TRANSOM_FORKED, and harms neither itself nor its parent. */
#include "common.h"

#include <sys/wait.h>

static transom_responder *_Atomic kept;

static void keep(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    kept = responder;
}

static int in_child(transom_server *server)
{
    transom_server *own;
    transom_error *error = NULL;
    transom_report report = {.size = sizeof report};
    transom_writer *writer;
    uint8_t buf[64];
    uint32_t done;
    size_t len;

    CHECK_STATUS(transom_server_stop(server, 0), TRANSOM_FORKED);
    CHECK_STATUS(transom_server_wait(server, TRANSOM_FOREVER), TRANSOM_FORKED);
    CHECK_STATUS(transom_server_report(server, &report), TRANSOM_FORKED);
    CHECK_STATUS(transom_server_route(server, "GET", "/x", say_hello, NULL, NULL, NULL), TRANSOM_FORKED);
    CHECK_STATUS(transom_server_start(server, NULL, &error), TRANSOM_FORKED);
    CHECK(transom_error_code(error) == TRANSOM_FORKED);
    transom_error_free(error);
    CHECK(transom_server_port(server) == 0);
    CHECK(transom_server_event_fd(server) == -1);
    CHECK_STATUS(transom_server_next_batch(server, buf, sizeof buf, 1, TRANSOM_FOREVER, &done, &len), TRANSOM_FORKED);
    CHECK_STATUS(transom_server_respond_batch(server, buf, 0, NULL, 0, &done), TRANSOM_FORKED);
    CHECK_STATUS(transom_responder_send_text(kept, 200, "child"), TRANSOM_FORKED);
    CHECK_STATUS(transom_responder_start(kept, 200, NULL, 0, &writer, NULL), TRANSOM_FORKED);
    CHECK(transom_responder_is_gone(kept));
    transom_responder_free(kept);
    transom_server_free(server);
    transom_server_free(server);

    /* The child cannot start a server, because the parent has started one. */
    own = transom_server_new();
    OK(transom_server_route(own, "GET", "/hello", say_hello, NULL, NULL, NULL));
    CHECK_STATUS(transom_server_start(own, "127.0.0.1:0", NULL), TRANSOM_FORKED);
    transom_server_free(own);
    return 0;
}

/* A fork before the first start has no consequences. */
static int prefork_child(void)
{
    static struct reply reply;
    transom_server *own = transom_server_new();
    OK(transom_server_route(own, "GET", "/hello", say_hello, NULL, NULL, NULL));
    CHECK(get(start(own), "/hello", &reply) == 200);
    transom_server_free(own);
    return 0;
}

static void say_pid(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    char text[32];
    snprintf(text, sizeof text, "%ld", (long)getpid());
    OK(transom_responder_send_text(responder, 200, text));
}

/* Starts the server in a child, and serves until the pipe is closed. */
static void serve_in_child(transom_server *server, int until_closed)
{
    char byte;
    OK(transom_server_start(server, NULL, NULL));
    CHECK_STATUS(transom_server_start(server, NULL, NULL), TRANSOM_ALREADY_STARTED);
    CHECK(read(until_closed, &byte, 1) == 0);
    OK(transom_server_stop(server, 1000));
    OK(transom_server_wait(server, PATIENCE_MS));
    transom_server_free(server);
    execlp("true", "served", (char *)NULL);
    _exit(1);
}

/* Returns the number of the child that answers. */
static long answering(uint16_t port)
{
    static struct reply reply;
    CHECK(get(port, "/pid", &reply) == 200);
    return atol(reply.body);
}

/* Two children serve what the parent has set up and bound, as in pre-forking servers. */
static void prefork(void)
{
    transom_server *server = transom_server_new();
    transom_error *error = NULL;
    pid_t children[2];
    int ends[2][2], probe, i, first, status;
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    char text[32];
    uint16_t port;

    /* transom_server_port returns 0 before the start, so the test picks the port. */
    probe = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(probe, (struct sockaddr *)&address, sizeof address) == 0 && listen(probe, 128) == 0);
    CHECK(getsockname(probe, (struct sockaddr *)&address, &size) == 0);
    port = ntohs(address.sin_port);

    OK(transom_server_route(server, NULL, "/pid", say_pid, NULL, NULL, NULL));
    OK(transom_server_listen_fd(server, probe, NULL));
    OK(transom_server_bind(server, "127.0.0.1:0", NULL));
    /* A start that fails does not tie servers to this process. */
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    CHECK_STATUS(transom_server_start(server, text, &error), TRANSOM_ADDRESS_IN_USE);
    transom_error_free(error);
    for (i = 0; i < 2; i++) {
        CHECK(pipe(ends[i]) == 0);
        fflush(NULL);
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            close(ends[i][1]);
            if (i == 1)
                close(ends[0][1]);
            serve_in_child(server, ends[i][0]);
        }
        close(ends[i][0]);
    }
    /* The parent does not serve, and frees its copy. */
    transom_server_free(server);
    /* The kernel chooses the child for each connection. When one has stopped, the other gets all. */
    first = answering(port) == (long)children[1];
    for (i = 0; i < 2; i++) {
        pid_t child = children[i ^ first];
        CHECK(answering(port) == (long)child || i == 0);
        close(ends[i ^ first][1]);
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

static void run_child(int (*run)(transom_server *), transom_server *server)
{
    int status;
    pid_t child;
    fflush(NULL);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int failed = run != NULL ? run(server) : prefork_child();
        /* Executes another program, so that no leak checker reports the memory that the
           threads of the parent held, which a fork always loses. */
        execlp(failed ? "false" : "true", "forked", (char *)NULL);
        _exit(1);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    uint16_t port;
    int fd, i;

    prefork();
    run_child(NULL, NULL);
    OK(transom_server_route(server, "GET", "/hello", say_hello, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/keep", keep, NULL, NULL, NULL));
    port = start(server);
    fd = connect_to(port);
    ask(fd, "GET", "/keep");
    EVENTUALLY(kept != NULL);

    for (i = 0; i < 3; i++)
        run_child(in_child, server);

    /* The parent is not affected. */
    OK(transom_responder_send_text(kept, 200, "parent"));
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "parent") == 0);
    CHECK(get(port, "/hello", &reply) == 200);
    transom_server_free(server);
    return 0;
}
