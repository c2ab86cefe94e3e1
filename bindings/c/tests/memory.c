/* A server with little memory refuses the requests for which it has none, and goes on serving. */
#include "common.h"

#include <sys/resource.h>
#include <sys/wait.h>

/* Together the bodies are larger than the address space of the server. */
#define CLIENTS 32
#define BODY (9 << 20)
#define PIECE (64 << 10)

static const rlim_t space = 256 << 20;

/* Sends the body back, if there is memory for a copy. Otherwise the responder can still be used. */
static void echo(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_bytes body = transom_request_body(request);
    transom_field type = TRANSOM_FIELD("content-type", "application/octet-stream");
    if (transom_responder_send(responder, 200, &type, 1, body.data, body.len, NULL) == TRANSOM_NO_MEMORY)
        OK(transom_responder_send_text(responder, 503, "no memory"));
}

/* Sends all bytes. Returns 0 if the client gives up, as it does when it waits in the backlog. */
static int send_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return 0;
        bytes += sent;
        length -= (size_t)sent;
    }
    return 1;
}

static uint16_t port;
static int chunked;
static pthread_barrier_t full;
static atomic_int served, refused;

/* A client that sends most of its body, waits until all clients have done so, and sends the rest. */
static void *visit(void *unused UNUSED)
{
    static const char piece[PIECE];
    struct timeval patience = {1, 0};
    char head[256], answer[16];
    int left, has_sent, fd = connect_to(port);
    size_t length = 0;
    if (chunked)
        snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", BODY);
    else
        snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", BODY);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    has_sent = send_all(fd, head, strlen(head));
    for (left = BODY; has_sent && left > PIECE; left -= PIECE)
        has_sent = send_all(fd, piece, PIECE);
    pthread_barrier_wait(&full);
    if (has_sent && send_all(fd, piece, PIECE) && chunked)
        send_all(fd, "\r\n0\r\n\r\n", 7);
    while (has_sent && length < 12) {
        ssize_t n = receive(fd, answer + length, 12 - length, 0);
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    answer[length] = '\0';
    /* Without memory for a response, the server closes the connection; that counts as a refusal. */
    CHECK(length < 12 || strcmp(answer + 9, "200") == 0 || strcmp(answer + 9, "503") == 0);
    atomic_fetch_add(length == 12 && strcmp(answer + 9, "200") == 0 ? &served : &refused, 1);
    slam(fd);
    return NULL;
}

/* Returns true if a client that asks gets an answer. Without memory the connection may end at any time. */
static int is_well(void)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    char answer[16] = "";
    int fd = connect_to(port);
    int asked = send_all(fd, request, strlen(request));
    int heard = asked && receive(fd, answer, 12, MSG_WAITALL) == 12;
    close(fd);
    return heard && strcmp(answer + 9, "200") == 0;
}

static void crowd(void)
{
    pthread_t clients[CLIENTS];
    int i;
    atomic_store(&served, 0);
    atomic_store(&refused, 0);
    CHECK(pthread_barrier_init(&full, NULL, CLIENTS) == 0);
    for (i = 0; i < CLIENTS; i++)
        CHECK(pthread_create(&clients[i], NULL, visit, NULL) == 0);
    for (i = 0; i < CLIENTS; i++)
        CHECK(pthread_join(clients[i], NULL) == 0);
    CHECK(pthread_barrier_destroy(&full) == 0);
    CHECK(atomic_load(&served) + atomic_load(&refused) == CLIENTS);
    CHECK(atomic_load(&refused) > 0);
    EVENTUALLY(is_well());
}

/* Runs the server in this process until the other side closes the pipe. */
static int serve(const char *model, int ports, int end)
{
    struct rlimit limit = {space, space};
    transom_server *server;
    char byte;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    server = transom_server_new();
    OK(transom_server_route(server, "GET", "/hello", say_hello, NULL, NULL, NULL));
    OK(transom_server_route(server, "POST", "/echo", echo, NULL, NULL, NULL));
    OK(transom_server_set_model(server, model, NULL));
    port = start(server);
    CHECK(write(ports, &port, sizeof port) == sizeof port);
    CHECK(read(end, &byte, 1) == 0);
    OK(transom_server_stop(server, 5000));
    transom_server_free(server);
    return 0;
}

static void run(const char *model)
{
    int ports[2], end[2], status;
    pid_t child;
    CHECK(pipe(ports) == 0 && pipe(end) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(end[1]);
        exit(serve(model, ports[1], end[0]));
    }
    close(ports[1]);
    close(end[0]);
    CHECK(read(ports[0], &port, sizeof port) == sizeof port);
    for (chunked = 0; chunked < 2; chunked++)
        crowd();
    close(end[1]);
    close(ports[0]);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    /* Under a tool such as valgrind, the limit would stop the tool itself. */
    if (getenv("TRANSOM_TEST_WRAPPER") != NULL || getenv("TRANSOM_TEST_CFLAGS") != NULL)
        return 0;
    run("event");
    run("threads");
    return 0;
}
