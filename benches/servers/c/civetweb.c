/*
 * CivetWeb: a pool of threads, each of which serves a connection to its end.
 *
 *     civetweb --port 8080 --file FILE
 */
#define _DEFAULT_SOURCE

#include <civetweb.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "events.h"

static const uint8_t *bytes;

static int text(struct mg_connection *connection, const char *body)
{
    mg_printf(connection, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
              strlen(body), body);
    return 200;
}

static int octets(struct mg_connection *connection, size_t length, size_t piece)
{
    size_t left;
    mg_printf(connection,
              "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %zu\r\n\r\n",
              length);
    for (left = length; left > 0; left -= piece) {
        if (mg_write(connection, bytes, piece) <= 0)
            break;
    }
    return 200;
}

static int plain(struct mg_connection *connection, void *unused)
{
    (void)unused;
    return text(connection, "hello");
}

static int wait_first(struct mg_connection *connection, void *unused)
{
    const struct timespec delay = {0, WAIT_MS * 1000000L};
    (void)unused;
    nanosleep(&delay, NULL);
    return text(connection, "waited");
}

static int mebibyte(struct mg_connection *connection, void *unused)
{
    (void)unused;
    return octets(connection, MIB, MIB);
}

static int pieces(struct mg_connection *connection, void *unused)
{
    (void)unused;
    return octets(connection, 100 * MIB, PIECE);
}

static int upload(struct mg_connection *connection, void *unused)
{
    char *piece = malloc(PIECE), count[24];
    size_t total = 0;
    int read;
    (void)unused;
    if (piece == NULL)
        return 0;
    while ((read = mg_read(connection, piece, PIECE)) > 0)
        total += (size_t)read;
    free(piece);
    snprintf(count, sizeof count, "%zu", total);
    return text(connection, count);
}

static int events(struct mg_connection *connection, void *unused)
{
    char event[EVENT_SIZE];
    uint64_t count = events_count();
    (void)unused;
    mg_printf(connection, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n");
    do {
        events_await(count++, event);
    } while (mg_write(connection, event, sizeof event) > 0);
    return 200;
}

static int file(struct mg_connection *connection, void *path)
{
    mg_send_mime_file(connection, path, "application/octet-stream");
    return 200;
}

/* mg_start accepts before there are handlers. */
static volatile int ready;

static int when_ready(struct mg_connection *connection)
{
    (void)connection;
    while (!ready)
        usleep(1000);
    return 0;
}

static int not_found(struct mg_connection *connection, void *unused)
{
    (void)unused;
    mg_send_http_error(connection, 404, "%s", "not found");
    return 404;
}

int main(int argc, char **argv)
{
    char port[32];
    const char *options[] = {
        "listening_ports", port, "num_threads", "1100", "listen_backlog", "4096",
        "enable_keep_alive", "yes", "keep_alive_timeout_ms", "60000", "tcp_nodelay", "1",
        NULL,
    };
    struct mg_callbacks callbacks = {.begin_request = when_ready};
    struct mg_context *server;
    sigset_t stop;
    int number;

    bytes = xs(MIB);
    snprintf(port, sizeof port, "127.0.0.1:%u", (unsigned)option_port(argc, argv));
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    if (events_start(events_publish) != 0)
        return 1;
    server = mg_start(&callbacks, NULL, options);
    if (server == NULL) {
        fprintf(stderr, "civetweb: cannot start\n");
        return 1;
    }
    mg_set_request_handler(server, "/plain$", plain, NULL);
    mg_set_request_handler(server, "/wait$", wait_first, NULL);
    mg_set_request_handler(server, "/bytes/1m$", mebibyte, NULL);
    mg_set_request_handler(server, "/bytes/100m$", pieces, NULL);
    mg_set_request_handler(server, "/upload$", upload, NULL);
    mg_set_request_handler(server, "/events$", events, NULL);
    mg_set_request_handler(server, "/file$", file, (void *)option(argc, argv, "--file"));
    mg_set_request_handler(server, "/**", not_found, NULL);
    ready = 1;
    sigwait(&stop, &number);
    /* Its own end waits for connections that are kept alive. */
    _exit(0);
}
