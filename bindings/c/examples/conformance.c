/*
 * The application for HTTP/1.1 conformance probes:
 *
 *     GET /plain       "hello"
 *     POST, PUT /echo  the request's body, with its content type
 *     GET /chunked     "a", "bb", "ccc", streamed
 *     GET /empty       204
 *     GET /headers     the header fields received, a line each
 *     GET /sleep/500   "slept", half a second later
 *
 *     cc -Iinclude bindings/c/examples/conformance.c -Ltarget/release -ltransom -lpthread -o conformance
 *     ./conformance [--port N] [--workers N] [--model sequential|threads|event]
 *
 * It prints the address when it listens, and stops on SIGINT and SIGTERM.
 */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <transom.h>

static const transom_field plain_text = TRANSOM_FIELD("content-type", "text/plain");

static void plain(void *user_data, const transom_request *request, transom_responder *responder)
{
    (void)user_data;
    (void)request;
    transom_responder_send(responder, 200, &plain_text, 1, "hello", 5, NULL);
}

static void empty(void *user_data, const transom_request *request, transom_responder *responder)
{
    (void)user_data;
    (void)request;
    transom_responder_send(responder, 204, NULL, 0, NULL, 0, NULL);
}

static void echo(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_bytes body = transom_request_body(request);
    transom_bytes type = transom_request_header(request, "content-type");
    transom_field header = TRANSOM_FIELD("content-type", "application/octet-stream");
    (void)user_data;
    if (type.data != NULL)
        header.value = type;
    /* The response is a copy of the body, for which there may be no memory. */
    if (transom_responder_send(responder, 200, &header, 1, body.data, body.len, NULL) != TRANSOM_OK)
        transom_responder_send_text(responder, 503, "out of memory\n");
}

static void chunked(void *user_data, const transom_request *request, transom_responder *responder)
{
    static const char *const chunks[] = {"a", "bb", "ccc"};
    transom_writer *writer;
    size_t i;
    (void)user_data;
    (void)request;
    if (transom_responder_start(responder, 200, &plain_text, 1, &writer, NULL) != TRANSOM_OK)
        return;
    for (i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        const uint8_t *chunk = (const uint8_t *)chunks[i];
        if (transom_writer_write(writer, chunk, TRANSOM_NUL_TERMINATED, 0) != TRANSOM_OK) {
            transom_writer_free(writer);
            return;
        }
    }
    transom_writer_finish(writer);
}

static void headers(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_field field;
    size_t i, j, length = 0;
    /* Each line is shorter than on the wire, because it ends in LF instead of CR LF. */
    char *text = malloc(transom_request_raw_headers(request).len + 1);
    (void)user_data;
    if (text == NULL) {
        transom_responder_free(responder);
        return;
    }
    for (i = 0; transom_request_header_at(request, i, &field) == TRANSOM_OK; i++) {
        for (j = 0; j < field.name.len; j++) {
            char c = (char)field.name.data[j];
            text[length++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
        text[length++] = ':';
        text[length++] = ' ';
        memcpy(text + length, field.value.data, field.value.len);
        length += field.value.len;
        text[length++] = '\n';
    }
    transom_responder_send_owned(responder, 200, &plain_text, 1, text, length, text, free, NULL);
}

/*
 * Responses that wait. All wait equally long, so they are sent in the order in
 * which they were queued.
 */
struct sleeper {
    transom_responder *responder;
    struct timespec until;
    struct sleeper *next;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct sleeper *first, **last;
    int stopping;
} sleepers;

static void sleep_500(void *user_data, const transom_request *request, transom_responder *responder)
{
    struct sleeper *sleeper = malloc(sizeof *sleeper);
    (void)user_data;
    (void)request;
    if (sleeper == NULL) {
        transom_responder_free(responder);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &sleeper->until);
    sleeper->until.tv_nsec += 500L * 1000 * 1000;
    if (sleeper->until.tv_nsec >= 1000L * 1000 * 1000) {
        sleeper->until.tv_nsec -= 1000L * 1000 * 1000;
        sleeper->until.tv_sec++;
    }
    sleeper->responder = responder;
    sleeper->next = NULL;
    pthread_mutex_lock(&sleepers.lock);
    *sleepers.last = sleeper;
    sleepers.last = &sleeper->next;
    pthread_cond_signal(&sleepers.changed);
    pthread_mutex_unlock(&sleepers.lock);
}

static int is_due(const struct sleeper *sleeper)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > sleeper->until.tv_sec
        || (now.tv_sec == sleeper->until.tv_sec && now.tv_nsec >= sleeper->until.tv_nsec);
}

static void *wake_sleepers(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&sleepers.lock);
    while (!sleepers.stopping || sleepers.first != NULL) {
        struct sleeper *first = sleepers.first;
        if (first == NULL) {
            pthread_cond_wait(&sleepers.changed, &sleepers.lock);
        } else if (!is_due(first)) {
            pthread_cond_timedwait(&sleepers.changed, &sleepers.lock, &first->until);
        } else {
            sleepers.first = first->next;
            if (sleepers.first == NULL)
                sleepers.last = &sleepers.first;
            pthread_mutex_unlock(&sleepers.lock);
            transom_responder_send_text(first->responder, 200, "slept");
            free(first);
            pthread_mutex_lock(&sleepers.lock);
        }
    }
    pthread_mutex_unlock(&sleepers.lock);
    return NULL;
}

static void init_sleepers(void)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&sleepers.lock, NULL);
    pthread_cond_init(&sleepers.changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sleepers.last = &sleepers.first;
}

static long number(const char *text, long min, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < min || value > max) {
        fprintf(stderr, "conformance: %s is not a number from %ld to %ld\n", text, min, max);
        exit(2);
    }
    return value;
}

/* Adds a route whose handler never blocks. */
static transom_status add_inline(transom_server *server, const char *method, const char *pattern,
                                 transom_handler_fn handler, void *user_data)
{
    transom_route *route = transom_route_new(method, pattern, handler, user_data, NULL);
    transom_route_set_inline(route, true);
    return transom_server_add(server, route, NULL);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *method, *path;
        transom_handler_fn handler;
    } routes[] = {
        {"GET", "/plain", plain},     {"POST", "/echo", echo},       {"PUT", "/echo", echo},
        {"GET", "/chunked", chunked}, {"GET", "/empty", empty},      {"GET", "/headers", headers},
        {"GET", "/sleep/500", sleep_500},
    };
    long port = 8080, workers = 0;
    const char *model = "event";
    char address[32];
    transom_error *error = NULL;
    transom_server *server;
    pthread_t waker;
    sigset_t stop;
    int i, signal_number;
    size_t r;

    for (i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--port") == 0) {
            port = number(argv[i + 1], 0, 65535);
        } else if (i + 1 < argc && strcmp(argv[i], "--workers") == 0) {
            workers = number(argv[i + 1], 1, 1024);
        } else if (i + 1 < argc && strcmp(argv[i], "--model") == 0) {
            model = argv[i + 1];
        } else {
            fprintf(stderr, "usage: conformance [--port N] [--workers N] [--model sequential|threads|event]\n");
            return 2;
        }
    }

    /* Blocked before any thread starts, so that only sigwait gets these signals. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);

    init_sleepers();
    if (pthread_create(&waker, NULL, wake_sleepers, NULL) != 0) {
        fprintf(stderr, "conformance: cannot start a thread\n");
        return 1;
    }

    /* These handlers never block, so the threads that serve connections may run them. */
    server = transom_server_new();
    for (r = 0; r < sizeof routes / sizeof routes[0]; r++)
        add_inline(server, routes[r].method, routes[r].path, routes[r].handler, NULL);
    if (workers > 0)
        transom_server_set_workers(server, (size_t)workers, NULL);
    if (transom_server_set_model(server, model, NULL) != TRANSOM_OK) {
        fprintf(stderr, "conformance: %s is not a model: sequential, threads or event\n", model);
        transom_server_free(server);
        return 2;
    }

    snprintf(address, sizeof address, "127.0.0.1:%ld", port);
    if (transom_server_start(server, address, &error) != TRANSOM_OK) {
        fprintf(stderr, "conformance: %s\n", transom_error_message(error));
        transom_error_free(error);
        transom_server_free(server);
        return 1;
    }
    printf("listening on http://127.0.0.1:%u\n", (unsigned)transom_server_port(server));
    fflush(stdout);

    sigwait(&stop, &signal_number);
    transom_server_free(server);
    pthread_mutex_lock(&sleepers.lock);
    sleepers.stopping = 1;
    pthread_cond_signal(&sleepers.changed);
    pthread_mutex_unlock(&sleepers.lock);
    pthread_join(waker, NULL);
    return 0;
}
