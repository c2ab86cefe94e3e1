/* The server in C for the large upload of run.py: server FOLDER. It prints its address. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <transom.h>

static char saved[4096];

/* Writes the files of a form to disk while they come, and answers with their length. */
static void save(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_multipart *form;
    transom_part part;
    uint64_t length, total = 0;
    char text[32];
    transom_status status;
    (void)user_data;
    if (transom_multipart_new(request, &form) != TRANSOM_OK) {
        transom_responder_send_text(responder, 400, "no form\n");
        return;
    }
    while ((status = transom_multipart_next(form, TRANSOM_FOREVER, &part)) == TRANSOM_OK && part.name.data != NULL) {
        if (part.filename.data == NULL)
            continue;
        if ((status = transom_multipart_save(form, saved, &length)) != TRANSOM_OK)
            break;
        total += length;
    }
    transom_multipart_free(form);
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)total);
    transom_responder_send_text(responder, status == TRANSOM_OK ? 200 : 400, text);
}

int main(int argc, char **argv)
{
    transom_server *server = transom_server_new();
    transom_route *route = transom_route_new("POST", "/save", save, NULL, NULL);
    sigset_t signals;
    int signal;
    if (argc != 2)
        return 2;
    snprintf(saved, sizeof saved, "%s/saved", argv[1]);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (transom_route_set_streaming(route, true) != TRANSOM_OK ||
        transom_route_set_body_limit(route, UINT64_C(1) << 40) != TRANSOM_OK ||
        transom_route_set_timeout(route, TRANSOM_FOREVER) != TRANSOM_OK ||
        transom_server_add(server, route, NULL) != TRANSOM_OK ||
        transom_server_start(server, "127.0.0.1:0", NULL) != TRANSOM_OK)
        return 1;
    printf("127.0.0.1:%d\n", transom_server_port(server));
    fflush(stdout);
    sigwait(&signals, &signal);
    transom_server_free(server);
    return 0;
}
