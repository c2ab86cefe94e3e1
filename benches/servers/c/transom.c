/*
 * Transom from C: event-driven with one worker, or with a thread for each connection.
 *
 *     transom --model event|threads --port 8080 --file FILE
 */
#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <transom.h>

#include "common.h"
#include "delay.h"
#include "events.h"

static const transom_field text = TRANSOM_FIELD("content-type", "text/plain");
static const transom_field octets = TRANSOM_FIELD("content-type", "application/octet-stream");
static const uint8_t *bytes;

static void plain(void *user_data, const transom_request *request, transom_responder *responder)
{
    (void)user_data;
    (void)request;
    transom_responder_send(responder, 200, &text, 1, "hello", 5, NULL);
}

static void waited(void *responder)
{
    transom_responder_send(responder, 200, &text, 1, "waited", 6, NULL);
}

static void wait_first(void *user_data, const transom_request *request, transom_responder *responder)
{
    (void)user_data;
    (void)request;
    if (delay(responder) != 0)
        transom_responder_free(responder);
}

static void mebibyte(void *user_data, const transom_request *request, transom_responder *responder)
{
    (void)user_data;
    (void)request;
    transom_responder_send_owned(responder, 200, &octets, 1, bytes, MIB, NULL, NULL, NULL);
}

/* An answer of 100 MiB under way. */
struct stream {
    transom_writer *writer;
    size_t left;
};

/* Writes pieces until the client has enough for now. */
static void write_on(void *user_data)
{
    struct stream *stream = user_data;
    transom_status status = TRANSOM_OK;
    while (stream->left > 0) {
        status = transom_writer_write(stream->writer, bytes, PIECE, 0);
        if (status != TRANSOM_OK)
            break;
        stream->left -= PIECE;
    }
    if (status == TRANSOM_WOULD_BLOCK) {
        transom_writer_on_writable(stream->writer, write_on, stream, NULL);
        return;
    }
    if (status == TRANSOM_OK)
        transom_writer_finish(stream->writer);
    else
        transom_writer_free(stream->writer);
    free(stream);
}

static void pieces(void *user_data, const transom_request *request, transom_responder *responder)
{
    struct stream *stream = malloc(sizeof *stream);
    (void)user_data;
    (void)request;
    stream->left = 100 * MIB;
    if (transom_responder_start_sized(responder, 200, &octets, 1, stream->left, &stream->writer, NULL) == TRANSOM_OK)
        write_on(stream);
    else
        free(stream);
}

/* The same on a thread that may wait. */
static void pieces_waiting(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_writer *writer;
    size_t left;
    (void)user_data;
    (void)request;
    if (transom_responder_start_sized(responder, 200, &octets, 1, 100 * MIB, &writer, NULL) != TRANSOM_OK)
        return;
    for (left = 100 * MIB; left > 0; left -= PIECE) {
        if (transom_writer_write(writer, bytes, PIECE, TRANSOM_FOREVER) != TRANSOM_OK) {
            transom_writer_free(writer);
            return;
        }
    }
    transom_writer_finish(writer);
}

static void count_text(transom_responder *responder, size_t total)
{
    char count[24];
    snprintf(count, sizeof count, "%zu", total);
    if (transom_responder_send(responder, 200, &text, 1, count, TRANSOM_NUL_TERMINATED, NULL) != TRANSOM_OK)
        transom_responder_free(responder);
}

/* A request whose body is on its way. */
struct reading {
    const transom_request *request;
    transom_responder *responder;
    size_t total;
};

/* Reads what has come, and answers with the number of bytes at the end. */
static void read_on(void *user_data)
{
    static _Thread_local char piece[PIECE];
    struct reading *reading = user_data;
    size_t length;
    transom_status status;
    while ((status = transom_request_read(reading->request, piece, PIECE, 0, &length)) == TRANSOM_OK && length > 0)
        reading->total += length;
    if (status == TRANSOM_WOULD_BLOCK) {
        transom_request_on_readable(reading->request, read_on, reading, NULL);
        return;
    }
    count_text(reading->responder, reading->total);
    free(reading);
}

static void upload(void *user_data, const transom_request *request, transom_responder *responder)
{
    struct reading *reading = malloc(sizeof *reading);
    (void)user_data;
    *reading = (struct reading){request, responder, 0};
    read_on(reading);
}

/* The same on a thread that may wait. */
static void upload_waiting(void *user_data, const transom_request *request, transom_responder *responder)
{
    static _Thread_local char piece[PIECE];
    size_t total = 0, length;
    (void)user_data;
    while (transom_request_read(request, piece, PIECE, TRANSOM_FOREVER, &length) == TRANSOM_OK && length > 0)
        total += length;
    count_text(responder, total);
}

/* The clients of /events. */
static struct {
    pthread_mutex_t lock;
    transom_writer *writers[CONNECTIONS];
    size_t count;
} clients = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void events(void *user_data, const transom_request *request, transom_responder *responder)
{
    static const transom_field stream = TRANSOM_FIELD("content-type", "text/event-stream");
    transom_writer *writer;
    (void)user_data;
    (void)request;
    if (transom_responder_start(responder, 200, &stream, 1, &writer, NULL) != TRANSOM_OK)
        return;
    pthread_mutex_lock(&clients.lock);
    clients.writers[clients.count++] = writer;
    pthread_mutex_unlock(&clients.lock);
}

static void send_event(const char *event)
{
    size_t i = 0;
    pthread_mutex_lock(&clients.lock);
    while (i < clients.count) {
        transom_status status = transom_writer_write(clients.writers[i], event, EVENT_SIZE, 0);
        if (status == TRANSOM_OK || status == TRANSOM_WOULD_BLOCK) {
            i++;
        } else {
            transom_writer_free(clients.writers[i]);
            clients.writers[i] = clients.writers[--clients.count];
        }
    }
    pthread_mutex_unlock(&clients.lock);
}

static void send_file(void *path, const transom_request *request, transom_responder *responder)
{
    (void)request;
    if (transom_responder_send_file(responder, 200, &octets, 1, open(path, O_RDONLY | O_CLOEXEC), 0, TRANSOM_TO_END, NULL))
        transom_responder_free(responder);
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
    transom_server *server = transom_server_new();
    transom_error *error = NULL;
    const char *model = option_or(argc, argv, "--model", "event");
    bool waits = strcmp(model, "threads") == 0;
    char address[32];

    bytes = xs(MIB);
    add_inline(server, "GET", "/plain", plain, NULL);
    add_inline(server, "GET", "/wait", wait_first, NULL);
    add_inline(server, "GET", "/bytes/1m", mebibyte, NULL);
    add_inline(server, "GET", "/events", events, NULL);
    if (waits)
        transom_server_route(server, "GET", "/bytes/100m", pieces_waiting, NULL, NULL, NULL);
    else
        add_inline(server, "GET", "/bytes/100m", pieces, NULL);
    transom_route *streamed = transom_route_new("POST", "/upload", waits ? upload_waiting : upload, NULL, NULL);
    transom_route_set_inline(streamed, !waits);
    transom_route_set_streaming(streamed, true);
    transom_server_add(server, streamed, NULL);
    add_inline(server, "GET", "/file", send_file, (void *)option(argc, argv, "--file"));
    transom_server_set_model(server, model, NULL);
    transom_server_set_workers(server, 1, NULL);
    transom_server_set_limit(server, "connections", CONNECTIONS, NULL);
    transom_server_set_limit(server, "connection_threads", 10100, NULL);
    transom_server_set_limit(server, "backlog", BACKLOG, NULL);
    transom_server_set_limit(server, "body", 1024 * MIB, NULL);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)option_port(argc, argv));
    if (delay_start(waited) != 0 || events_start(send_event) != 0 || transom_server_start(server, address, &error) != TRANSOM_OK) {
        fprintf(stderr, "transom: %s\n", transom_error_message(error));
        return 1;
    }
    transom_server_wait(server, TRANSOM_FOREVER);
    return 0;
}
