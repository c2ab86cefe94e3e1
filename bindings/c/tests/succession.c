/* A server is handed over to a successor, which is this program once more; systemd is told. */
#include "common.h"

#include <fcntl.h>
#include <sys/un.h>
#include <sys/wait.h>

static void name(void *user_data, const transom_request *request UNUSED, transom_responder *responder)
{
    OK(transom_responder_send_text(responder, 200, user_data));
}

static transom_server *named(char *own_name, const char *model)
{
    transom_server *server = transom_server_new();
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_route(server, "GET", "/", name, own_name, NULL, NULL));
    OK(transom_server_add_readiness(server, "/ready", NULL));
    return server;
}

/* The successor: serves until its input ends. */
static int succeed(const char *model)
{
    static char new_name[] = "new";
    transom_server *server = named(new_name, model);
    size_t count = 9;
    char byte;
    OK(transom_server_listen_inherited(server, &count, NULL));
    CHECK(count == 2);
    OK(transom_server_listen_inherited(server, &count, NULL));
    CHECK(count == 0);
    OK(transom_server_start(server, NULL, NULL));
    CHECK_STATUS(transom_server_listen_inherited(server, NULL, NULL), TRANSOM_ALREADY_STARTED);
    CHECK(read(0, &byte, 1) == 0);
    transom_server_free(server);
    return 0;
}

static void expect(int fd, const char *message)
{
    char text[256];
    ssize_t length = receive(fd, text, sizeof text - 1, 0);
    CHECK(length >= 0);
    text[length] = '\0';
    if (strncmp(text, message, strlen(message)) != 0)
        fprintf(stderr, "got %s, not %s\n", text, message);
    CHECK(strncmp(text, message, strlen(message)) == 0);
}

/* Binds the socket of systemd, and names it in the environment. */
static int listen_as_systemd(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "notify.sock"};
    struct timeval patience = {PATIENCE_MS / 1000, 0};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char path[4096];
    unlink(address.sun_path);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    CHECK(getcwd(path, sizeof path - 32) != NULL);
    strcat(path, "/notify.sock");
    CHECK(setenv("NOTIFY_SOCKET", path, 1) == 0);
    return fd;
}

static void fails(transom_server *server, const char *const *argv, int64_t timeout_ms, const char *sentence)
{
    transom_error *error = NULL;
    int64_t pid = 0;
    CHECK_STATUS(transom_server_hand_over(server, argv, timeout_ms, &pid, &error), TRANSOM_IO);
    CHECK(pid == 0 && strstr(transom_error_message(error), sentence) != NULL);
    transom_error_free(error);
}

static void hands_over(char *program, char *model, int systemd)
{
    static struct reply reply;
    static char old_name[] = "old";
    const char *const argv[] = {program, model, NULL}, *const no_words[] = {NULL};
    const char *const fails_at_once[] = {"false", NULL}, *const missing[] = {"/no/such/program", NULL};
    const char *const sleeps[] = {"sleep", "600", NULL};
    transom_server *server = named(old_name, model);
    int input[2], before = dup(0), status;
    int64_t pid = 0;
    uint16_t port;

    OK(transom_server_notify_systemd(server));
    CHECK_STATUS(transom_server_notify_ready(server), TRANSOM_NOT_STARTED);
    CHECK_STATUS(transom_server_hand_over(server, argv, 1000, NULL, NULL), TRANSOM_NOT_STARTED);
    OK(transom_server_bind(server, "unix:succession.sock", NULL));
    port = start(server);
    expect(systemd, "READY=1");
    CHECK_STATUS(transom_server_notify_systemd(server), TRANSOM_ALREADY_STARTED);
    OK(transom_server_notify_status(server, "well"));
    expect(systemd, "STATUS=well");
    OK(transom_server_notify_reloading(server));
    expect(systemd, "RELOADING=1\nMONOTONIC_USEC=");
    OK(transom_server_notify_ready(server));
    expect(systemd, "READY=1");
    CHECK(transom_server_listener_name(server, 0, NULL, 0) == 0);

    CHECK_STATUS(transom_server_hand_over(server, no_words, 1000, NULL, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_hand_over(server, argv, -2, NULL, NULL), TRANSOM_INVALID_ARGUMENT);
    fails(server, missing, PATIENCE_MS, "No such file");
    fails(server, fails_at_once, PATIENCE_MS, "exit status: 1");
    fails(server, sleeps, 100, "did not serve in time");
    CHECK(get(port, "/", &reply) == 200 && strcmp(reply.body, "old") == 0);

    /* The input of the successor ends when this program closes its end of a pipe. */
    CHECK(pipe2(input, O_CLOEXEC) == 0 && dup2(input[0], 0) == 0);
    OK(transom_server_hand_over(server, argv, PATIENCE_MS, &pid, NULL));
    CHECK(pid > 0 && dup2(before, 0) == 0);
    expect(systemd, "MAINPID=");
    OK(transom_server_stop(server, PATIENCE_MS));
    OK(transom_server_wait(server, PATIENCE_MS));
    transom_server_free(server);
    CHECK(get(port, "/", &reply) == 200 && strcmp(reply.body, "new") == 0);
    CHECK(access("succession.sock", F_OK) == 0);
    close(input[1]);
    close(input[0]);
    close(before);
    CHECK(waitpid((pid_t)pid, &status, 0) == (pid_t)pid && status == 0);
    CHECK(access("succession.sock", F_OK) != 0);
}

/* Readiness turns red when a stop begins, and clients are still served for "stop_delay". */
static void tells_readiness(const char *model)
{
    static struct reply reply;
    static char own_name[] = "name";
    transom_server *server = named(own_name, model);
    uint16_t port;
    CHECK_STATUS(transom_server_add_readiness(server, "/ready", NULL), TRANSOM_BAD_ROUTE);
    OK(transom_server_set_timeout(server, "stop_delay", PATIENCE_MS, NULL));
    port = start(server);
    CHECK(get(port, "/ready", &reply) == 200 && strcmp(reply.body, "ready\n") == 0);
    OK(transom_server_stop(server, 2 * PATIENCE_MS));
    CHECK(get(port, "/ready", &reply) == 503 && strcmp(reply.body, "stopping\n") == 0);
    CHECK(get(port, "/", &reply) == 200 && strcmp(reply.body, "name") == 0);
    OK(transom_server_stop(server, 0));
    OK(transom_server_wait(server, PATIENCE_MS));
    transom_server_free(server);
}

int main(int argc, char **argv)
{
    static char *models[] = {"sequential", "threads", "event"};
    size_t i;
    int systemd;
    if (argc > 1) {
        unsetenv("NOTIFY_SOCKET");
        return succeed(argv[1]);
    }
    systemd = listen_as_systemd();
    for (i = 0; i < sizeof models / sizeof *models; i++) {
        hands_over(argv[0], models[i], systemd);
        tells_readiness(models[i]);
    }
    close(systemd);
    unlink("notify.sock");
    return 0;
}
