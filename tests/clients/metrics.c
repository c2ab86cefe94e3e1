/* The server in C that tests/clients/metrics.py counts with: metrics --port 0 --model event. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <transom.h>

static void user(void *user_data, const transom_request *request, transom_responder *responder)
{
    (void)user_data;
    (void)request;
    transom_responder_send_text(responder, 200, "user");
}

static void busy(void *user_data, const transom_request *request, transom_responder *responder)
{
    (void)user_data;
    (void)request;
    transom_responder_send_text(responder, 503, "busy");
}

static void endless(void *user_data, const transom_request *request, transom_responder *responder)
{
    static const char chunk[65536];
    transom_writer *writer;
    (void)user_data;
    (void)request;
    if (transom_responder_start(responder, 200, NULL, 0, &writer, NULL) != TRANSOM_OK)
        return;
    while (transom_writer_write(writer, chunk, sizeof chunk, TRANSOM_FOREVER) == TRANSOM_OK)
        ;
    transom_writer_free(writer);
}

int main(int argc, char **argv)
{
    transom_metrics *metrics = transom_metrics_new(0);
    transom_server *server = transom_server_new();
    char address[32];
    sigset_t signals;
    int signal;
    if (argc != 5)
        return 2;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    snprintf(address, sizeof address, "127.0.0.1:%d", atoi(argv[2]));
    if (transom_server_set_model(server, argv[4], NULL) != TRANSOM_OK ||
        transom_server_add_metrics(server, metrics) != TRANSOM_OK ||
        transom_server_add_metrics_route(server, "/metrics", metrics, NULL) != TRANSOM_OK ||
        transom_server_route(server, "GET", "/users/{id}", user, NULL, NULL, NULL) != TRANSOM_OK ||
        transom_server_route(server, "GET", "/busy", busy, NULL, NULL, NULL) != TRANSOM_OK ||
        transom_server_route(server, "GET", "/endless", endless, NULL, NULL, NULL) != TRANSOM_OK ||
        transom_server_start(server, address, NULL) != TRANSOM_OK)
        return 1;
    sigwait(&signals, &signal);
    transom_server_free(server);
    transom_metrics_free(metrics);
    return 0;
}
