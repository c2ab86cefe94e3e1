/* If the standard streams are closed, no descriptor of the server gets their numbers. */
#include "common.h"

#include <fcntl.h>

static transom_responder *_Atomic kept;

static void keep(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    kept = responder;
}

static void send_file(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    int fd = open("standard.txt", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    OK(transom_responder_send_file(responder, 200, NULL, 0, fd, 0, TRANSOM_TO_END, NULL));
}

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void serve(const char *model)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    char name[64];
    uint16_t port;
    int fd;

    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_route(server, "GET", "/hello", say_hello, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/keep", keep, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/file", send_file, NULL, NULL, NULL));
    OK(transom_server_add(server, transom_route_new_pull("GET", "/pull", 1), NULL));
    OK(transom_server_bind(server, "unix:standard.sock", NULL));
    snprintf(name, sizeof name, "unix:@transom-standard-%ld", (long)getpid());
    OK(transom_server_bind(server, name, NULL));
    OK(transom_server_set_workers(server, 1, NULL));
    port = start(server);
    CHECK(transom_server_event_fd(server) > 2);
    /* A new descriptor has the lowest number until it is moved. A worker that has answered opens no more. */
    CHECK(get(port, "/hello", &reply) == 200);
    EVENTUALLY(!is_open(0) && !is_open(1) && !is_open(2));

    /* The descriptor of the client is 0. */
    fd = connect_to(port);
    CHECK(fd == 0);
    ask(fd, "GET", "/keep");
    EVENTUALLY(kept != NULL);
    CHECK(!is_open(1) && !is_open(2));
    /* What the host prints goes nowhere. */
    CHECK(write(1, "stray", 5) < 0 && write(2, "stray", 5) < 0);
    OK(transom_responder_send_text(kept, 200, "kept"));
    kept = NULL;
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "kept") == 0);
    CHECK(get(port, "/hello", &reply) == 200);
    CHECK(get(port, "/file", &reply) == 200 && strcmp(reply.body, "a file") == 0);
    transom_server_free(server);
    CHECK(!is_open(0) && !is_open(1) && !is_open(2));
}

int main(void)
{
    static const char *const models[] = {"event", "threads", "sequential"};
    FILE *file = fopen("standard.txt", "w");
    size_t i;

    CHECK(file != NULL && fputs("a file", file) >= 0 && fclose(file) == 0);
    /* Failed checks must still be visible. */
    fclose(stdin);
    fclose(stdout);
    CHECK((stderr = fdopen(fcntl(2, F_DUPFD_CLOEXEC, 100), "w")) != NULL);
    close(0);
    close(1);
    close(2);
    for (i = 0; i < sizeof models / sizeof models[0]; i++)
        serve(models[i]);
    return 0;
}
