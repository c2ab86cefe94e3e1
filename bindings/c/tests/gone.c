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
    CHECK(status == TRANSOM_OK || status == TRANSOM_GONE);
    atomic_fetch_add(&told, 1);
}

int main(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    uint16_t port;
    int fd;

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
