/*
 * libmicrohttpd with epoll on one internal thread.
 *
 *     microhttpd --port 8080 --file FILE
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"
#include "delay.h"
#include "events.h"

static struct {
    struct MHD_Response *plain, *waited, *mebibyte, *not_found;
    const uint8_t *xs;
    const char *file;
} site;

/* A request between the calls of `answer`. */
struct exchange {
    size_t received;
    int waited;
};

/* One that needs nothing to be remembered. */
static struct exchange at_once;

static struct MHD_Response *typed(struct MHD_Response *response, const char *type)
{
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    return response;
}

static struct MHD_Response *stays(const void *data, size_t size, const char *type)
{
    return typed(MHD_create_response_from_buffer(size, (void *)data, MHD_RESPMEM_PERSISTENT), type);
}

static enum MHD_Result once(struct MHD_Connection *connection, struct MHD_Response *response)
{
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static ssize_t piece(void *unused, uint64_t at, char *buffer, size_t room)
{
    size_t size = room < PIECE ? room : PIECE;
    (void)unused;
    (void)at;
    memcpy(buffer, site.xs, size);
    return (ssize_t)size;
}

static enum MHD_Result send_file(struct MHD_Connection *connection)
{
    struct stat status;
    int file = open(site.file, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) != 0)
        return MHD_NO;
    return once(connection, typed(MHD_create_response_from_fd64((uint64_t)status.st_size, file),
                                  "application/octet-stream"));
}

static enum MHD_Result send_count(struct MHD_Connection *connection, size_t count)
{
    char text[24];
    int length = snprintf(text, sizeof text, "%zu", count);
    struct MHD_Response *response =
        MHD_create_response_from_buffer((size_t)length, text, MHD_RESPMEM_MUST_COPY);
    return once(connection, typed(response, "text/plain"));
}

/* A client of /events. */
struct client {
    struct MHD_Connection *connection;
    uint64_t count;
    struct client *next;
};

/* Those that have had all events, and are suspended until the next. */
static struct {
    pthread_mutex_t lock;
    struct client *first;
} idle = {.lock = PTHREAD_MUTEX_INITIALIZER};

static ssize_t next_event(void *argument, uint64_t at, char *buffer, size_t room)
{
    struct client *client = argument;
    ssize_t size = 0;
    (void)at;
    if (room < EVENT_SIZE)
        return 0;
    pthread_mutex_lock(&idle.lock);
    if (events_get(client->count, buffer)) {
        client->count++;
        size = EVENT_SIZE;
    } else {
        client->next = idle.first;
        idle.first = client;
        MHD_suspend_connection(client->connection);
    }
    pthread_mutex_unlock(&idle.lock);
    return size;
}

static void resume_idle(const char *event)
{
    struct client *client;
    events_publish(event);
    pthread_mutex_lock(&idle.lock);
    client = idle.first;
    idle.first = NULL;
    while (client != NULL) {
        struct client *next = client->next;
        MHD_resume_connection(client->connection);
        client = next;
    }
    pthread_mutex_unlock(&idle.lock);
}

static enum MHD_Result send_events(struct MHD_Connection *connection)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return MHD_NO;
    client->connection = connection;
    client->count = events_count();
    return once(connection, typed(MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16 * EVENT_SIZE,
                                                                    next_event, client, free),
                                  "text/event-stream"));
}

static void resume(void *connection)
{
    MHD_resume_connection(connection);
}

static enum MHD_Result answer(void *unused, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    struct exchange *exchange = *state;
    (void)unused;
    (void)version;
    (void)upload;
    if (exchange == NULL) {
        /* The first call has the head only; who answers now gives up the connection. */
        int plain = strcmp(method, "GET") == 0 && strcmp(url, "/wait") != 0;
        *state = plain ? &at_once : calloc(1, sizeof *exchange);
        return *state != NULL ? MHD_YES : MHD_NO;
    }
    if (strcmp(url, "/plain") == 0)
        return MHD_queue_response(connection, MHD_HTTP_OK, site.plain);
    if (strcmp(url, "/bytes/1m") == 0)
        return MHD_queue_response(connection, MHD_HTTP_OK, site.mebibyte);
    if (strcmp(url, "/bytes/100m") == 0)
        return once(connection, typed(MHD_create_response_from_callback(100 * MIB, PIECE, piece, NULL, NULL),
                                      "application/octet-stream"));
    if (strcmp(url, "/events") == 0)
        return send_events(connection);
    if (strcmp(url, "/file") == 0)
        return send_file(connection);
    if (strcmp(url, "/wait") == 0) {
        if (exchange->waited)
            return MHD_queue_response(connection, MHD_HTTP_OK, site.waited);
        exchange->waited = 1;
        MHD_suspend_connection(connection);
        return delay(connection) == 0 ? MHD_YES : MHD_NO;
    }
    if (strcmp(url, "/upload") == 0 && exchange != &at_once) {
        if (*upload_size == 0)
            return send_count(connection, exchange->received);
        exchange->received += *upload_size;
        *upload_size = 0;
        return MHD_YES;
    }
    return MHD_queue_response(connection, MHD_HTTP_NOT_FOUND, site.not_found);
}

static void completed(void *unused, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode code)
{
    (void)unused;
    (void)connection;
    (void)code;
    if (*state != &at_once)
        free(*state);
    *state = NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_Daemon *daemon;
    sigset_t stop;
    int number;

    site.file = option(argc, argv, "--file");
    site.xs = xs(MIB);
    site.plain = stays("hello", 5, "text/plain");
    site.waited = stays("waited", 6, "text/plain");
    site.not_found = stays("not found", 9, "text/plain");
    site.mebibyte = stays(site.xs, MIB, "application/octet-stream");
    address.sin_port = htons(option_port(argc, argv));

    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (delay_start(resume) != 0 || events_start(resume_idle) != 0)
        return 1;
    daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME,
                              0, NULL, NULL, answer, NULL,
                              MHD_OPTION_SOCK_ADDR, &address,
                              MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u,
                              MHD_OPTION_LISTEN_BACKLOG_SIZE, (unsigned)BACKLOG,
                              MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
                              MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
                              MHD_OPTION_END);
    if (daemon == NULL) {
        perror("microhttpd");
        return 1;
    }
    sigwait(&stop, &number);
    _exit(0);
}
