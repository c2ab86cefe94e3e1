/* The three models: the threads that run handlers, and what clients wait for. */
#include "common.h"

static const char *const models[] = {"sequential", "threads", "event"};

/* The threads on which handlers ran, and how many ran at the same time. */
static struct {
    pthread_mutex_t lock;
    pthread_t threads[64];
    int calls, inside, most;
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static atomic_int started, ended, holding, released, outcome;
static transom_server *server;
static transom_responder *_Atomic kept;

static void enter(void)
{
    pthread_mutex_lock(&seen.lock);
    seen.threads[seen.calls++ % 64] = pthread_self();
    if (++seen.inside > seen.most)
        seen.most = seen.inside;
    pthread_mutex_unlock(&seen.lock);
}

static void leave(void)
{
    pthread_mutex_lock(&seen.lock);
    seen.inside--;
    pthread_mutex_unlock(&seen.lock);
}

static void forget(void)
{
    pthread_mutex_lock(&seen.lock);
    seen.calls = seen.inside = seen.most = 0;
    pthread_mutex_unlock(&seen.lock);
    atomic_store(&holding, 0);
    atomic_store(&released, 0);
    atomic_store(&kept, NULL);
}

/* Returns the number of threads of the last calls. */
static int threads_seen(void)
{
    int i, j, distinct = 0;
    pthread_mutex_lock(&seen.lock);
    for (i = 0; i < seen.calls; i++) {
        for (j = 0; j < i && !pthread_equal(seen.threads[i], seen.threads[j]); j++)
            ;
        distinct += j == i;
    }
    pthread_mutex_unlock(&seen.lock);
    return distinct;
}

/* Returns a number of `seen`. */
static int read_seen(const int *number)
{
    int read;
    pthread_mutex_lock(&seen.lock);
    read = *number;
    pthread_mutex_unlock(&seen.lock);
    return read;
}

static void thread_starts(void *user_data UNUSED)
{
    atomic_fetch_add(&started, 1);
}

static void thread_ends(void *user_data UNUSED)
{
    atomic_fetch_add(&ended, 1);
}

static void quick(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    enter();
    pause_ms(1);
    CHECK_STATUS(transom_server_wait(server, 0), TRANSOM_WOULD_DEADLOCK);
    leave();
    OK(transom_responder_send_text(responder, 200, "quick"));
}

static void hold(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    enter();
    atomic_fetch_add(&holding, 1);
    EVENTUALLY(released);
    leave();
    transom_responder_send_text(responder, 200, "held");
}

static void keep(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    enter();
    leave();
    atomic_store(&kept, responder);
}

/* Writes more than there is room for, and waits. */
static void flood(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    static const uint8_t piece[16384];
    transom_writer *writer;
    int i, status = TRANSOM_OK;
    OK(transom_responder_start(responder, 200, NULL, 0, &writer, NULL));
    for (i = 0; i < 64 && status == TRANSOM_OK; i++)
        status = transom_writer_write(writer, piece, sizeof piece, TRANSOM_FOREVER);
    transom_writer_free(writer);
    atomic_store(&outcome, status);
}

static void *answer_kept(void *unused UNUSED)
{
    EVENTUALLY(kept != NULL);
    pause_ms(20);
    OK(transom_responder_send_text(atomic_exchange(&kept, NULL), 200, "later"));
    return NULL;
}

/* Starts a server in this model with all the handlers, and returns the port. */
static uint16_t serve(const char *model)
{
    static const struct {
        const char *path;
        transom_handler_fn handler;
    } routes[] = {{"quick", quick}, {"hold", hold}, {"keep", keep}, {"flood", flood}};
    char pattern[32];
    size_t i;
    forget();
    atomic_store(&started, 0);
    atomic_store(&ended, 0);
    server = transom_server_new();
    for (i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        snprintf(pattern, sizeof pattern, "/%s", routes[i].path);
        OK(transom_server_route(server, "GET", pattern, routes[i].handler, NULL, NULL, NULL));
        snprintf(pattern, sizeof pattern, "/%s/inline", routes[i].path);
        OK(add_inline(server, "GET", pattern, routes[i].handler, NULL, NULL));
    }
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_set_workers(server, 1, NULL));
    OK(transom_server_set_thread_hooks(server, thread_starts, thread_ends, NULL, NULL));
    OK(transom_server_set_limit(server, "pool_threads", 4, NULL));
    OK(transom_server_set_limit(server, "connection_threads", 8, NULL));
    OK(transom_server_set_timeout(server, "stop", 100, NULL));
    return start(server);
}

static void *get_ten(void *port)
{
    struct reply *reply = malloc(sizeof *reply);
    int i;
    for (i = 0; i < 10; i++)
        CHECK(get(*(uint16_t *)port, i % 2 ? "/quick" : "/quick/inline", reply) == 200);
    free(reply);
    return NULL;
}

/* Six clients at the same time. */
static void crowd(uint16_t port)
{
    pthread_t clients[6];
    size_t i;
    for (i = 0; i < 6; i++)
        CHECK(pthread_create(&clients[i], NULL, get_ten, &port) == 0);
    for (i = 0; i < 6; i++)
        pthread_join(clients[i], NULL);
    CHECK(read_seen(&seen.calls) == 60);
}

/* Two handlers that run at the same time. */
static void hold_two(uint16_t port, const char *target)
{
    static struct reply reply;
    int one = connect_to(port), two = connect_to(port);
    forget();
    ask(one, "GET", target);
    ask(two, "GET", target);
    EVENTUALLY(holding == 2);
    atomic_store(&released, 1);
    hear(one, &reply);
    CHECK(reply.status == 200);
    hear(two, &reply);
    CHECK(reply.status == 200);
    CHECK(threads_seen() == 2);
}

/* Several requests on one connection. */
static int threads_of_a_connection(uint16_t port)
{
    static struct reply reply;
    int fd = connect_to(port);
    forget();
    say(fd, "GET /quick HTTP/1.1\r\nHost: test\r\n\r\nGET /quick/inline HTTP/1.1\r\nHost: test\r\n\r\n");
    ask(fd, "GET", "/quick");
    hear(fd, &reply);
    CHECK(read_seen(&seen.calls) == 3);
    return threads_seen();
}

/* When another client waits, the connection that is served is closed after its response. */
static void make_room(uint16_t port)
{
    static struct reply reply;
    int fd = connect_to(port), next;
    say(fd, "GET /keep HTTP/1.1\r\nHost: test\r\n\r\n");
    EVENTUALLY(kept != NULL);
    next = connect_to(port);
    ask(next, "GET", "/quick");
    pause_ms(50);
    CHECK(read_seen(&seen.calls) == 1);
    OK(transom_responder_send_text(atomic_exchange(&kept, NULL), 200, "first"));
    hear(fd, &reply);
    CHECK(reply.status == 200 && strstr(reply.text, "connection: close") != NULL);
    hear(next, &reply);
    CHECK(reply.status == 200);
}

static void threads_of(const char *model)
{
    uint16_t port = serve(model);
    crowd(port);
    if (strcmp(model, "sequential") == 0) {
        CHECK(threads_seen() == 1 && read_seen(&seen.most) == 1);
        CHECK(threads_of_a_connection(port) == 1);
        forget();
        make_room(port);
        CHECK(threads_seen() == 1 && started == 1);
    } else if (strcmp(model, "threads") == 0) {
        CHECK(threads_of_a_connection(port) == 1);
        hold_two(port, "/hold");
        hold_two(port, "/hold/inline");
        CHECK(started <= 1 + 8);
    } else {
        CHECK(threads_of_a_connection(port) >= 2);
        hold_two(port, "/hold");
        CHECK(started <= 1 + 4);
    }
    transom_server_free(server);
    EVENTUALLY(started == ended);
}

static void answered_elsewhere(uint16_t port)
{
    static struct reply reply;
    pthread_t thread;
    int i;
    for (i = 0; i < 2; i++) {
        CHECK(pthread_create(&thread, NULL, answer_kept, NULL) == 0);
        CHECK(get(port, i ? "/keep/inline" : "/keep", &reply) == 200 && strcmp(reply.body, "later") == 0);
        pthread_join(thread, NULL);
    }
}

/* A handler that may block waits for room, in each model on its own thread. An inline one may not. */
static void waiting_for_room(uint16_t port)
{
    static const char *const targets[] = {"/flood", "/flood/inline"};
    static char bytes[65536];
    int i, fd;
    for (i = 0; i < 2; i++) {
        atomic_store(&outcome, 1);
        fd = connect_to(port);
        ask(fd, "GET", targets[i]);
        while (receive(fd, bytes, sizeof bytes, 0) > 0)
            ;
        close(fd);
        EVENTUALLY(outcome != 1);
        CHECK_STATUS(atomic_load(&outcome), i == 0 ? TRANSOM_OK : TRANSOM_WOULD_DEADLOCK);
    }
}

/* A stop with a request in progress that is answered in time, late, or never. */
static void stopping(const char *model)
{
    static struct reply reply;
    transom_report report = {.size = sizeof report};
    uint16_t port = serve(model);
    int fd = connect_to(port), has_pool = strcmp(model, "event") == 0;

    ask(fd, "GET", "/keep");
    EVENTUALLY(kept != NULL);
    OK(transom_server_stop(server, PATIENCE_MS));
    CHECK_STATUS(transom_server_wait(server, 50), TRANSOM_TIMEOUT);
    OK(transom_server_report(server, &report));
    CHECK(report.pending == 1 && report.finished == 0 && report.cut == 0);
    OK(transom_responder_send_text(kept, 200, "in time"));
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "in time") == 0);
    OK(transom_server_wait(server, PATIENCE_MS));
    OK(transom_server_report(server, &report));
    CHECK(report.pending == 0 && report.finished == 1 && report.cut == 0);
    transom_server_free(server);

    fd = connect_to(serve(model));
    ask(fd, "GET", "/keep");
    EVENTUALLY(kept != NULL);
    OK(transom_server_stop(server, 50));
    OK(transom_server_wait(server, PATIENCE_MS));
    OK(transom_server_report(server, &report));
    CHECK(report.pending == 0 && report.finished == 0 && report.cut == 1);
    hear(fd, &reply);
    CHECK(reply.length == 0);
    CHECK_STATUS(transom_responder_send_text(kept, 200, "late"), TRANSOM_GONE);
    transom_server_free(server);

    /* A handler that does not return blocks its own thread, but not transom_server_wait. */
    fd = connect_to(serve(model));
    ask(fd, "GET", "/hold");
    EVENTUALLY(holding == 1);
    OK(transom_server_stop(server, 50));
    CHECK_STATUS(transom_server_wait(server, 200), TRANSOM_TIMEOUT);
    EVENTUALLY(transom_server_report(server, &report) == TRANSOM_OK && (report.cut == 1 || !has_pool));
    CHECK(report.pending == (has_pool ? 0 : 1) && report.finished == 0);
    atomic_store(&released, 1);
    OK(transom_server_wait(server, PATIENCE_MS));
    OK(transom_server_report(server, &report));
    CHECK(report.pending == 0 && report.finished + report.cut == 1);
    hear(fd, &reply);
    transom_server_free(server);
}

static void names(void)
{
    static const char *const bad[] = {"", "Event", "event ", "thread", "ThreadPerConnection"};
    size_t i;
    server = transom_server_new();
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_STATUS(transom_server_set_model(server, bad[i], NULL), TRANSOM_INVALID_ARGUMENT);
    for (i = 0; i < 3; i++)
        OK(transom_server_set_model(server, models[i], NULL));
    start(server);
    CHECK_STATUS(transom_server_set_model(server, models[0], NULL), TRANSOM_ALREADY_STARTED);
    transom_server_free(server);
}

int main(void)
{
    uint16_t port;
    size_t i;
    names();
    for (i = 0; i < 3; i++) {
        threads_of(models[i]);
        port = serve(models[i]);
        answered_elsewhere(port);
        waiting_for_room(port);
        transom_server_free(server);
        stopping(models[i]);
    }
    return 0;
}
