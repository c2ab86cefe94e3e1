/*
 * GET /hello/{name} on port 8080, until SIGINT or SIGTERM.
 *
 *     cc -Iinclude bindings/c/examples/hello.c -Ltarget/release -ltransom -o hello
 */
#include <signal.h>
#include <stdio.h>
#include <transom.h>

static void hello(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_bytes name = transom_request_param(request, "name");
    char text[256];
    (void)user_data;
    snprintf(text, sizeof text, "hello, %.*s\n", (int)name.len, (const char *)name.data);
    transom_responder_send_text(responder, 200, text); /* now, or later on any thread */
}

int main(void)
{
    transom_error *error = NULL;
    sigset_t stop;
    int signal_number;

    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL); /* so that only sigwait gets them */

    transom_server *server = transom_server_new();
    transom_server_route(server, "GET", "/hello/{name}", hello, NULL, NULL, NULL);
    if (transom_server_start(server, "127.0.0.1:8080", &error) != TRANSOM_OK) {
        fprintf(stderr, "hello: %s\n", transom_error_message(error));
        transom_error_free(error);
        transom_server_free(server);
        return 1;
    }
    sigwait(&stop, &signal_number);
    transom_server_free(server); /* gives requests in progress up to 10 s */
    return 0;
}
