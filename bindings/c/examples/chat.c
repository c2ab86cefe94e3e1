/*
 * A chat over WebSocket: what one client sends, all get. Callbacks receive, on the threads that serve the
 * connections; the program has no thread of its own. A client that reads too slowly misses messages.
 * Open http://127.0.0.1:8080/ in two windows.
 */
#include "example.h"

static transom_broadcast *room;

/* Sends what has come to all, and asks to be called for more. */
static void talk(void *socket)
{
    transom_websocket_message *message;
    int status;
    while ((status = transom_websocket_receive(socket, 0, &message)) == TRANSOM_OK) {
        transom_broadcast_send(room, message->kind, message->data.data, message->data.len, NULL);
        transom_websocket_message_free(message);
    }
    if (status == TRANSOM_WOULD_BLOCK)
        transom_websocket_on_message(socket, talk, socket, NULL);
    else
        transom_websocket_free(socket); /* the client has left, or the server stops */
}

/* GET /chat: begins a connection. */
static void join(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_websocket *socket;
    (void)user_data;
    (void)request;
    if (transom_responder_accept_websocket(responder, NULL, NULL, 0, &socket, NULL) == TRANSOM_OK) {
        transom_broadcast_add(room, socket);
        talk(socket);
    }
}

/* GET /: a page that talks. */
static void page(void *user_data, const transom_request *request, transom_responder *responder)
{
    static const char html[] =
        "<!doctype html><title>chat</title><form><input autofocus></form><pre></pre><script>\n"
        "const socket = new WebSocket(location.href.replace('http', 'ws') + 'chat')\n"
        "const [form, said] = document.querySelectorAll('form, pre')\n"
        "socket.onmessage = event => said.append(event.data + '\\n')\n"
        "form.onsubmit = () => { socket.send(form[0].value); form.reset(); return false }\n"
        "</script>\n";
    (void)user_data;
    (void)request;
    transom_responder_send_bytes(responder, 200, "text/html; charset=utf-8", html, sizeof html - 1, NULL);
}

int main(int argc, char **argv)
{
    stop_signals stop = block_stop_signals();
    transom_server *server = transom_server_new();

    if (transom_broadcast_new(TRANSOM_SLOW_READER_DROP, &room) != TRANSOM_OK)
        return 1;
    transom_server_route(server, "GET", "/chat", join, NULL, NULL, NULL);
    transom_server_route(server, "GET", "/", page, NULL, NULL, NULL);
    start(server, argc, argv);

    wait_for_stop(&stop);
    transom_server_free(server); /* closes the connections with 1001 */
    transom_broadcast_free(room);
    return 0;
}
