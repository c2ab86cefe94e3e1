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

static void upload(void *user_data, const transom_request *request, transom_responder *responder)
{
    char count[24];
    (void)user_data;
    snprintf(count, sizeof count, "%zu", transom_request_body(request).len);
    transom_responder_send(responder, 200, &text, 1, (const uint8_t *)count, TRANSOM_NUL_TERMINATED, NULL);
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
    add_inline(server, "POST", "/upload", upload, NULL);
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
