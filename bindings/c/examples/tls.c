/*
 * HTTPS, a socket that redirects to it, and certificates that are renewed: SIGHUP reads the files
 * again.
 *
 *     openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
 *         -keyout site.key -out site.pem
 *     ./tls 127.0.0.1:8443 site.pem site.key 127.0.0.1:8080
 *     curl --insecure --location http://127.0.0.1:8080/
 */
#include "example.h"

#include <string.h>

/* Answers with the version of TLS. */
static void hello(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_tls_info tls = {.size = sizeof tls};
    char text[64];
    (void)user_data;
    transom_request_tls(request, &tls);
    snprintf(text, sizeof text, "hello by %.*s\n", TRANSOM_PRINT(tls.version));
    transom_responder_send_text(responder, 200, text);
}

/* Says what is wrong. */
static void complain(transom_error *error)
{
    fprintf(stderr, "tls: %s\n", transom_error_message(error));
    transom_error_free(error);
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:8443";
    const char *certificate = argc > 2 ? argv[2] : "site.pem", *key = argc > 3 ? argv[3] : "site.key";
    const char *plain = argc > 4 ? argv[4] : "127.0.0.1:8080";
    sigset_t signals = block_stop_signals();
    transom_server *server = transom_server_new();
    transom_tls *tls = transom_tls_new();
    transom_error *error;
    char addresses[2][128];
    int signal_number;

    /* As the others: only sigwait gets it. */
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    transom_server_route(server, "GET", "/", hello, NULL, NULL, NULL);
    transom_tls_add_files(tls, certificate, key);
    /* The redirect goes to the port of the first socket with TLS. */
    if (transom_server_bind_tls(server, address, tls, &error) != TRANSOM_OK ||
        transom_server_bind_redirect(server, plain, 0, &error) != TRANSOM_OK ||
        transom_server_start(server, NULL, &error) != TRANSOM_OK) {
        complain(error);
        return 1;
    }
    transom_server_address(server, 0, addresses[0], sizeof addresses[0]);
    transom_server_address(server, 1, addresses[1], sizeof addresses[1]);
    printf("listening on https://%s, redirects on http://%s\n", addresses[0], addresses[1]);
    fflush(stdout);

    /* Connections go on, and new ones get the new certificate. If it is not valid, the old one stays. */
    while (sigwait(&signals, &signal_number) == 0 && signal_number == SIGHUP)
        if (transom_tls_reload(tls, &error) != TRANSOM_OK)
            complain(error);
    transom_server_free(server);
    transom_tls_free(tls);
    return 0;
}
