/* One thread of the host feeds 200 streams of events. It waits for no client and tries none in vain: it writes
 * again only when it is told of room. Clients that read get every event, also those that read in bursts; clients
 * that do not read are dropped, and so are those that leave. At a stop all streams end in order. */
#include "common.h"

#include <limits.h>
#include <poll.h>
#include <sys/un.h>

enum { MOST = 200, SIZE = 16384, MOST_BEHIND = 20, LEAST_EVENTS = 40, TICK_MS = 5 };

/* A stream, as the producer sees it. */
struct stream {
    transom_writer *writer;
    unsigned long next;
    bool waits;
};

static struct {
    pthread_mutex_t lock;
    struct stream streams[MOST];
    int count;
} room = {.lock = PTHREAD_MUTEX_INITIALIZER};

static transom_events *events;
static atomic_int subscribed, dropped, gone, finished, ticks;
static atomic_bool begins;
/* What all clients have that read. The producer is never so far ahead of it that it would drop one of them. */
static atomic_ulong has_been_read;
static int silent_clients, leaving_clients;

/* Starts a stream and gives it to the producer. */
static void subscribe(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    static const transom_field type = TRANSOM_FIELD("content-type", "text/event-stream");
    transom_writer *writer;
    OK(transom_responder_start(responder, 200, &type, 1, &writer, NULL));
    pthread_mutex_lock(&room.lock);
    CHECK(room.count < MOST);
    room.streams[room.count++] = (struct stream){writer, 0, false};
    pthread_mutex_unlock(&room.lock);
    OK(transom_events_watch_writer(events, writer));
    OK(transom_events_watch_writer_stopping(events, writer));
    count(&subscribed);
}

static struct stream *find(uint64_t token)
{
    int i;
    for (i = 0; i < room.count; i++)
        if ((uintptr_t)room.streams[i].writer == token)
            return &room.streams[i];
    return NULL;
}

static void forget(struct stream *stream, atomic_int *counter)
{
    *stream = room.streams[--room.count];
    count(counter);
}

/* Writes what the stream has not got yet, as far as there is room. Returns how often there was none. */
static int feed(struct stream *stream, unsigned long newest)
{
    static char event[SIZE];
    while (stream->next < newest) {
        int status, length = snprintf(event, sizeof event, "id: %lu\ndata: ", stream->next);
        memset(event + length, 'x', sizeof event - (size_t)length);
        memcpy(event + sizeof event - 2, "\n\n", 2);
        status = transom_writer_write(stream->writer, event, sizeof event, 0);
        if (status == TRANSOM_WOULD_BLOCK) {
            stream->waits = true;
            OK(transom_events_await_room(events, stream->writer));
            return 1;
        }
        if (status == TRANSOM_GONE) {
            transom_writer_free(stream->writer);
            forget(stream, &gone);
            return 0;
        }
        CHECK_STATUS(status, TRANSOM_OK);
        stream->next++;
    }
    return 0;
}

static int64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000) + time.tv_nsec / 1000000;
}

/* Adds an event, feeds all that have room, and drops those that are too far behind. */
static int tick(unsigned long newest)
{
    int i, blocked = 0;
    for (i = room.count - 1; i >= 0; i--) {
        struct stream *stream = &room.streams[i];
        if (!stream->waits) {
            blocked += feed(stream, newest);
        } else if (newest - stream->next > MOST_BEHIND) {
            transom_writer_free(stream->writer);
            forget(stream, &dropped);
        }
    }
    return blocked;
}

static void *produce(void *unused UNUSED)
{
    unsigned long newest = 0;
    int64_t next_tick = now_ms();
    bool stops = false;
    int blocked = 0, told = 0;
    EVENTUALLY(begins);
    do {
        transom_event batch[64];
        int64_t left = next_tick - now_ms();
        uint32_t number, i;
        int status = transom_events_next(events, batch, 64, stops ? PATIENCE_MS : left > 0 ? left : 0, &number);
        CHECK(status == TRANSOM_OK || (status == TRANSOM_TIMEOUT && !stops));
        pthread_mutex_lock(&room.lock);
        for (i = 0; i < number; i++) {
            struct stream *stream = find(batch[i].token);
            if (batch[i].kind == TRANSOM_EVENT_WRITER_STOPPING)
                stops = true;
            if (stream == NULL)
                continue; /* out of date */
            if (batch[i].kind == TRANSOM_EVENT_WRITER_GONE) {
                transom_writer_free(stream->writer);
                forget(stream, &gone);
            } else if (batch[i].kind == TRANSOM_EVENT_WRITABLE) {
                CHECK(stream->waits);
                stream->waits = false;
                told++;
                blocked += feed(stream, newest);
            }
        }
        if (!stops && now_ms() >= next_tick && newest < has_been_read + MOST_BEHIND / 2) {
            blocked += tick(++newest);
            count(&ticks);
            next_tick += TICK_MS;
        } else if (now_ms() >= next_tick) {
            next_tick = now_ms() + TICK_MS;
        }
        for (i = 0; stops && i < (uint32_t)room.count;) {
            if (room.streams[i].waits) {
                i++; /* ends when there is room for the rest */
            } else {
                OK(transom_writer_finish(room.streams[i].writer));
                forget(&room.streams[i], &finished);
            }
        }
        pthread_mutex_unlock(&room.lock);
    } while (!stops || room.count > 0);
    /* Each write that found no room was followed by an event, or by the end of the stream. */
    CHECK(blocked >= told && blocked - told <= silent_clients + leaving_clients);
    return NULL;
}

/* A client that reads. */
struct client {
    int fd;
    bool leaves, has_ended;
    unsigned long next;
    size_t held;
    char line[2 * SIZE];
};

/* Reads what has come. The event of each line is the next. */
static void take(struct client *client)
{
    ssize_t got = receive(client->fd, client->line + client->held, sizeof client->line - client->held, 0);
    char *line = client->line, *end;
    CHECK(got > 0 || (got == 0 && client->has_ended));
    if (got == 0) {
        close(client->fd);
        client->fd = -1;
        return;
    }
    client->held += (size_t)got;
    while ((end = memchr(line, '\n', (size_t)(client->line + client->held - line))) != NULL) {
        *end = '\0';
        if (strncmp(line, "id: ", 4) == 0)
            CHECK(strtoul(line + 4, NULL, 10) == client->next++);
        client->has_ended |= strcmp(line, "0\r") == 0;
        line = end + 1;
    }
    client->held -= (size_t)(line - client->line);
    CHECK(client->held < sizeof client->line);
    memmove(client->line, line, client->held);
    if (client->leaves && client->next >= 10) {
        close(client->fd);
        client->fd = -1;
    }
}

/* Reads all clients until all have ended. */
static void *read_all(void *argument)
{
    struct client *clients = argument;
    static struct pollfd fds[MOST];
    int i, open = 1;
    while (open > 0) {
        unsigned long least = ULONG_MAX;
        open = 0;
        for (i = 0; i < MOST; i++) {
            fds[i] = (struct pollfd){clients[i].fd, POLLIN, 0};
            open += clients[i].fd >= 0;
            if (clients[i].fd >= 0 && clients[i].next < least)
                least = clients[i].next;
        }
        if (open > 0)
            atomic_store(&has_been_read, least);
        CHECK(open == 0 || poll(fds, MOST, PATIENCE_MS) > 0);
        for (i = 0; i < MOST; i++)
            if (fds[i].fd >= 0 && fds[i].revents != 0)
                take(&clients[i]);
    }
    return NULL;
}

/* Asks for the events. A Unix socket holds little that is not read, a TCP socket 3 MB. */
static int begin(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "fanout.sock"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    say(fd, "GET /events HTTP/1.1\r\nHost: test\r\n\r\n");
    return fd;
}

static void serve(const char *model, int readers, int silent, int leaving)
{
    static struct client clients[MOST];
    transom_report report = {.size = sizeof report};
    transom_server *server = transom_server_new();
    int quiet[MOST], i;
    pthread_t producer, reader;

    unlink("fanout.sock");
    atomic_store(&begins, false);
    atomic_store(&has_been_read, 0);
    subscribed = dropped = gone = finished = ticks = 0;
    silent_clients = silent;
    leaving_clients = leaving;
    events = transom_events_new();
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_set_limit(server, "connection_threads", MOST + 10, NULL));
    OK(transom_server_route(server, "GET", "/events", subscribe, NULL, NULL, NULL));
    OK(transom_server_start(server, "unix:fanout.sock", NULL));
    for (i = 0; i < MOST; i++) {
        clients[i] = (struct client){.fd = -1, .leaves = i >= readers};
        if (i < readers + leaving)
            clients[i].fd = begin();
    }
    for (i = 0; i < silent; i++)
        quiet[i] = begin();
    CHECK(pthread_create(&producer, NULL, produce, NULL) == 0);
    EVENTUALLY(subscribed == readers + silent + leaving);
    CHECK(pthread_create(&reader, NULL, read_all, clients) == 0);
    atomic_store(&begins, true);

    EVENTUALLY(dropped == silent);
    EVENTUALLY(gone == leaving);
    /* What was written to them before is still on its way. */
    for (i = 0; i < silent; i++)
        close(quiet[i]);
    EVENTUALLY(ticks >= LEAST_EVENTS);
    OK(transom_server_stop(server, TRANSOM_FOREVER));
    pthread_join(producer, NULL);
    pthread_join(reader, NULL);
    OK(transom_server_wait(server, PATIENCE_MS));
    OK(transom_server_report(server, &report));
    CHECK(finished == readers && dropped == silent && gone == leaving);
    CHECK(report.cut == 0 && report.pending == 0);
    transom_server_free(server);
    transom_events_free(events);
}

int main(void)
{
    serve("event", 170, 20, 10);
    serve("threads", 170, 20, 10);
    serve("sequential", 1, 0, 0);
    return 0;
}
