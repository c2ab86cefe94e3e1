/*
 * The program that tests/network/run.py runs on several hosts, behind proxies: service.rs in C.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <transom.h>

static const char *name;
static int record;

static void check(transom_status status, transom_error *error, const char *what)
{
    if (status == TRANSOM_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, error ? transom_error_message(error) : "failed");
    exit(1);
}

/* Writes a line with the id of a request: in one write, because others append too. */
static void note(const transom_request *request)
{
    transom_bytes id = transom_request_param(request, "id");
    char line[128];
    int length = snprintf(line, sizeof line, "%.*s %s\n", (int)id.len, id.data, name);
    if (write(record, line, (size_t)length) != length)
        abort();
}

static void where(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_bytes peer = transom_request_peer(request), scheme = transom_request_scheme(request);
    char text[256];
    (void)user_data;
    snprintf(text, sizeof text, "%s %.*s %.*s\n", name, (int)peer.len, peer.data, (int)scheme.len, scheme.data);
    transom_responder_send_text(responder, 200, text);
}

static void small(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_bytes id = transom_request_param(request, "id");
    char text[128];
    (void)user_data;
    note(request);
    snprintf(text, sizeof text, "%.*s\n", (int)id.len, id.data);
    transom_responder_send_text(responder, 200, text);
}

static void upload(void *user_data, const transom_request *request, transom_responder *responder)
{
    static _Thread_local char part[65536];
    unsigned long count = 0;
    char text[32];
    size_t len;
    (void)user_data;
    for (;;) {
        if (transom_request_read(request, part, sizeof part, TRANSOM_FOREVER, &len) != TRANSOM_OK) {
            transom_responder_send_text(responder, 400, "the body is not whole\n");
            return;
        }
        if (len == 0)
            break;
        count += len;
    }
    note(request);
    snprintf(text, sizeof text, "%lu\n", count);
    transom_responder_send_text(responder, 200, text);
}

static void stream(void *user_data, const transom_request *request, transom_responder *responder)
{
    static const transom_field plain = TRANSOM_FIELD("content-type", "text/plain");
    const struct timespec moment = {0, 50000000};
    transom_writer *writer;
    int number;
    (void)user_data;
    note(request);
    if (transom_responder_start(responder, 200, &plain, 1, &writer, NULL) != TRANSOM_OK)
        return;
    for (number = 0; number < 10; number++) {
        char line[16];
        int length = snprintf(line, sizeof line, "%d\n", number);
        nanosleep(&moment, NULL);
        if (transom_writer_write(writer, line, (size_t)length, TRANSOM_FOREVER) != TRANSOM_OK)
            break;
    }
    transom_writer_finish(writer);
}

static const char *option(char **arguments, const char *wanted)
{
    for (; arguments[0] && arguments[1]; arguments += 2) {
        if (!strcmp(arguments[0], wanted))
            return arguments[1];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const char *network, *delay = option(argv + 1, "--stop-delay"), *model = option(argv + 1, "--model");
    transom_report report = {.size = sizeof report};
    transom_server *server = transom_server_new();
    transom_error *error = NULL;
    transom_route *route;
    char address[128];
    sigset_t signals;
    size_t inherited;
    int signal;
    (void)argc;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    name = option(argv + 1, "--name");
    record = open(option(argv + 1, "--record"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (!name || record < 0)
        return 1;

    check(transom_server_add_readiness(server, "/ready", &error), error, "/ready");
    check(transom_server_add_liveness(server, "/alive", &error), error, "/alive");
    check(transom_server_set_timeout(server, "watchdog", 10000, &error), error, "watchdog");
    check(transom_server_route(server, "GET", "/where", where, NULL, NULL, &error), error, "/where");
    check(transom_server_route(server, "GET", "/small/{id}", small, NULL, NULL, &error), error, "/small");
    check(transom_server_route(server, "GET", "/stream/{id}", stream, NULL, NULL, &error), error, "/stream");
    route = transom_route_new("POST", "/upload/{id}", upload, NULL, NULL);
    transom_route_set_streaming(route, true);
    transom_route_set_body_limit(route, 1 << 30);
    check(transom_server_add(server, route, &error), error, "/upload");
    if (model)
        check(transom_server_set_model(server, model, &error), error, "--model");
    if (delay)
        check(transom_server_set_timeout(server, "stop_delay", atoi(delay), &error), error, "--stop-delay");
    if ((network = option(argv + 1, "--trust-proxy")))
        check(transom_server_set_proxy_protocol(server, network, &error), error, "--trust-proxy");
    if ((network = option(argv + 1, "--trust-forwarded")))
        check(transom_server_trust_forwarded(server, "x-forwarded", network, false, &error), error, "--trust-forwarded");
    check(transom_server_notify_systemd(server), NULL, "systemd");
    check(transom_server_listen_inherited(server, &inherited, &error), error, "inherited sockets");
    check(transom_server_start(server, inherited ? NULL : option(argv + 1, "--bind"), &error), error, "start");
    transom_server_address(server, 0, address, sizeof address);
    printf("listening on %s\n", address);
    fflush(stdout);

    while (!sigwait(&signals, &signal)) {
        int64_t child;
        if (signal != SIGHUP)
            break;
        if (transom_server_hand_over(server, (const char *const *)argv, 10000, &child, &error) == TRANSOM_OK) {
            printf("handed over to %lld\n", (long long)child);
            break;
        }
        printf("%s\n", transom_error_message(error));
        transom_error_free(error);
    }
    transom_server_stop(server, 20000);
    transom_server_wait(server, TRANSOM_FOREVER);
    transom_server_report(server, &report);
    printf("finished %lu, cut %lu, pending %lu\n", (unsigned long)report.finished, (unsigned long)report.cut,
           (unsigned long)report.pending);
    transom_server_free(server);
    return 0;
}
