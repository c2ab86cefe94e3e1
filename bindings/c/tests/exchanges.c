/* The hook for exchanges is told of every response, once, refusals included. */
#include "common.h"

#include <inttypes.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char lines[16384];
static int count_of_lines;
/* Where the server listens, and how many exchanges said so. */
static char address[64];
static atomic_int with_address;
static transom_responder *_Atomic kept;
static transom_writer *_Atomic streaming;

/* Writes down: method target route version status, the reason, the end. */
static void note(void *user_data, const transom_exchange *it)
{
    size_t used;
    CHECK(user_data == lines);
    CHECK(it->size >= sizeof *it && it->reserved == 0);
    CHECK(it->peer.len > 10 && memcmp(it->peer.data, "127.0.0.1:", 10) == 0);
    CHECK(is(it->scheme, "http"));
    CHECK(it->duration_ns < PATIENCE_MS * UINT64_C(1000000));
    pthread_mutex_lock(&lock);
    if (it->local_address.data != NULL) {
        CHECK(is(it->local_address, address));
        atomic_fetch_add(&with_address, 1);
    }
    used = strlen(lines);
    snprintf(lines + used, sizeof lines - used, "%.*s %.*s %.*s %d %d %s %" PRIu64 " %d\n", TRANSOM_PRINT(it->method),
             TRANSOM_PRINT(it->target), TRANSOM_PRINT(it->route), it->version, it->status_code,
             transom_reject_name(it->reject), it->method.len ? it->bytes_in : 0, (int)it->ended);
    if (it->ended == TRANSOM_ENDED_ANSWERED && it->status_code == 200)
        CHECK(it->bytes_out > strlen("HTTP/1.1 200 OK\r\n\r\nhello"));
    count_of_lines++;
    pthread_mutex_unlock(&lock);
}

static int count_lines(void)
{
    int number;
    pthread_mutex_lock(&lock);
    number = count_of_lines;
    pthread_mutex_unlock(&lock);
    return number;
}

/* Waits for one more line, which is this. */
static void expect(const char *line)
{
    static int seen;
    EVENTUALLY(count_lines() > seen);
    seen++;
    CHECK(count_lines() == seen);
    pthread_mutex_lock(&lock);
    if (strcmp(lines, line) != 0) {
        fprintf(stderr, "told of: %sinstead: %s", lines, line);
        exit(1);
    }
    lines[0] = '\0';
    pthread_mutex_unlock(&lock);
}

static void keep(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    atomic_store(&kept, responder);
}

static void stream(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_writer *writer;
    OK(transom_responder_start(responder, 200, NULL, 0, &writer, NULL));
    atomic_store(&streaming, writer);
}

static uint16_t listen_on(transom_server *server)
{
    OK(transom_server_bind(server, "127.0.0.1:0", NULL));
    OK(transom_server_start(server, NULL, NULL));
    pthread_mutex_lock(&lock);
    CHECK(transom_server_address(server, 0, address, sizeof address) > 0);
    pthread_mutex_unlock(&lock);
    return transom_server_port(server);
}

static void count_call(void *user_data, const transom_exchange *exchange UNUSED)
{
    atomic_fetch_add((atomic_int *)user_data, 1);
}

static void serve(const char *model)
{
    static atomic_int calls;
    static struct reply reply;
    static atomic_int freed;
    transom_server *server = transom_server_new();
    uint16_t port;
    int fd;

    atomic_store(&freed, 0);
    atomic_store(&calls, 0);
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_route(server, "GET", "/users/{id}", say_hello, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/keep", keep, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/stream", stream, NULL, NULL, NULL));
    OK(transom_server_on_exchange(server, count_call, &calls, NULL));
    OK(transom_server_on_exchange(server, note, lines, NULL)); /* both are called */
    port = listen_on(server);
    CHECK_STATUS(transom_server_on_exchange(server, note, &freed, count), TRANSOM_ALREADY_STARTED);
    CHECK(atomic_load(&freed) == 1);

    CHECK(get(port, "/users/7?x=1", &reply) == 200);
    expect("GET /users/7?x=1 /users/{id} 11 200  60 1\n");
    CHECK(atomic_load(&calls) == 1);
    CHECK(get(port, "/none", &reply) == 404);
    expect("GET /none  11 404  53 1\n");
    fd = connect_to(port);
    ask(fd, "PUT", "/users/7");
    hear(fd, &reply);
    CHECK(reply.status == 405);
    expect("PUT /users/7  11 405  56 1\n");
    fd = connect_to(port);
    say(fd, "GET /users/7 HTTP/1.0\r\n\r\n");
    hear(fd, &reply);
    CHECK(reply.status == 200);
    expect("GET /users/7 /users/{id} 10 200  25 1\n");
    fd = connect_to(port);
    say(fd, "GET / HTTP/1.1\r\n\r\n");
    hear(fd, &reply);
    CHECK(reply.status == 400);
    expect("   0 400 missing-host 0 1\n");

    /* A client that leaves in the middle. */
    fd = connect_to(port);
    ask(fd, "GET", "/stream");
    EVENTUALLY(atomic_load(&streaming) != NULL);
    OK(transom_writer_write(atomic_load(&streaming), "x", 1, 0));
    CHECK(receive(fd, reply.text, sizeof reply.text, 0) > 0);
    slam(fd);
    EVENTUALLY(transom_writer_is_gone(atomic_load(&streaming)));
    transom_writer_free(atomic_exchange(&streaming, NULL));
    expect("GET /stream /stream 11 200  55 3\n");

    /* A response that is cut at the deadline of a stop. */
    fd = connect_to(port);
    ask(fd, "GET", "/keep");
    EVENTUALLY(atomic_load(&kept) != NULL);
    OK(transom_server_stop(server, 0));
    hear(fd, &reply);
    expect("GET /keep /keep 11 0  53 6\n");
    transom_responder_free(atomic_exchange(&kept, NULL));
    transom_server_free(server);
    CHECK(atomic_load(&freed) == 1);
}

/* A connection for which there is no room. */
static void overload(void)
{
    static struct reply reply;
    static atomic_int freed;
    transom_server *server = transom_server_new();
    uint16_t port;
    int first, second;

    atomic_store(&freed, 0);
    OK(transom_server_set_limit(server, "connections", 1, NULL));
    OK(transom_server_route(server, "GET", "/", say_hello, NULL, NULL, NULL));
    OK(transom_server_on_exchange(server, note, lines, NULL));
    port = listen_on(server);
    first = connect_to(port);
    say(first, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    expect("GET / / 11 200  27 1\n");
    second = connect_to(port);
    hear(second, &reply);
    CHECK(reply.status == 503);
    expect("   0 503 too-many-connections 0 1\n");
    close(first);
    transom_server_free(server);
}

int main(void)
{
    serve("event");
    serve("threads");
    serve("sequential");
    overload();
    CHECK(count_lines() == 3 * 7 + 2);
    /* The connections of the others may have ended before. */
    CHECK(with_address >= 3 * 4);
    return 0;
}
