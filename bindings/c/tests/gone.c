/* Clients that leave while a request is under way. */
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

/* Registered on the same responder, and uses it: no lock may be held. */
static void answer_in_callback(void *user_data UNUSED)
{
    int status = transom_responder_send_text(current(), 200, "too late");
    CHECK(status == TRANSOM_GONE);
    atomic_fetch_add(&told, 1);
}

/* A request that is kept, and its connection. */
static int kept_request(uint16_t port)
{
    int fd = connect_to(port);
    pthread_mutex_lock(&lock);
    kept = NULL;
    pthread_mutex_unlock(&lock);
    atomic_store(&told, 0);
    ask(fd, "GET", "/keep");
    EVENTUALLY(current() != NULL);
    CHECK(!transom_responder_is_gone(current()) && atomic_load(&told) == 0);
    return fd;
}

static transom_server *keeping(const char *model)
{
    transom_server *server = transom_server_new();
    OK(transom_server_set_model(server, model));
    /* Not on the pool, where it might not be begun before the deadline. */
    OK(transom_server_route_inline(server, NULL, "/keep", keep, NULL, NULL));
    return server;
}

/* When clients count as gone, and when not. */
static void in_model(const char *model)
{
    static struct reply reply;
    static const uint8_t piece[1024];
    transom_server *server = keeping(model);
    uint16_t port = start(server);
    transom_writer *writer;
    int fd;

    /* A connection that the server has seen break takes no answer. */
    slam(kept_request(port));
    EVENTUALLY(atomic_load(&told) == 1);
    CHECK_STATUS(transom_responder_send_text(current(), 200, "too late"), TRANSOM_GONE);
    slam(kept_request(port));
    EVENTUALLY(atomic_load(&told) == 1);
    CHECK_STATUS(transom_responder_start(current(), 200, NULL, 0, &writer), TRANSOM_GONE);
    CHECK(writer == NULL);

    /* A client that closes its sending side may have left; it gets its answer. */
    fd = kept_request(port);
    shutdown(fd, SHUT_WR);
    EVENTUALLY(atomic_load(&told) == 1);
    CHECK(transom_responder_is_gone(current()));
    OK(transom_responder_send_text(current(), 200, "all the same"));
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "all the same") == 0);
    CHECK(atomic_load(&told) == 1);

    /* One that closes both ways: the same, as far as anybody can see. */
    close(kept_request(port));
    EVENTUALLY(atomic_load(&told) == 1);
    transom_responder_free(current());

    /* After the answer has begun. */
    fd = kept_request(port);
    OK(transom_responder_start(current(), 200, NULL, 0, &writer));
    OK(transom_writer_write(writer, piece, sizeof piece, 0));
    CHECK(recv(fd, reply.text, 100, 0) > 0 && atomic_load(&told) == 0);
    slam(fd);
    EVENTUALLY(atomic_load(&told) == 1);
    EVENTUALLY(transom_writer_is_gone(writer));
    CHECK_STATUS(transom_writer_finish(writer), TRANSOM_GONE);

    /* A whole answer, at once or in pieces, ends it. */
    fd = kept_request(port);
    OK(transom_responder_start(current(), 200, NULL, 0, &writer));
    OK(transom_writer_finish(writer));
    hear(fd, &reply);
    CHECK(reply.status == 200 && atomic_load(&told) == 0);

    /* A stop that lets the request finish, and one that cuts it off. */
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

    /* A deadline that passes. */
    server = keeping(model);
    OK(transom_server_set_timeout(server, "handler", 50));
    fd = kept_request(start(server));
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

    OK(transom_server_route(server, NULL, "/keep", keep, NULL, NULL));
    port = start(server);

    /* One that breaks the connection. */
    fd = connect_to(port);
    ask(fd, "GET", "/keep");
    EVENTUALLY(current() != NULL);
    CHECK(!transom_responder_is_gone(current()));
    CHECK(told == 0);
    slam(fd);
    EVENTUALLY(told == 1);
    EVENTUALLY(transom_responder_is_gone(current()));
    OK(transom_responder_on_gone(current(), count, &told, count)); /* at once, and freed */
    CHECK(told == 3);
    OK(transom_responder_on_gone(current(), answer_in_callback, &freed, count));
    CHECK(told == 4 && freed == 1);
    CHECK_STATUS(transom_responder_send_text(current(), 200, ""), TRANSOM_ALREADY_ANSWERED);

    /* One that only closes its sending side is told of, and gets its answer. */
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

    /* One that stays until the end: nobody is told, all is freed. */
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
