/* Many requests, answered by threads of the host in every way. */
#include "common.h"

#define ANSWERERS 2
#define CLIENTS 4
#define EACH 250
#define QUEUE 64

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    transom_responder *responders[QUEUE];
    unsigned put, taken;
    int closed;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static atomic_int answered, freed;

static void enqueue(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    pthread_mutex_lock(&queue.lock);
    CHECK(queue.put - queue.taken < QUEUE);
    queue.responders[queue.put++ % QUEUE] = responder;
    pthread_cond_signal(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
}

static void *answer(void *unused UNUSED)
{
    const transom_field header = TRANSOM_FIELD("x-by", "a thread");
    transom_responder *responder;
    transom_writer *writer;
    int turn;
    for (turn = 0;; turn++) {
        pthread_mutex_lock(&queue.lock);
        while (queue.put == queue.taken && !queue.closed)
            pthread_cond_wait(&queue.changed, &queue.lock);
        if (queue.put == queue.taken) {
            pthread_mutex_unlock(&queue.lock);
            return NULL;
        }
        responder = queue.responders[queue.taken++ % QUEUE];
        pthread_mutex_unlock(&queue.lock);
        switch (turn % 4) {
        case 0:
            OK(transom_responder_send_text(responder, 200, "answer"));
            break;
        case 1:
            OK(transom_responder_send(responder, 200, &header, 1, "answer", 6, NULL));
            break;
        case 2:
            OK(transom_responder_send_owned(responder, 200, NULL, 0, "answer", 6, &freed, count, NULL));
            break;
        case 3:
            OK(transom_responder_start(responder, 200, NULL, 0, &writer, NULL));
            OK(transom_writer_write(writer, "answer", 6, TRANSOM_FOREVER));
            OK(transom_writer_finish(writer));
            break;
        }
        CHECK_STATUS(transom_responder_send_text(responder, 200, "again"), TRANSOM_ALREADY_ANSWERED);
        atomic_fetch_add(&answered, 1);
    }
}

static void *request(void *port)
{
    static _Thread_local struct reply reply;
    int i;
    for (i = 0; i < EACH; i++) {
        CHECK(get(*(uint16_t *)port, i % 2 ? "/pool" : "/inline", &reply) == 200);
        CHECK(strstr(reply.body, "answer") != NULL);
    }
    return NULL;
}

int main(void)
{
    transom_server *server = transom_server_new();
    pthread_t answerers[ANSWERERS], clients[CLIENTS];
    uint16_t port;
    int i;
    OK(transom_server_set_workers(server, 2, NULL));
    OK(transom_server_route(server, "GET", "/pool", enqueue, NULL, NULL, NULL));
    OK(add_inline(server, "GET", "/inline", enqueue, NULL, NULL));
    port = start(server);
    for (i = 0; i < ANSWERERS; i++)
        CHECK(pthread_create(&answerers[i], NULL, answer, NULL) == 0);
    for (i = 0; i < CLIENTS; i++)
        CHECK(pthread_create(&clients[i], NULL, request, &port) == 0);
    for (i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    pthread_mutex_lock(&queue.lock);
    queue.closed = 1;
    pthread_cond_broadcast(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
    for (i = 0; i < ANSWERERS; i++)
        pthread_join(answerers[i], NULL);
    transom_server_free(server);
    CHECK(answered == CLIENTS * EACH);
    CHECK(freed >= CLIENTS * EACH / 4 - ANSWERERS && freed <= CLIENTS * EACH / 4 + ANSWERERS);
    return 0;
}
