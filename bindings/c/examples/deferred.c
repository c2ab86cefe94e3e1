/*
 * Responses that a worker thread of the program sends later: GET /square/{n} waits in a queue
 * until the worker has done the work. A client that has left costs no work.
 *
 *     curl http://127.0.0.1:8080/square/12         144
 */
#include "example.h"

#include <pthread.h>
#include <stdbool.h>

/* A request that waits for the worker. */
struct job {
    transom_responder *responder;
    unsigned long number;
    struct job *next;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *first, **last;
    bool ended;
} queue = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, &queue.first, false};

/* Keeps the responder and returns at once, so the handler may run where connections are served. */
static void square(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_bytes digits = transom_request_param(request, "n");
    struct job *job = malloc(sizeof *job);
    size_t i;
    (void)user_data;
    if (job == NULL) {
        transom_responder_send_text(responder, 503, "no memory\n");
        return;
    }
    *job = (struct job){responder, 0, NULL};
    for (i = 0; i < digits.len && i < 9 && digits.data[i] >= '0' && digits.data[i] <= '9'; i++)
        job->number = job->number * 10 + (unsigned long)(digits.data[i] - '0');
    pthread_mutex_lock(&queue.lock);
    *queue.last = job;
    queue.last = &job->next;
    pthread_cond_signal(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
}

/* Takes jobs until the program ends. */
static void *work(void *argument)
{
    pthread_mutex_lock(&queue.lock);
    for (;;) {
        struct job *job = queue.first;
        char text[64];
        if (job == NULL) {
            if (queue.ended)
                break;
            pthread_cond_wait(&queue.changed, &queue.lock);
            continue;
        }
        queue.first = job->next;
        if (queue.first == NULL)
            queue.last = &queue.first;
        pthread_mutex_unlock(&queue.lock);

        if (transom_responder_is_gone(job->responder)) {
            transom_responder_free(job->responder);
        } else {
            snprintf(text, sizeof text, "%lu\n", job->number * job->number);
            transom_responder_send_text(job->responder, 200, text); /* harmless if the client has just left */
        }
        free(job);
        pthread_mutex_lock(&queue.lock);
    }
    pthread_mutex_unlock(&queue.lock);
    return argument;
}

int main(int argc, char **argv)
{
    stop_signals stop = block_stop_signals();
    transom_server *server = transom_server_new();
    transom_route *route = transom_route_new("GET", "/square/{n}", square, NULL, NULL);
    pthread_t worker;

    transom_route_set_inline(route, true);
    transom_server_add(server, route, NULL);
    if (pthread_create(&worker, NULL, work, NULL) != 0)
        return 1;
    start(server, argc, argv);

    wait_for_stop(&stop);
    transom_server_free(server); /* waits until the requests in progress have their responses */
    pthread_mutex_lock(&queue.lock);
    queue.ended = true;
    pthread_cond_signal(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
    pthread_join(worker, NULL);
    return 0;
}
