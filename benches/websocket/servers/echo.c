/*
 * Transom from C: `serve-transom-c PORT`. `/echo` sends each message back by callbacks, on the thread that serves the
 * connections; `/broadcast` sends it to all that are there.
 */
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

static transom_websocket_upgrade *settings;
static transom_broadcast *members;

/* A connection, and a message that found no room. */
struct connection {
    transom_websocket *socket;
    transom_websocket_message *waiting;
    int is_echo;
};

static void serve(void *connection);

/* Sends the message that waits. Returns 0 if there is no room; this goes on when there is. */
static int send_waiting(struct connection *it)
{
    transom_bytes data = it->waiting->data;
    if (!it->is_echo) {
        OK(transom_broadcast_send(members, it->waiting->kind, data.data, data.len, NULL));
    } else if (transom_websocket_send(it->socket, it->waiting->kind, data.data, data.len, 0) == TRANSOM_WOULD_BLOCK) {
        transom_websocket_on_writable(it->socket, serve, it, NULL);
        return 0;
    }
    transom_websocket_message_free(it->waiting);
    it->waiting = NULL;
    return 1;
}

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

static void begin(void *is_echo, const transom_request *request, transom_responder *responder)
{
    struct connection *it = calloc(1, sizeof *it);
    (void)request;
    if (it == NULL || transom_responder_accept_websocket(responder, settings, NULL, 0, &it->socket, NULL) != TRANSOM_OK) {
        free(it);
        return;
    }
    it->is_echo = is_echo != NULL;
    if (!it->is_echo)
        OK(transom_broadcast_add(members, it->socket));
    serve(it);
}

static void add(transom_server *server, const char *path, void *is_echo)
{
    transom_route *route = transom_route_new("GET", path, begin, is_echo, NULL);
    OK(transom_route_set_inline(route, true));
    OK(transom_server_add(server, route, NULL));
}

int main(int argc, char **argv)
{
    transom_server *server = transom_server_new();
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%s", argc > 1 ? argv[1] : "0");
    settings = transom_websocket_upgrade_new();
    OK(transom_broadcast_new(TRANSOM_SLOW_READER_DROP, &members));
    OK(transom_websocket_upgrade_set(settings, TRANSOM_WEBSOCKET_MESSAGE_LIMIT, 16 << 20));
    OK(transom_websocket_upgrade_set(settings, TRANSOM_WEBSOCKET_COMPRESS_FROM, 0));
    OK(transom_server_set_model(server, "event", NULL));
    OK(transom_server_set_limit(server, "connections", 20000, NULL));
    OK(transom_server_set_workers(server, 1, NULL));
    add(server, "/echo", server);
    add(server, "/broadcast", NULL);
    OK(transom_server_start(server, address, NULL));
    OK(transom_server_wait(server, TRANSOM_FOREVER));
    transom_server_free(server);
    return 0;
}
