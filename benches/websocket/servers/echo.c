/*
 * Transom from C: `serve-transom-c PORT`. `/echo` sends each message back by callbacks, on the thread that serves the
 * connections; `/broadcast` sends it to all that are there.
 */
#include "../../../tests/websocket/echo.h"

static transom_websocket_upgrade *settings;

static void begin(void *members, const transom_request *request, transom_responder *responder)
{
    (void)request;
    serve_new(settings, members, responder);
}

int main(int argc, char **argv)
{
    transom_server *server = transom_server_new();
    transom_broadcast *members;
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%s", argc > 1 ? argv[1] : "0");
    settings = transom_websocket_upgrade_new();
    OK(transom_broadcast_new(TRANSOM_SLOW_READER_DROP, &members));
    OK(transom_websocket_upgrade_set(settings, TRANSOM_WEBSOCKET_MESSAGE_LIMIT, 16 << 20));
    OK(transom_websocket_upgrade_set(settings, TRANSOM_WEBSOCKET_COMPRESS_FROM, 0));
    OK(transom_server_set_model(server, "event", NULL));
    OK(transom_server_set_limit(server, "connections", 20000, NULL));
    OK(transom_server_set_workers(server, 1, NULL));
    add(server, "/echo", begin, NULL);
    add(server, "/broadcast", begin, members);
    OK(transom_server_start(server, address, NULL));
    OK(transom_server_wait(server, TRANSOM_FOREVER));
    transom_server_free(server);
    return 0;
}
