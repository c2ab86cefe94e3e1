/*
 * Transom from C, event-driven, with one worker.
 *
 *     transom --port 8080 --file FILE
 */
#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <signal.h>
#include <transom.h>

#include "common.h"
#include "delay.h"

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

static void pieces(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_writer *writer;
    size_t left;
    (void)user_data;
    (void)request;
    if (transom_responder_start(responder, 200, &octets, 1, &writer, NULL) != TRANSOM_OK)
        return;
    for (left = 100 * MIB; left > 0; left -= PIECE) {
        if (transom_writer_write(writer, bytes, PIECE, TRANSOM_FOREVER) != TRANSOM_OK) {
            transom_writer_free(writer);
            return;
        }
    }
    transom_writer_finish(writer);
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
    char count[24];
    size_t length;
    transom_status status;
    while ((status = transom_request_read(reading->request, piece, PIECE, 0, &length)) == TRANSOM_OK && length > 0)
        reading->total += length;
    if (status == TRANSOM_WOULD_BLOCK) {
        transom_request_on_readable(reading->request, read_on, reading, NULL);
        return;
    }
    snprintf(count, sizeof count, "%zu", reading->total);
    if (transom_responder_send(reading->responder, 200, &text, 1, count, TRANSOM_NUL_TERMINATED, NULL) != TRANSOM_OK)
        transom_responder_free(reading->responder);
    free(reading);
}

static void upload(void *user_data, const transom_request *request, transom_responder *responder)
{
    struct reading *reading = malloc(sizeof *reading);
    (void)user_data;
    *reading = (struct reading){request, responder, 0};
    read_on(reading);
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
    char address[32];

    bytes = xs(MIB);
    add_inline(server, "GET", "/plain", plain, NULL);
    add_inline(server, "GET", "/wait", wait_first, NULL);
    add_inline(server, "GET", "/bytes/1m", mebibyte, NULL);
    transom_server_route(server, "GET", "/bytes/100m", pieces, NULL, NULL, NULL);
    transom_route *streamed = transom_route_new("POST", "/upload", upload, NULL, NULL);
    transom_route_set_inline(streamed, true);
    transom_route_set_streaming(streamed, true);
    transom_server_add(server, streamed, NULL);
    add_inline(server, "GET", "/file", send_file, (void *)option(argc, argv, "--file"));
    transom_server_set_workers(server, 1, NULL);
    transom_server_set_limit(server, "connections", CONNECTIONS, NULL);
    transom_server_set_limit(server, "backlog", BACKLOG, NULL);
    transom_server_set_limit(server, "body", 1024 * MIB, NULL);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)option_port(argc, argv));
    if (delay_start(waited) != 0 || transom_server_start(server, address, &error) != TRANSOM_OK) {
        fprintf(stderr, "transom: %s\n", transom_error_message(error));
        return 1;
    }
    transom_server_wait(server, TRANSOM_FOREVER);
    return 0;
}
