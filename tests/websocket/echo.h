/*
 * WebSocket connections that are served by callbacks, on the thread that serves the connections: for `echo.c` here,
 * and for the server of `benches/websocket`.
 */
#ifndef ECHO_H
#define ECHO_H

#include <stdio.h>
#include <stdlib.h>
#include <transom.h>

#define OK(call)                                                                                                      \
    do {                                                                                                              \
        int status_ = (call);                                                                                         \
        if (status_ != TRANSOM_OK) {                                                                                  \
            fprintf(stderr, "%s: %s\n", #call, transom_status_text(status_));                                         \
            exit(1);                                                                                                  \
        }                                                                                                             \
    } while (0)

/* A connection, and a message that found no room. */
struct connection {
    transom_websocket *socket;
    transom_websocket_message *waiting;
    /* Those that get each message; NULL sends it back. */
    transom_broadcast *members;
};

static void serve(void *connection);

/* Sends the message that waits. Returns 0 if there is no room; `serve` goes on when there is. */
static int send_waiting(struct connection *it)
{
    transom_bytes data = it->waiting->data;
    if (it->members != NULL) {
        OK(transom_broadcast_send(it->members, it->waiting->kind, data.data, data.len, NULL));
    } else if (transom_websocket_send_message(it->socket, &it->waiting, 0) == TRANSOM_WOULD_BLOCK) {
        transom_websocket_on_writable(it->socket, serve, it, NULL);
        return 0;
    }
    transom_websocket_message_free(it->waiting);
    it->waiting = NULL;
    return 1;
}

/* Serves the connection until it would block. At its end, nothing is left. */
static void serve(void *connection)
{
    struct connection *it = connection;
    int status = TRANSOM_OK;
    while (it->waiting == NULL || send_waiting(it)) {
        status = transom_websocket_receive(it->socket, 0, &it->waiting);
        if (status != TRANSOM_OK)
            break;
    }
    if (status == TRANSOM_WOULD_BLOCK) {
        transom_websocket_on_message(it->socket, serve, it, NULL);
    } else if (status != TRANSOM_OK) {
        transom_websocket_free(it->socket);
        free(it);
    }
}

/* Accepts a connection, and begins to serve it. */
static void serve_new(const transom_websocket_upgrade *settings, transom_broadcast *members, transom_responder *responder)
{
    struct connection *it = calloc(1, sizeof *it);
    if (it == NULL || transom_responder_accept_websocket(responder, settings, NULL, 0, &it->socket, NULL) != TRANSOM_OK) {
        free(it);
        return;
    }
    it->members = members;
    if (members != NULL)
        OK(transom_broadcast_add(members, it->socket));
    serve(it);
}

/* Adds a route whose handler runs on the thread of the connection. */
static void add(transom_server *server, const char *path, transom_handler_fn handler, void *user_data)
{
    transom_route *route = transom_route_new("GET", path, handler, user_data, NULL);
    OK(transom_route_set_inline(route, true));
    OK(transom_server_add(server, route, NULL));
}

#endif
