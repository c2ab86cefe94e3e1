/*
 * CivetWeb's example "rest": a counter that is read with GET, set with PUT, POST or PATCH, and
 * a request that ends the program.
 *
 *     curl http://127.0.0.1:8080/res/a/b
 *     curl -X PUT -d '{"request": 41}' http://127.0.0.1:8080/res/a/b
 *     curl http://127.0.0.1:8080/exit
 */
#include "example.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned requests = 0;

/* Writes a JSON string. A name in the path has any bytes; this takes those from 0x80 on as UTF-8. */
static int quote(char *out, transom_bytes text)
{
    char *at = out;
    size_t i;
    *at++ = '"';
    for (i = 0; i < text.len; i++) {
        if (text.data[i] < ' ' || text.data[i] == '"' || text.data[i] == '\\')
            at += sprintf(at, "\\u%04x", text.data[i]);
        else
            *at++ = (char)text.data[i];
    }
    *at++ = '"';
    return (int)(at - out);
}

static void log_request(const transom_request *request)
{
    printf("%.*s %.*s\n", TRANSOM_PRINT(transom_request_method(request)), TRANSOM_PRINT(transom_request_path(request)));
}

static void get(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_bytes path1 = transom_request_param(request, "path1");
    transom_bytes path2 = transom_request_param(request, "path2");
    char *json = malloc(128 + 6 * (path1.len + path2.len));
    int len;
    (void)user_data;
    log_request(request);
    if (json == NULL) {
        transom_responder_free(responder); /* a 500 */
        return;
    }
    len = sprintf(json, "{\"version\":\"%s\",\"path1\":", transom_version());
    len += quote(json + len, path1);
    len += sprintf(json + len, ",\"path2\":");
    len += quote(json + len, path2);
    pthread_mutex_lock(&lock);
    len += sprintf(json + len, ",\"request\":%u}\n", ++requests);
    pthread_mutex_unlock(&lock);
    transom_responder_send_bytes(responder, 200, "application/json", json, (size_t)len, NULL);
    free(json);
}

static void set(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_bytes body = transom_request_body(request);
    char text[1024], digits[10];
    int end = 0;
    (void)user_data;
    log_request(request);
    snprintf(text, sizeof text, "%.*s", TRANSOM_PRINT(body));
    if (body.len == 0) {
        transom_responder_send_text(responder, 400, "No request body data\n");
    } else if (sscanf(text, " { \"request\" : %9[0-9] } %n", digits, &end) != 1 || (size_t)end != body.len) {
        transom_responder_send_text(responder, 400, "Invalid request body data\n");
    } else {
        pthread_mutex_lock(&lock);
        requests = (unsigned)strtoul(digits, NULL, 10);
        pthread_mutex_unlock(&lock);
        transom_responder_send(responder, 201, NULL, 0, NULL, 0, NULL);
    }
}

static void delete(void *user_data, const transom_request *request, transom_responder *responder)
{
    (void)user_data;
    log_request(request);
    transom_responder_send(responder, 204, NULL, 0, NULL, 0, NULL);
}

static void leave(void *user_data, const transom_request *request, transom_responder *responder)
{
    (void)request;
    transom_responder_send_text(responder, 200, "Server will shut down.\nBye!\n");
    transom_server_stop(user_data, TRANSOM_FOREVER);
}

int main(int argc, char **argv)
{
    transom_server *server = transom_server_new();
    transom_server_set_timeout(server, "handler", 10000, NULL);
    transom_server_route(server, "GET", "/res/{path1}/{path2}", get, NULL, NULL, NULL);
    transom_server_route(server, "PUT", "/res/{path1}/{path2}", set, NULL, NULL, NULL);
    transom_server_route(server, "POST", "/res/{path1}/{path2}", set, NULL, NULL, NULL);
    transom_server_route(server, "PATCH", "/res/{path1}/{path2}", set, NULL, NULL, NULL);
    transom_server_route(server, "DELETE", "/res/{path1}/{path2}", delete, NULL, NULL, NULL);
    transom_server_route(server, "GET", "/exit", leave, server, NULL, NULL);
    start(server, argc, argv);
    transom_server_wait(server, TRANSOM_FOREVER);
    transom_server_free(server);
    printf("Server stopped.\nBye!\n");
    return 0;
}
