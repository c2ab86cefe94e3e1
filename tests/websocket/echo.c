/*
 * A server in C for the scripts beside it: `websocket-echo-c [MODEL]`. It prints its address, and stops at
 * SIGTERM. `/echo` sends each message back by callbacks, on the threads that serve the connections;
 * `/thread` on a thread of each connection that waits; `/keeping` is as `/echo` with a window that is kept.
 */
#include "echo.h"

#include <pthread.h>
#include <signal.h>

static void by_callbacks(void *settings, const transom_request *request, transom_responder *responder)
{
    (void)request;
    serve_new(settings, NULL, responder);
}

static void *echo_on_thread(void *socket)
{
    transom_websocket_message *message;
    while (transom_websocket_receive(socket, TRANSOM_FOREVER, &message) == TRANSOM_OK) {
        int status = transom_websocket_send_message(socket, &message, TRANSOM_FOREVER);
        transom_websocket_message_free(message);
        if (status != TRANSOM_OK)
            break;
    }
    transom_websocket_free(socket);
    return NULL;
}

static void on_thread(void *settings, const transom_request *request, transom_responder *responder)
{
    transom_websocket *socket;
    pthread_t thread;
    (void)request;
    if (transom_responder_accept_websocket(responder, settings, NULL, 0, &socket, NULL) != TRANSOM_OK)
        return;
    if (pthread_create(&thread, NULL, echo_on_thread, socket) == 0)
        pthread_detach(thread);
    else
        transom_websocket_free(socket);
}

/* Settings whose messages may be larger than any of Autobahn's. Its cases expect that each is compressed. */
static transom_websocket_upgrade *settings(int keeps_context)
{
    transom_websocket_upgrade *made = transom_websocket_upgrade_new();
    OK(transom_websocket_upgrade_set(made, TRANSOM_WEBSOCKET_MESSAGE_LIMIT, 32 << 20));
    OK(transom_websocket_upgrade_set(made, TRANSOM_WEBSOCKET_COMPRESS_FROM, 0));
    OK(transom_websocket_upgrade_set(made, TRANSOM_WEBSOCKET_CONTEXT_TAKEOVER, keeps_context));
    return made;
}

int main(int argc, char **argv)
{
    transom_websocket_upgrade *plain = settings(0), *keeping = settings(1);
    transom_server *server = transom_server_new();
    sigset_t signals;
    int got;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    OK(transom_server_set_model(server, argc > 1 ? argv[1] : "event", NULL));
    add(server, "/echo", by_callbacks, plain);
    add(server, "/thread", on_thread, plain);
    add(server, "/keeping", by_callbacks, keeping);
    OK(transom_server_start(server, "127.0.0.1:0", NULL));
    printf("http://127.0.0.1:%u\n", transom_server_port(server));
    fflush(stdout);
    sigwait(&signals, &got);
    OK(transom_server_stop(server, 5000));
    transom_server_free(server);
    transom_websocket_upgrade_free(plain);
    transom_websocket_upgrade_free(keeping);
    return 0;
}
