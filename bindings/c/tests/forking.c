/* A forked child is told so, and harms neither itself nor its parent. */
#include "common.h"

#include <sys/wait.h>

static transom_responder *kept;

static void keep(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    kept = responder;
}

static int in_child(transom_server *server)
{
    transom_server *own;
    transom_error *error = NULL;
    transom_report report;
    transom_writer *writer;
    uint8_t buf[64];
    uint32_t done;
    size_t len;

    CHECK_STATUS(transom_server_stop(server, 0), TRANSOM_FORKED);
    CHECK_STATUS(transom_server_wait(server, TRANSOM_FOREVER), TRANSOM_FORKED);
    CHECK_STATUS(transom_server_report(server, &report), TRANSOM_FORKED);
    CHECK_STATUS(transom_server_route(server, "GET", "/x", say_hello, NULL, NULL), TRANSOM_FORKED);
    CHECK_STATUS(transom_server_start(server, NULL, &error), TRANSOM_FORKED);
    CHECK(transom_error_code(error) == TRANSOM_FORKED);
    transom_error_free(error);
    CHECK(transom_server_port(server) == 0);
    CHECK(transom_server_event_fd(server) == -1);
    CHECK_STATUS(transom_server_next_batch(server, buf, sizeof buf, 1, TRANSOM_FOREVER, &done, &len), TRANSOM_FORKED);
    CHECK_STATUS(transom_server_respond_batch(server, buf, 0, NULL, 0, &done), TRANSOM_FORKED);
    CHECK_STATUS(transom_responder_send_text(kept, 200, "child"), TRANSOM_FORKED);
    CHECK_STATUS(transom_responder_start(kept, 200, NULL, 0, &writer), TRANSOM_FORKED);
    CHECK(transom_responder_is_gone(kept));
    transom_responder_free(kept);
    transom_server_free(server);
    transom_server_free(server);

    /* Servers of its own it cannot have: the parent had one first. */
    own = transom_server_new();
    OK(transom_server_route(own, "GET", "/hello", say_hello, NULL, NULL));
    CHECK_STATUS(transom_server_start(own, "127.0.0.1:0", NULL), TRANSOM_FORKED);
    transom_server_free(own);
    return 0;
}

/* Before there is any server, forking is nothing special. */
static int prefork_child(void)
{
    static struct reply reply;
    transom_server *own = transom_server_new();
    OK(transom_server_route(own, "GET", "/hello", say_hello, NULL, NULL));
    CHECK(get(start(own), "/hello", &reply) == 200);
    transom_server_free(own);
    return 0;
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
        /* Another program takes over, so that no leak checker looks at what the
           parent's threads held: with fork it is lost, and that is how it is. */
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

    run_child(NULL, NULL);
    OK(transom_server_route(server, "GET", "/hello", say_hello, NULL, NULL));
    OK(transom_server_route(server, "GET", "/keep", keep, NULL, NULL));
    port = start(server);
    fd = connect_to(port);
    ask(fd, "GET", "/keep");
    EVENTUALLY(kept != NULL);

    for (i = 0; i < 3; i++)
        run_child(in_child, server);

    /* The parent goes on as if nothing had been. */
    OK(transom_responder_send_text(kept, 200, "parent"));
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "parent") == 0);
    CHECK(get(port, "/hello", &reply) == 200);
    transom_server_free(server);
    return 0;
}
