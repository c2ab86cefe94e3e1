/* Responses that are sent at once, later, by another thread, twice, too late, and never. */
#include "common.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static transom_responder *_Atomic kept;
static const transom_request *kept_request;

static void keep(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    pthread_mutex_lock(&lock);
    kept = responder;
    kept_request = request;
    pthread_mutex_unlock(&lock);
}

static transom_responder *take(void)
{
    transom_responder *responder;
    int left = PATIENCE_MS / 5;
    do {
        pthread_mutex_lock(&lock);
        responder = kept;
        kept = NULL;
        pthread_mutex_unlock(&lock);
        if (responder == NULL)
            pause_ms(5);
    } while (responder == NULL && left-- > 0);
    CHECK(responder != NULL);
    return responder;
}

static void *answer_later(void *unused UNUSED)
{
    transom_responder *responder = take();
    pause_ms(50);
    /* The request is valid although its handler has returned. */
    CHECK(is(transom_request_body(kept_request), "still here"));
    OK(transom_responder_send(responder, 200, NULL, 0, transom_request_body(kept_request).data,
                              transom_request_body(kept_request).len, NULL));
    return NULL;
}

static void twice(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_field header = TRANSOM_FIELD("a", "1");
    transom_writer *writer;
    atomic_int freed = 0;
    OK(transom_responder_send_text(responder, 200, "first"));
    CHECK_STATUS(transom_responder_send_text(responder, 200, "second"), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_responder_send(responder, 200, &header, 1, NULL, 0, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_responder_start(responder, 200, NULL, 0, &writer, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK(writer == NULL);
    CHECK_STATUS(transom_responder_on_gone(responder, count, &freed, count), TRANSOM_ALREADY_ANSWERED);
    CHECK(freed == 1);
    CHECK(transom_responder_is_gone(responder));
    transom_responder_free(responder);
}

static void never(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_responder_free(responder);
    transom_responder_free(responder);
}

static atomic_int errors_logged;

static void log_message(void *user_data, int32_t level, const char *message)
{
    CHECK(user_data == &errors_logged);
    CHECK(level >= 1 && level <= 5 && message != NULL);
    if (level == 1)
        atomic_fetch_add(&errors_logged, 1);
}

int main(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    pthread_t thread;
    uint16_t port;
    int fd, before;

    OK(transom_set_logger(log_message, &errors_logged));
    CHECK_STATUS(transom_set_logger(log_message, NULL), TRANSOM_ALREADY_STARTED);
    OK(transom_server_route(server, NULL, "/keep", keep, NULL, NULL, NULL));
    OK(add_inline(server, NULL, "/keep/inline", keep, NULL, NULL));
    OK(transom_server_route(server, NULL, "/twice", twice, NULL, NULL, NULL));
    OK(transom_server_route(server, NULL, "/never", never, NULL, NULL, NULL));
    port = start(server);

    /* A response that another thread sends later. */
    CHECK(pthread_create(&thread, NULL, answer_later, NULL) == 0);
    fd = connect_to(port);
    say(fd, "POST /keep HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\nConnection: close\r\n\r\nstill here");
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "still here") == 0);
    pthread_join(thread, NULL);
    CHECK(pthread_create(&thread, NULL, answer_later, NULL) == 0);
    fd = connect_to(port);
    say(fd, "POST /keep/inline HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\nConnection: close\r\n\r\nstill here");
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "still here") == 0);
    pthread_join(thread, NULL);

    /* Two responses: the first is sent. */
    CHECK(get(port, "/twice", &reply) == 200 && strcmp(reply.body, "first") == 0);

    /* No response: the client gets a 500, and the log a message. */
    before = errors_logged;
    CHECK(get(port, "/never", &reply) == 500);
    EVENTUALLY(errors_logged > before);
    transom_server_free(server);

    /* A response that is too late: the client got a 503, the host gets TRANSOM_GONE. */
    server = transom_server_new();
    OK(transom_server_set_timeout(server, "handler", 100, NULL));
    /* Inline, because a handler on the pool might start too late. */
    OK(add_inline(server, NULL, "/keep", keep, NULL, NULL));
    CHECK(get(start(server), "/keep", &reply) == 503);
    EVENTUALLY(transom_responder_is_gone(kept));
    CHECK_STATUS(transom_responder_send_text(kept, 200, "late"), TRANSOM_GONE);
    CHECK_STATUS(transom_responder_send_text(kept, 200, "late"), TRANSOM_ALREADY_ANSWERED);
    transom_responder_free(kept);
    kept = NULL;

    /* A response after the server was freed. */
    OK(transom_server_stop(server, 0));
    transom_server_free(server);
    server = transom_server_new();
    OK(transom_server_route(server, NULL, "/keep", keep, NULL, NULL, NULL));
    fd = connect_to(start(server));
    ask(fd, "GET", "/keep");
    (void)take;
    EVENTUALLY(kept != NULL);
    OK(transom_server_stop(server, 0));
    OK(transom_server_wait(server, PATIENCE_MS));
    transom_server_free(server);
    close(fd);
    CHECK_STATUS(transom_responder_send_text(kept, 200, "late"), TRANSOM_GONE);
    return 0;
}
