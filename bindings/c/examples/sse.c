/*
 * Server-sent events to many clients (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 * One thread of the program sends the time ten times a second. It never waits for a client: one that reads
 * too slowly is disconnected, connects again, and gets the ticks that it missed.
 *
 *     curl -N http://127.0.0.1:8080/ticks
 */
#include "example.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static transom_sse_broadcast *ticks;
static atomic_bool ended;

/* GET /ticks: a browser that connects again says which event it got last. */
static void subscribe(void *user_data, const transom_request *request, transom_responder *responder)
{
    transom_bytes last = transom_request_header(request, "last-event-id");
    (void)user_data;
    if (transom_sse_broadcast_subscribe(ticks, responder, last, NULL, 0, NULL, NULL) != TRANSOM_OK)
        transom_responder_free(responder);
}

static void *tick(void *argument)
{
    const struct timespec pause = {0, 100000000};
    unsigned long number = 0;
    while (!atomic_load(&ended)) {
        char id[32], data[32];
        transom_sse_event event = {.data = TRANSOM_TEXT(data), .id = TRANSOM_TEXT(id)};
        nanosleep(&pause, NULL);
        snprintf(id, sizeof id, "%lu", number++);
        snprintf(data, sizeof data, "%ld", (long)time(NULL));
        transom_sse_broadcast_send(ticks, &event, NULL);
    }
    return argument;
}

int main(int argc, char **argv)
{
    stop_signals stop = block_stop_signals();
    transom_server *server = transom_server_new();
    pthread_t ticker;

    /* The last 100 events are kept for clients that connect again. */
    if (transom_sse_broadcast_new(TRANSOM_SLOW_READER_CLOSE, 100, &ticks) != TRANSOM_OK)
        return 1;
    transom_server_route(server, "GET", "/ticks", subscribe, NULL, NULL, NULL);
    if (pthread_create(&ticker, NULL, tick, NULL) != 0)
        return 1;
    start(server, argc, argv);

    wait_for_stop(&stop);
    transom_server_free(server); /* the streams end in order */
    atomic_store(&ended, true);
    pthread_join(ticker, NULL);
    transom_sse_broadcast_free(ticks);
    return 0;
}
