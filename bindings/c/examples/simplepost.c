/*
 * libmicrohttpd's example "simplepost": a page with a form that asks for a name, and a page that
 * greets who sent it.
 *
 *     curl http://127.0.0.1:8080/
 *     curl -d name=Ada http://127.0.0.1:8080/namepost
 */
#include "example.h"

#include <string.h>

#define LONGEST_NAME 20

static void send_page(transom_responder *responder, uint16_t status_code, const char *page)
{
    transom_responder_send_bytes(responder, status_code, "text/html; charset=utf-8", page, TRANSOM_NUL_TERMINATED,
                                 NULL);
}

static void ask(void *user_data, const transom_request *request, transom_responder *responder)
{
    (void)user_data;
    (void)request;
    send_page(responder, 200,
              "<!doctype html><title>Name</title><form action=/namepost method=post>\n"
              "<label>Your name: <input name=name></label> <button>Send</button></form>\n");
}

static void fail(void *user_data, const transom_request *request, transom_responder *responder)
{
    (void)user_data;
    (void)request;
    send_page(responder, 400, "<!doctype html><title>Error</title><p>This is no name.\n");
}

static void greet(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_bytes name = transom_request_form_value(request, "name", 0);
    char page[256] = "<!doctype html><title>Welcome</title><h1>Welcome, ";
    size_t i, len = strlen(page);
    if (name.len == 0 || name.len > LONGEST_NAME) {
        fail(user_data, request, responder);
        return;
    }
    /* As numbers, the characters that mean something in HTML do no harm. */
    for (i = 0; i < name.len; i++)
        len += (size_t)sprintf(page + len, strchr("<>&\"'", name.data[i]) ? "&#%d;" : "%c", name.data[i]);
    strcpy(page + len, "!</h1>\n");
    send_page(responder, 200, page);
}

int main(int argc, char **argv)
{
    stop_signals stop = block_stop_signals();
    transom_server *server = transom_server_new();

    transom_server_route(server, "GET", "/{*path}", ask, NULL, NULL, NULL);
    transom_server_route(server, "POST", "/{*path}", greet, NULL, NULL, NULL);
    transom_server_route(server, "*", "/{*path}", fail, NULL, NULL, NULL);
    start(server, argc, argv);

    wait_for_stop(&stop);
    transom_server_free(server);
    return 0;
}
