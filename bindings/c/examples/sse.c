/*
 * Server-sent events to many clients (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 * One thread of the program sends the time ten times a second. It never waits for a client: a
 * client that reads too slowly misses ticks, and one that has left is removed.
 *
 *     curl -N http://127.0.0.1:8080/ticks
 */
#include "example.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define MOST_CLIENTS 1000

static struct {
    pthread_mutex_t lock;
    transom_writer *clients[MOST_CLIENTS];
    size_t count;
    bool ended;
} room = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* GET /ticks: begins the stream and keeps its writer. */
static void subscribe(void *user_data, const transom_request *request, transom_responder *responder)
{
    static const transom_field fields[] = {TRANSOM_FIELD("content-type", "text/event-stream"),
                                           TRANSOM_FIELD("cache-control", "no-cache")};
    transom_writer *writer = NULL;
    (void)user_data;
    (void)request;
    pthread_mutex_lock(&room.lock);
    if (room.count == MOST_CLIENTS || room.ended)
        transom_responder_send_text(responder, 503, "try again later\n");
    else if (transom_responder_start(responder, 200, fields, 2, &writer, NULL) == TRANSOM_OK)
        room.clients[room.count++] = writer;
    pthread_mutex_unlock(&room.lock);
}

/* Sends one event to each client. */
static void broadcast(const char *event)
{
    size_t i = 0;
    pthread_mutex_lock(&room.lock);
    while (i < room.count) {
        transom_status status = transom_writer_write(room.clients[i], event, TRANSOM_NUL_TERMINATED, 0);
        if (status == TRANSOM_OK || status == TRANSOM_WOULD_BLOCK) {
            i++; /* without room, the client misses this event */
        } else {
            transom_writer_free(room.clients[i]);
            room.clients[i] = room.clients[--room.count];
        }
    }
    pthread_mutex_unlock(&room.lock);
}

static void *tick(void *argument)
{
    const struct timespec pause = {0, 100000000};
    unsigned long number = 0;
    bool ended = false;
    while (!ended) {
        char event[64];
        nanosleep(&pause, NULL);
        snprintf(event, sizeof event, "id: %lu\ndata: %ld\n\n", number++, (long)time(NULL));
        broadcast(event);
        pthread_mutex_lock(&room.lock);
        ended = room.ended;
        pthread_mutex_unlock(&room.lock);
    }
    return argument;
}

int main(int argc, char **argv)
{
    sigset_t stop = block_stop_signals();
    transom_server *server = transom_server_new();
    pthread_t ticker;
    int signal_number;

    transom_server_route(server, "GET", "/ticks", subscribe, NULL, NULL, NULL);
    if (pthread_create(&ticker, NULL, tick, NULL) != 0)
        return 1;
    start(server, argc, argv);

    sigwait(&stop, &signal_number);
    pthread_mutex_lock(&room.lock);
    room.ended = true;
    while (room.count > 0)
        transom_writer_finish(room.clients[--room.count]); /* the streams end well */
    pthread_mutex_unlock(&room.lock);
    pthread_join(ticker, NULL);
    transom_server_free(server);
    return 0;
}
