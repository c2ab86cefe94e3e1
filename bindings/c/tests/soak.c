/*
 * Four threads answer the requests of three servers, one of each model, later and in every way, while
 * clients come and leave at random. At the end every responder, writer, body, watch, value and event is
 * accounted for: each was given out once and ended once, and each free function ran once.
 *
 * soak [SECONDS] says how long; without it TRANSOM_TEST_SOAK_SECONDS does (3).
 */
#include "common.h"

#define SERVERS 3
#define ANSWERERS 4
#define CLIENTS 3 /* of each server */
#define LARGE 300000
/* The most descriptors that the library keeps after its servers. On Windows, threads have handles too. */
#ifdef _WIN32
#define MOST_KEPT 16
#else
#define MOST_KEPT 8
#endif

static const char *const models[SERVERS] = {"event", "threads", "sequential"};

/* What is given out and must be given back. */
enum kind { ROUTE, HOOK, WRAP, VALUE, BODY, GONE, STOPPING, READABLE, WRITABLE, WRITER_GONE, WRITER_STOPPING, KINDS };
static const char *const kind_names[KINDS] = {"routes", "hooks", "wraps", "values", "bodies", "watches of clients",
                                              "watches of stops", "readable", "writable", "watches of readers",
                                              "watches of stops by writers"};
static atomic_ullong given[KINDS], called[KINDS], freed[KINDS];

/* A request that its handler has left to the four threads. */
struct job {
    struct job *next;
    transom_responder *responder;
    const transom_request *request;
    transom_writer *writer;
    unsigned long id;
    size_t left;
    int streams;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *first, **last;
    int closed;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .last = &queue.first};

static transom_server *servers[SERVERS];
static uint16_t ports[SERVERS];
static transom_events *events;
static atomic_int ending;
static atomic_uint threads;
static atomic_ulong ids;
/* Responders: those that handlers got, and how each of them ended. */
static atomic_ullong handed, sent, late, dropped;
static atomic_ullong writers, finished, cut;
static atomic_ullong watched, news[TRANSOM_EVENT_UPGRADED_STOPPING + 1];
static atomic_ullong told[SERVERS], without_head[SERVERS];
static atomic_ullong whole, broken, errors, left;

static unsigned below(unsigned limit)
{
    static _Thread_local unsigned state;
    if (state == 0)
        state = (unsigned)time(NULL) * 31 + atomic_fetch_add(&threads, 1) + 1;
    return (unsigned)rand_r(&state) % limit;
}

/* User data of one kind. Its job, if it has one, goes back to the queue when it is freed. */
struct item {
    enum kind kind;
    atomic_int calls, frees;
    struct job *job;
    int server;
};

static struct item *item(enum kind kind, struct job *job)
{
    struct item *made = calloc(1, sizeof *made);
    CHECK(made != NULL);
    made->kind = kind;
    made->job = job;
    atomic_fetch_add(&given[kind], 1);
    return made;
}

static void put(struct job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&queue.lock);
    *queue.last = job;
    queue.last = &job->next;
    pthread_cond_signal(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
}

static struct job *take(void)
{
    struct job *job;
    pthread_mutex_lock(&queue.lock);
    while (queue.first == NULL && !queue.closed)
        pthread_cond_wait(&queue.changed, &queue.lock);
    job = queue.first;
    if (job != NULL && (queue.first = job->next) == NULL)
        queue.last = &queue.first;
    pthread_mutex_unlock(&queue.lock);
    return job;
}

static void call_item(void *user_data)
{
    struct item *it = user_data;
    CHECK(atomic_load(&it->frees) == 0 && atomic_fetch_add(&it->calls, 1) == 0);
    atomic_fetch_add(&called[it->kind], 1);
}

static void free_item(void *user_data)
{
    struct item *it = user_data;
    struct job *job = it->job;
    CHECK(atomic_fetch_add(&it->frees, 1) == 0);
    atomic_fetch_add(&freed[it->kind], 1);
    free(it);
    if (job != NULL)
        put(job);
}

/* ---- The host ---- */

/* A responder is used up, with this status. */
static void ended(transom_status status)
{
    CHECK(status == TRANSOM_OK || status == TRANSOM_GONE);
    atomic_fetch_add(status == TRANSOM_OK ? &sent : &late, 1);
}

static void done(struct job *job)
{
    CHECK_STATUS(transom_responder_send_text(job->responder, 200, "again"), TRANSOM_ALREADY_ANSWERED);
    if (job->writer != NULL)
        CHECK_STATUS(transom_writer_finish(job->writer), TRANSOM_ALREADY_ANSWERED);
    free(job);
}

/* An event may be asked for just after what it is about has ended. */
static void registered(transom_status status)
{
    CHECK(status == TRANSOM_OK || status == TRANSOM_ALREADY_ANSWERED);
}

static void go_on_writing(struct job *job)
{
    static const char filler[16384] = {0};
    char end[32];
    transom_status status = TRANSOM_OK;
    int64_t patience = below(2) ? 0 : TRANSOM_FOREVER;
    while (job->left > 0 && status == TRANSOM_OK) {
        size_t piece = job->left < sizeof filler ? job->left : sizeof filler;
        status = transom_writer_write(job->writer, filler, piece, patience);
        if (status == TRANSOM_OK)
            job->left -= piece;
        if (below(400) == 0)
            break; /* The body is given up in the middle. */
    }
    if (status == TRANSOM_WOULD_BLOCK) {
        if (below(4) == 0)
            registered(transom_events_await_room(events, job->writer));
        OK(transom_writer_on_writable(job->writer, call_item, item(WRITABLE, job), free_item));
        return;
    }
    CHECK(status == TRANSOM_OK || status == TRANSOM_GONE);
    if (status == TRANSOM_OK && job->left == 0) {
        snprintf(end, sizeof end, " end %lu.", job->id);
        status = transom_writer_write(job->writer, end, strlen(end), TRANSOM_FOREVER);
        CHECK(status == TRANSOM_OK || status == TRANSOM_GONE);
        status = transom_writer_finish(job->writer);
        CHECK(status == TRANSOM_OK || status == TRANSOM_GONE);
        atomic_fetch_add(&finished, 1);
    } else {
        transom_writer_free(job->writer);
        atomic_fetch_add(&cut, 1);
    }
    done(job);
}

static void begin_writing(struct job *job)
{
    char begin[32];
    transom_status status = transom_responder_start(job->responder, 200, NULL, 0, &job->writer, NULL);
    ended(status);
    if (status == TRANSOM_GONE) {
        CHECK(job->writer == NULL);
        done(job);
        return;
    }
    atomic_fetch_add(&writers, 1);
    job->left = below(3) ? below(5000) : LARGE;
    if (below(2))
        OK(transom_writer_on_gone(job->writer, call_item, item(WRITER_GONE, NULL), free_item));
    if (below(2))
        OK(transom_writer_on_stopping(job->writer, call_item, item(WRITER_STOPPING, NULL), free_item));
    if (below(2)) {
        OK(transom_events_watch_writer(events, job->writer));
        OK(transom_events_watch_writer_stopping(events, job->writer));
    }
    snprintf(begin, sizeof begin, "begin %lu.", job->id);
    status = transom_writer_write(job->writer, begin, strlen(begin), TRANSOM_FOREVER);
    CHECK(status == TRANSOM_OK || status == TRANSOM_GONE);
    go_on_writing(job);
}

static void free_body(void *user_data)
{
    atomic_fetch_add(&freed[BODY], 1);
    free(user_data);
}

static void respond(struct job *job)
{
    char text[64];
    char *body;
    if (below(4) == 0)
        pause_ms(below(4));
    snprintf(text, sizeof text, "begin %lu. end %lu.", job->id, job->id);
    switch (below(12)) {
    case 0: case 1: ended(transom_responder_send_text(job->responder, 200, text)); break;
    case 2: case 3: case 4:
        CHECK((body = strdup(text)) != NULL);
        atomic_fetch_add(&given[BODY], 1);
        ended(transom_responder_send_owned(job->responder, 200, NULL, 0, body, strlen(body), body, free_body, NULL));
        break;
    case 5:
        transom_responder_free(job->responder);
        atomic_fetch_add(&dropped, 1);
        break;
    case 6:
        if (transom_responder_is_gone(job->responder)) {
            transom_responder_free(job->responder);
            atomic_fetch_add(&dropped, 1);
            break;
        }
        /* fall through */
    default: begin_writing(job); return;
    }
    done(job);
}

static void go_on_reading(struct job *job)
{
    char piece[512];
    size_t len;
    transom_status status;
    int64_t patience = below(2) ? 0 : 20;
    do
        status = transom_request_read(job->request, piece, 1 + below(sizeof piece), patience, &len);
    while (status == TRANSOM_OK && len > 0);
    if ((status == TRANSOM_WOULD_BLOCK || status == TRANSOM_TIMEOUT) && below(40)) {
        if (below(4) == 0)
            registered(transom_events_await_body(events, (uintptr_t)job->responder));
        OK(transom_request_on_readable(job->request, call_item, item(READABLE, job), free_item));
    } else {
        respond(job); /* Also in the middle of the body, and after an error in it. */
    }
}

static void *answerer(void *unused UNUSED)
{
    struct job *job;
    while ((job = take()) != NULL) {
        if (job->writer != NULL)
            go_on_writing(job);
        else if (job->streams)
            go_on_reading(job);
        else
            respond(job);
    }
    return NULL;
}

static void defer(void *user_data, const transom_request *request, transom_responder *responder)
{
    struct job *job = calloc(1, sizeof *job);
    char digits[24];
    transom_bytes id = transom_request_query_value(request, "id", 0);
    CHECK(job != NULL && ((struct item *)user_data)->kind == ROUTE);
    CHECK(((struct item *)transom_request_value(request))->kind == VALUE);
    snprintf(digits, sizeof digits, "%.*s", TRANSOM_PRINT(id));
    job->request = request;
    job->responder = responder;
    job->id = strtoul(digits, NULL, 10);
    job->streams = transom_bytes_equal(transom_request_path(request), "/stream");
    atomic_fetch_add(&handed, 1);
    if (below(2))
        OK(transom_responder_on_gone(responder, call_item, item(GONE, NULL), free_item));
    if (below(2))
        OK(transom_responder_on_stopping(responder, call_item, item(STOPPING, NULL), free_item));
    if (below(2)) {
        OK(transom_events_watch_request(events, (uintptr_t)responder));
        OK(transom_events_watch_stopping(events, (uintptr_t)responder));
        atomic_fetch_add(&watched, 1);
    }
    put(job);
}

static bool before(void *user_data, transom_request *request, transom_response *response UNUSED)
{
    CHECK(((struct item *)user_data)->kind == WRAP);
    OK(transom_request_set_value(request, item(VALUE, NULL), free_item));
    if (below(8) == 0) /* replaces the first */
        OK(transom_request_set_value(request, item(VALUE, NULL), free_item));
    return true;
}

static void on_exchange(void *user_data, const transom_exchange *exchange)
{
    const struct item *it = user_data;
    CHECK(it->kind == HOOK);
    atomic_fetch_add(exchange->method.data ? &told[it->server] : &without_head[it->server], 1);
}

static void *take_events(void *unused UNUSED)
{
    transom_event list[16];
    uint32_t count, i;
    while (transom_events_next(events, list, 16, TRANSOM_FOREVER, &count) == TRANSOM_OK)
        for (i = 0; i < count; i++) {
            CHECK(list[i].kind > 0 && list[i].kind <= TRANSOM_EVENT_UPGRADED_STOPPING && list[i].token != 0);
            atomic_fetch_add(&news[list[i].kind], 1);
        }
    return NULL;
}

/* ---- The clients ---- */

/* Reads an answer to its end, and judges it. */
static void hear_all(int fd, unsigned long id)
{
    static _Thread_local char text[LARGE * 2];
    char begin[32], end[32];
    size_t length = 0;
    int status = 0, chunked;
    ssize_t n;
    while ((n = receive(fd, text + length, sizeof text - 1 - length, 0)) > 0)
        length += (size_t)n;
    CHECK(n == 0 || errno == ECONNRESET || errno == EPIPE);
    text[length] = '\0';
    sscanf(text, "HTTP/1.1 %d", &status);
    if (status == 500) {
        atomic_fetch_add(&errors, 1); /* The responder was freed. */
        return;
    }
    snprintf(begin, sizeof begin, "begin %lu.", id);
    snprintf(end, sizeof end, " end %lu.", id);
    chunked = strstr(text, "transfer-encoding: chunked") != NULL;
    if (n == 0 && (chunked ? length > 5 && memcmp(text + length - 5, "0\r\n\r\n", 5) == 0
                           : memmem(text, length, end, strlen(end)) != NULL)) {
        CHECK(status == 200 && memmem(text, length, begin, strlen(begin)) && memmem(text, length, end, strlen(end)));
        atomic_fetch_add(&whole, 1);
    } else {
        /* Given up in the middle, or cut off by the stop. */
        CHECK(chunked || atomic_load(&ending));
        atomic_fetch_add(&broken, 1);
    }
}

static void *client(void *given_port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*(uint16_t *)given_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {PATIENCE_MS / 1000, 0};
    char request[256], piece[4096];
    while (!atomic_load(&ending)) {
        unsigned long id = atomic_fetch_add(&ids, 1);
        int streams = below(2), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        size_t size;
        CHECK(fd >= 0);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
            CHECK(atomic_load(&ending));
            close(fd);
            break;
        }
        size = (size_t)snprintf(request, sizeof request,
                                "POST /%s?id=%lu HTTP/1.1\r\nHost: test\r\nContent-Length: 20\r\nConnection: close\r\n\r\n"
                                "01234567890123456789",
                                streams ? "stream" : "whole", id);
        switch (below(8)) {
        case 0: /* leaves in the middle of its request */
            send(fd, request, below((unsigned)size), MSG_NOSIGNAL);
            break;
        case 1: /* leaves before the answer */
            send(fd, request, size, MSG_NOSIGNAL);
            if (below(2))
                pause_ms(below(4));
            break;
        case 2: case 3: /* leaves in the middle of the answer */
            send(fd, request, size, MSG_NOSIGNAL);
            receive(fd, piece, 1 + below(sizeof piece), 0);
            break;
        case 4: /* sends its body late, and stays */
            send(fd, request, size - 15, MSG_NOSIGNAL);
            pause_ms(below(4));
            send(fd, request + size - 15, 15, MSG_NOSIGNAL);
            hear_all(fd, id);
            close(fd);
            continue;
        case 5: /* closes its sending side, and stays */
            send(fd, request, size, MSG_NOSIGNAL);
            shutdown(fd, SHUT_WR);
            hear_all(fd, id);
            close(fd);
            continue;
        default: /* stays */
            send(fd, request, size, MSG_NOSIGNAL);
            hear_all(fd, id);
            close(fd);
            continue;
        }
        atomic_fetch_add(&left, 1);
        if (below(2))
            slam(fd);
        else
            close(fd);
    }
    return NULL;
}

static void set_up(int i)
{
    struct item *hook = item(HOOK, NULL);
    transom_route *route = transom_route_new("POST", "/stream", defer, item(ROUTE, NULL), free_item);
    servers[i] = transom_server_new();
    hook->server = i;
    OK(transom_server_set_model(servers[i], models[i], NULL));
    /* A client that is slow to send the rest of its body gets its answer all the same. */
    OK(transom_server_set_timeout(servers[i], "linger", PATIENCE_MS, NULL));
    OK(transom_server_set_timeout(servers[i], "linger_idle", PATIENCE_MS, NULL));
    OK(transom_server_wrap(servers[i], before, NULL, item(WRAP, NULL), free_item));
    OK(transom_server_on_exchange(servers[i], on_exchange, hook, free_item));
    OK(transom_server_route(servers[i], "POST", "/whole", defer, item(ROUTE, NULL), free_item, NULL));
    OK(transom_route_set_streaming(route, true));
    OK(transom_server_add(servers[i], route, NULL));
    ports[i] = start(servers[i]);
}

/* Stops a server, and compares what it has counted with what the hook was told. */
static void end(int i)
{
    transom_stats stats = {.size = sizeof stats};
    OK(transom_server_wait(servers[i], PATIENCE_MS));
    /* A job may still keep the body of its request. */
    EVENTUALLY(transom_server_stats(servers[i], &stats) == TRANSOM_OK && stats.body_bytes == 0);
    fprintf(stderr, "%s: %llu exchanges told, %llu without a head; %llu requests, %llu cut, %llu refused, %llu connections\n",
            models[i], told[i], without_head[i], (unsigned long long)stats.requests, (unsigned long long)stats.cut,
            (unsigned long long)stats.refused, (unsigned long long)stats.accepted);
    CHECK(stats.connections == 0 && stats.pending == 0);
    CHECK(told[i] == stats.requests + stats.cut);
}

int main(int argc, char **argv)
{
    const char *seconds = argc > 1 ? argv[1] : getenv("TRANSOM_TEST_SOAK_SECONDS");
    int i, open = descriptors_now();
    pthread_t clients[SERVERS * CLIENTS], answerers[ANSWERERS], reporter;
    events = transom_events_new();
    for (i = 0; i < ANSWERERS; i++)
        CHECK(pthread_create(&answerers[i], NULL, answerer, NULL) == 0);
    CHECK(pthread_create(&reporter, NULL, take_events, NULL) == 0);
    for (i = 0; i < SERVERS; i++)
        set_up(i);
    for (i = 0; i < SERVERS * CLIENTS; i++)
        CHECK(pthread_create(&clients[i], NULL, client, &ports[i % SERVERS]) == 0);
    pause_ms((seconds ? atol(seconds) : 3) * 1000);
    /* A busy machine may need more time until each has happened. */
    EVENTUALLY(whole > 0 && left > 0 && called[GONE] > 0 && called[WRITABLE] > 0 && called[READABLE] > 0);

    /* The clients and the answers go on while the servers stop. */
    atomic_store(&ending, 1);
    for (i = 0; i < SERVERS; i++)
        OK(transom_server_stop(servers[i], 300));
    for (i = 0; i < SERVERS * CLIENTS; i++)
        pthread_join(clients[i], NULL);
    for (i = 0; i < SERVERS; i++)
        end(i);
    EVENTUALLY(handed == sent + late + dropped && writers == finished + cut);
    pthread_mutex_lock(&queue.lock);
    CHECK(queue.first == NULL);
    queue.closed = 1;
    pthread_cond_broadcast(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
    for (i = 0; i < ANSWERERS; i++)
        pthread_join(answerers[i], NULL);
    for (i = 0; i < SERVERS; i++)
        transom_server_free(servers[i]);
    OK(transom_events_close(events));
    pthread_join(reporter, NULL);
    transom_events_free(events);

    fprintf(stderr, "%llu responders: %llu sent, %llu too late, %llu freed; %llu writers: %llu finished, %llu cut\n",
            handed, sent, late, dropped, writers, finished, cut);
    fprintf(stderr, "clients: %llu left, %llu got the whole, %llu a part, %llu an error\n", left, whole, broken, errors);
    for (i = 0; i < KINDS; i++)
        fprintf(stderr, "%s: %llu given, %llu called, %llu freed\n", kind_names[i], given[i], called[i], freed[i]);
    for (i = 0; i < KINDS; i++)
        EVENTUALLY(given[i] == freed[i] && called[i] <= given[i]);
    CHECK(news[TRANSOM_EVENT_GONE] <= watched && news[TRANSOM_EVENT_OVER] <= watched);
    CHECK(news[TRANSOM_EVENT_WRITER_GONE] <= writers && news[TRANSOM_EVENT_WRITER_STOPPING] <= writers);
    CHECK(handed > 0 && whole > 0 && left > 0 && called[GONE] > 0 && called[WRITABLE] > 0 && called[READABLE] > 0);
    /* The reactor keeps its descriptors for as long as the process lives. */
    EVENTUALLY(descriptors_now() <= open + MOST_KEPT);
    return 0;
}
