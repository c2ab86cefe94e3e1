/*
 * libevent's evhttp: one thread, epoll. It reads a body whole before it calls.
 *
 *     evhttp --port 8080 --file FILE
 */
#define _GNU_SOURCE

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"
#include "events.h"

static struct {
    struct event_base *base;
    const struct timeval *delay;
    const uint8_t *xs;
    const char *file;
} site;

static void type(struct evhttp_request *request, const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", value);
}

static void send_bytes(struct evhttp_request *request, const char *kind, const void *data, size_t size)
{
    type(request, kind);
    evbuffer_add_reference(evhttp_request_get_output_buffer(request), data, size, NULL, NULL);
    evhttp_send_reply(request, HTTP_OK, "OK", NULL);
}

static void plain(struct evhttp_request *request, void *unused)
{
    (void)unused;
    send_bytes(request, "text/plain", "hello", 5);
}

static void waited(evutil_socket_t unused, short events, void *request)
{
    (void)unused;
    (void)events;
    send_bytes(request, "text/plain", "waited", 6);
}

static void wait_first(struct evhttp_request *request, void *unused)
{
    (void)unused;
    event_base_once(site.base, -1, EV_TIMEOUT, waited, request, site.delay);
}

static void mebibyte(struct evhttp_request *request, void *unused)
{
    (void)unused;
    send_bytes(request, "application/octet-stream", site.xs, MIB);
}

/* An answer of 100 MiB under way. */
struct stream {
    struct evhttp_request *request;
    struct evbuffer *piece;
    size_t left;
};

static void end_stream(struct stream *stream)
{
    evbuffer_free(stream->piece);
    free(stream);
}

static void closed(struct evhttp_connection *connection, void *stream)
{
    (void)connection;
    end_stream(stream);
}

/* The next piece, when the last has gone out. */
static void next_piece(struct evhttp_connection *connection, void *argument)
{
    struct stream *stream = argument;
    if (stream->left == 0) {
        evhttp_connection_set_closecb(connection, NULL, NULL);
        evhttp_send_reply_end(stream->request);
        end_stream(stream);
        return;
    }
    stream->left -= PIECE;
    evbuffer_add_reference(stream->piece, site.xs, PIECE, NULL, NULL);
    evhttp_send_reply_chunk_with_cb(stream->request, stream->piece, next_piece, stream);
}

static void pieces(struct evhttp_request *request, void *unused)
{
    struct stream *stream = calloc(1, sizeof *stream);
    char length[24];
    (void)unused;
    if (stream == NULL || (stream->piece = evbuffer_new()) == NULL) {
        free(stream);
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
        return;
    }
    stream->request = request;
    stream->left = 100 * MIB;
    type(request, "application/octet-stream");
    snprintf(length, sizeof length, "%zu", stream->left);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Length", length);
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), closed, stream);
    evhttp_send_reply_start(request, HTTP_OK, "OK");
    next_piece(evhttp_request_get_connection(request), stream);
}

static void upload(struct evhttp_request *request, void *unused)
{
    (void)unused;
    type(request, "text/plain");
    evbuffer_add_printf(evhttp_request_get_output_buffer(request), "%zu",
                        evbuffer_get_length(evhttp_request_get_input_buffer(request)));
    evhttp_send_reply(request, HTTP_OK, "OK", NULL);
}

/* The clients of /events. */
struct client {
    struct evhttp_request *request;
    struct client *next, **to_this;
};

static struct client *clients;

static void client_left(struct evhttp_connection *connection, void *argument)
{
    struct client *client = argument;
    (void)connection;
    *client->to_this = client->next;
    if (client->next != NULL)
        client->next->to_this = client->to_this;
    free(client);
}

static void events(struct evhttp_request *request, void *unused)
{
    struct client *client = calloc(1, sizeof *client);
    (void)unused;
    if (client == NULL) {
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
        return;
    }
    client->request = request;
    client->next = clients;
    client->to_this = &clients;
    if (clients != NULL)
        clients->to_this = &client->next;
    clients = client;
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), client_left, client);
    type(request, "text/event-stream");
    evhttp_send_reply_start(request, HTTP_OK, "OK");
}

static void send_event(evutil_socket_t unused, short events, void *piece)
{
    static uint64_t number;
    char event[EVENT_SIZE + 1];
    struct client *client, *next;
    (void)unused;
    (void)events;
    event_make(event, number++);
    for (client = clients; client != NULL; client = next) {
        next = client->next;
        evbuffer_add(piece, event, EVENT_SIZE);
        evhttp_send_reply_chunk(client->request, piece);
    }
}

static void file(struct evhttp_request *request, void *unused)
{
    struct stat status;
    int opened = open(site.file, O_RDONLY | O_CLOEXEC);
    (void)unused;
    if (opened < 0 || fstat(opened, &status) != 0) {
        evhttp_send_error(request, HTTP_NOTFOUND, NULL);
        return;
    }
    type(request, "application/octet-stream");
    evbuffer_add_file(evhttp_request_get_output_buffer(request), opened, 0, status.st_size);
    evhttp_send_reply(request, HTTP_OK, "OK", NULL);
}

int main(int argc, char **argv)
{
    const struct timeval delay = {0, WAIT_MS * 1000}, pause = {0, EVENT_MS * 1000};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned flags = LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC;
    struct evconnlistener *listener;
    struct evhttp *http;

    site.file = option(argc, argv, "--file");
    site.xs = xs(MIB);
    address.sin_port = htons(option_port(argc, argv));
    signal(SIGPIPE, SIG_IGN);

    site.base = event_base_new();
    /* All wait equally long: a queue does, in place of the heap of other timers. */
    site.delay = event_base_init_common_timeout(site.base, &delay);
    http = evhttp_new(site.base);
    event_add(event_new(site.base, -1, EV_PERSIST, send_event, evbuffer_new()), &pause);
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
    evhttp_set_cb(http, "/plain", plain, NULL);
    evhttp_set_cb(http, "/wait", wait_first, NULL);
    evhttp_set_cb(http, "/bytes/1m", mebibyte, NULL);
    evhttp_set_cb(http, "/bytes/100m", pieces, NULL);
    evhttp_set_cb(http, "/upload", upload, NULL);
    evhttp_set_cb(http, "/events", events, NULL);
    evhttp_set_cb(http, "/file", file, NULL);
    listener = evconnlistener_new_bind(site.base, NULL, NULL, flags, BACKLOG, (struct sockaddr *)&address,
                                       sizeof address);
    if (listener == NULL || evhttp_bind_listener(http, listener) == NULL) {
        perror("evhttp");
        return 1;
    }
    return event_base_dispatch(site.base) == 0 ? 0 : 1;
}
