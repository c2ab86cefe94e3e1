/* Clients that leave while a request is in progress. */
#include "common.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static transom_responder *kept;
static atomic_int told, freed;

static transom_responder *current(void)
{
    transom_responder *responder;
    pthread_mutex_lock(&lock);
    responder = kept;
    pthread_mutex_unlock(&lock);
    return responder;
}

static void keep(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    OK(transom_responder_on_gone(responder, count, &told, NULL));
    pthread_mutex_lock(&lock);
    kept = responder;
    pthread_mutex_unlock(&lock);
}

/* A callback that uses its responder, which works only if no lock is held. */
static void answer_in_callback(void *user_data UNUSED)
{
    int status = transom_responder_send_text(current(), 200, "too late");
    CHECK(status == TRANSOM_GONE);
    atomic_fetch_add(&told, 1);
}

/* A request whose responder the handler keeps, and its connection. */
static int keep_request(uint16_t port)
{
    int fd = connect_to(port);
    pthread_mutex_lock(&lock);
    kept = NULL;
    pthread_mutex_unlock(&lock);
    atomic_store(&told, 0);
    ask(fd, "GET", "/keep");
    EVENTUALLY(current() != NULL);
    return fd;
}

/* The same, if the request has no deadline. */
static int kept_request(uint16_t port)
{
    int fd = keep_request(port);
    CHECK(!transom_responder_is_gone(current()) && atomic_load(&told) == 0);
    return fd;
}

static transom_server *keeping(const char *model)
{
    transom_server *server = transom_server_new();
    OK(transom_server_set_model(server, model, NULL));
    /* Inline, because a handler on the pool might start after the deadline. */
    OK(add_inline(server, NULL, "/keep", keep, NULL, NULL));
    return server;
}

/* The cases in which a client counts as gone, and those in which it does not. */
static void in_model(const char *model)
{
    static struct reply reply;
    static const uint8_t piece[1024];
    transom_server *server = keeping(model);
    uint16_t port = start(server);
    transom_writer *writer;
    int fd;

    /* A response on a connection that the server knows to be broken is TRANSOM_GONE. */
    slam(kept_request(port));
    EVENTUALLY(atomic_load(&told) == 1);
    CHECK_STATUS(transom_responder_send_text(current(), 200, "too late"), TRANSOM_GONE);
    slam(kept_request(port));
    EVENTUALLY(atomic_load(&told) == 1);
    CHECK_STATUS(transom_responder_start(current(), 200, NULL, 0, &writer, NULL), TRANSOM_GONE);
    CHECK(writer == NULL);

    /* A client that closes its sending side may have left, and still gets its response. */
    fd = kept_request(port);
    shutdown(fd, SHUT_WR);
    EVENTUALLY(atomic_load(&told) == 1);
    CHECK(transom_responder_is_gone(current()));
    OK(transom_responder_send_text(current(), 200, "all the same"));
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "all the same") == 0);
    CHECK(atomic_load(&told) == 1);

    /* A client that closes both sides looks the same to the server. */
    close(kept_request(port));
    EVENTUALLY(atomic_load(&told) == 1);
    transom_responder_free(current());

    /* After transom_responder_start. */
    fd = kept_request(port);
    OK(transom_responder_start(current(), 200, NULL, 0, &writer, NULL));
    OK(transom_writer_write(writer, piece, sizeof piece, 0));
    CHECK(receive(fd, reply.text, 100, 0) > 0 && atomic_load(&told) == 0);
    slam(fd);
    EVENTUALLY(atomic_load(&told) == 1);
    EVENTUALLY(transom_writer_is_gone(writer));
    CHECK_STATUS(transom_writer_finish(writer), TRANSOM_GONE);

    /* No callback runs after a whole response, at once or piece by piece. */
    fd = kept_request(port);
    OK(transom_responder_start(current(), 200, NULL, 0, &writer, NULL));
    OK(transom_writer_finish(writer));
    hear(fd, &reply);
    CHECK(reply.status == 200 && atomic_load(&told) == 0);

    /* A stop within which the request finishes, and a stop that cuts it off. */
    fd = kept_request(port);
    OK(transom_server_stop(server, PATIENCE_MS));
    CHECK_STATUS(transom_server_wait(server, 50), TRANSOM_TIMEOUT);
    CHECK(!transom_responder_is_gone(current()));
    OK(transom_responder_send_text(current(), 200, "in time"));
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "in time") == 0);
    transom_server_free(server);
    CHECK(atomic_load(&told) == 0);

    server = keeping(model);
    fd = kept_request(start(server));
    OK(transom_server_stop(server, 0));
    EVENTUALLY(atomic_load(&told) == 1);
    CHECK_STATUS(transom_responder_send_text(current(), 200, "too late"), TRANSOM_GONE);
    transom_server_free(server);
    CHECK(atomic_load(&told) == 1);
    close(fd);

    /* A timeout "handler" that passes. */
    server = keeping(model);
    OK(transom_server_set_timeout(server, "handler", 500, NULL));
    fd = keep_request(start(server));
    hear(fd, &reply);
    CHECK(reply.status == 503 && transom_responder_is_gone(current()));
    CHECK_STATUS(transom_responder_send_text(current(), 200, "too late"), TRANSOM_GONE);
    transom_server_free(server);
    CHECK(atomic_load(&told) == 0);
}

int main(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    uint16_t port;
    int fd;

    in_model("event");
    in_model("threads");
    in_model("sequential");
    kept = NULL;
    told = 0;

    OK(transom_server_route(server, NULL, "/keep", keep, NULL, NULL, NULL));
    port = start(server);

    /* A client that resets the connection. */
    fd = connect_to(port);
    ask(fd, "GET", "/keep");
    EVENTUALLY(current() != NULL);
    CHECK(!transom_responder_is_gone(current()));
    CHECK(told == 0);
    slam(fd);
    EVENTUALLY(told == 1);
    EVENTUALLY(transom_responder_is_gone(current()));
    OK(transom_responder_on_gone(current(), count, &told, count)); /* called at once, and freed */
    CHECK(told == 3);
    OK(transom_responder_on_gone(current(), answer_in_callback, &freed, count));
    CHECK(told == 4 && freed == 1);
    CHECK_STATUS(transom_responder_send_text(current(), 200, ""), TRANSOM_ALREADY_ANSWERED);

    /* A client that only closes its sending side is reported, and gets its response. */
    pthread_mutex_lock(&lock);
    kept = NULL;
    pthread_mutex_unlock(&lock);
    told = 0;
    fd = connect_to(port);
    ask(fd, "GET", "/keep");
    EVENTUALLY(current() != NULL);
    shutdown(fd, SHUT_WR);
    EVENTUALLY(told == 1);
    CHECK(transom_responder_is_gone(current()));
    OK(transom_responder_send_text(current(), 200, "all the same"));
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "all the same") == 0);

    /* A client that stays until the end: no callback runs, and the user data is freed. */
    pthread_mutex_lock(&lock);
    kept = NULL;
    pthread_mutex_unlock(&lock);
    told = freed = 0;
    fd = connect_to(port);
    ask(fd, "GET", "/keep");
    EVENTUALLY(current() != NULL);
    OK(transom_responder_on_gone(current(), count, &freed, count));
    OK(transom_responder_send_text(current(), 200, "done"));
    hear(fd, &reply);
    CHECK(reply.status == 200);
    EVENTUALLY(freed == 1);
    CHECK(told == 0);

    /* The server still serves. */
    CHECK(get(port, "/nowhere", &reply) == 404);
    transom_server_free(server);
    return 0;
}
