/* The access log: its formats, its file that is opened again, a writer of the host, and lines that are lost. */
#include "common.h"

#include <errno.h>

static char lines[65536];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int fault, freed, formats_freed;

static void count_up(void *user_data)
{
    atomic_fetch_add((atomic_int *)user_data, 1);
}

static int write_lines(void *user_data, const void *data, size_t len)
{
    size_t used;
    CHECK(user_data == &freed && len > 0 && ((const char *)data)[len - 1] == '\n');
    if (atomic_load(&fault) != 0)
        return atomic_load(&fault);
    pthread_mutex_lock(&lock);
    used = strlen(lines);
    CHECK(used + len < sizeof lines);
    memcpy(lines + used, data, len);
    pthread_mutex_unlock(&lock);
    return 0;
}

static int has(const char *text)
{
    int found;
    pthread_mutex_lock(&lock);
    found = strstr(lines, text) != NULL;
    pthread_mutex_unlock(&lock);
    return found;
}

/* A line in the words of the host. Without a target there is none, and some are long. */
static int format_line(void *user_data, const transom_exchange *exchange, char *buffer, size_t size)
{
    CHECK(user_data == &formats_freed && exchange->size == sizeof *exchange);
    if (exchange->target.len == 0)
        return -1;
    return snprintf(buffer, size, "[%d %.*s]\n%s%0*d", exchange->status_code, TRANSOM_PRINT(exchange->target), "forged",
                    exchange->status_code == 404 ? 2000 : 1, 7);
}

static transom_server *with_log(transom_access_log *log)
{
    transom_server *server = transom_server_new();
    OK(transom_server_route(server, "GET", "/users/{id}", say_hello, NULL, NULL, NULL));
    OK(transom_server_add_access_log(server, log));
    return server;
}

/* Reads a file, which is short. */
static const char *content(const char *path)
{
    static char text[4096];
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void of_files(void)
{
    static struct reply reply;
    static char text[1024];
    int ends[2];
    transom_access_log *log = NULL, *second = NULL;
    transom_server *other;
    transom_error *error = NULL;
    transom_server *server;
    uint16_t port;

    CHECK_STATUS(transom_access_log_open("./none/access.log", &log, &error), TRANSOM_IO);
    CHECK(log == NULL && transom_error_errno(error) == ENOENT);
    CHECK(strstr(transom_error_message(error), "cannot open ./none/access.log: ") != NULL);
    transom_error_free(error);
    CHECK_STATUS(transom_access_log_open(NULL, &log, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_access_log_open("./access.log", NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_has_feature("access-log"));

    OK(transom_access_log_open("./access.log", &log, NULL));
    server = with_log(log);
    port = start(server);
    CHECK_STATUS(transom_server_add_access_log(server, log), TRANSOM_ALREADY_STARTED);
    CHECK(get(port, "/users/1", &reply) == 200);
    EVENTUALLY(strstr(content("./access.log"), "\"GET /users/1 HTTP/1.1\" 200 ") != NULL);
    CHECK(strncmp(content("./access.log"), "127.0.0.1 - - [", 15) == 0);

    /* A descriptor, of which the log has a copy. */
    CHECK_STATUS(transom_access_log_open_fd(-1, &second, &error), TRANSOM_IO);
    CHECK(second == NULL && transom_error_errno(error) == EBADF);
    transom_error_free(error);
    CHECK_STATUS(transom_access_log_open_fd(0, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(pipe(ends) == 0);
    OK(transom_access_log_open_fd(ends[1], &second, NULL));
    close(ends[1]);
    other = with_log(second);
    CHECK(get(start(other), "/users/3", &reply) == 200);
    transom_server_free(other);
    transom_access_log_free(second);
    CHECK(read(ends[0], text, sizeof text - 1) > 0 && strstr(text, "GET /users/3 HTTP/1.1") != NULL);
    CHECK(read(ends[0], text, sizeof text) == 0);
    close(ends[0]);

    /* A rotation. */
    CHECK(rename("./access.log", "./access.log.1") == 0);
    /* It fails if the old file takes its lines for more than two seconds. */
    EVENTUALLY(transom_access_log_reopen(log, NULL) == TRANSOM_OK);
    CHECK(get(port, "/users/2", &reply) == 200);
    /* The server keeps the log, and writes its lines when it is freed. */
    transom_access_log_free(log);
    CHECK_STATUS(transom_access_log_reopen(log, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_access_log_flush(log, 0), TRANSOM_ALREADY_ANSWERED);
    CHECK(transom_access_log_lost(log) == 0);
    transom_access_log_free(log);
    transom_server_free(server);
    /* The thread of the log may need longer than the free waits for it. */
    EVENTUALLY(strstr(content("./access.log"), "GET /users/2 HTTP/1.1") != NULL);
    CHECK(strstr(content("./access.log.1"), "/users/2") == NULL);
}

static void of_functions(void)
{
    static struct reply reply;
    transom_access_log *log = NULL;
    transom_error *error = NULL;
    transom_server *server;
    uint16_t port;

    OK(transom_access_log_new(write_lines, &freed, count_up, &log, NULL));
    OK(transom_access_log_set_buffer(log, 1 << 20));
    CHECK_STATUS(transom_access_log_set_format(log, "xml", &error), TRANSOM_INVALID_ARGUMENT);
    CHECK(strstr(transom_error_message(error), "common, combined or json") != NULL);
    transom_error_free(error);
    CHECK_STATUS(transom_access_log_set_format(log, "%h %Z", &error), TRANSOM_INVALID_ARGUMENT);
    CHECK(strstr(transom_error_message(error), "there is no directive %Z") != NULL);
    transom_error_free(error);
    CHECK_STATUS(transom_access_log_reopen(log, NULL), TRANSOM_IO);

    /* Four formats in one log, for three servers. */
    OK(transom_access_log_set_format(log, "json", NULL));
    server = with_log(log);
    OK(transom_access_log_set_own_format(log, format_line, &formats_freed, count_up));
    OK(transom_server_add_access_log(server, log));
    OK(transom_access_log_set_format(log, "%h|%m %U %R|%>s|%{Host}i|%{content-type}o|%{x-none}i|%E|", NULL));
    OK(transom_server_add_access_log(server, log));
    port = start(server);
    CHECK(get(port, "/users/1", &reply) == 200);
    EVENTUALLY(has("\"url.path\":\"/users/1\",\"network.protocol.version\":\"1.1\",\"http.route\":\"/users/{id}\""));
    EVENTUALLY(has("[200 /users/1]\\x0aforged7\n"));
    EVENTUALLY(has("127.0.0.1|GET /users/1 /users/{id}|200|") && has("|text/plain") && has("|-|-|\n"));
    CHECK(get(port, "/none", &reply) == 404);
    EVENTUALLY(has("[404 /none]\\x0aforged0000") && has("00000007\n"));
    transom_server_free(server);
    OK(transom_access_log_set_format(log, "combined", NULL));
    EVENTUALLY(atomic_load(&formats_freed) == 1);

    /* Lines that cannot be written are counted, and the log tells of them later. */
    server = with_log(log);
    port = start(server);
    atomic_store(&fault, ENOSPC);
    CHECK(get(port, "/users/2", &reply) == 200);
    EVENTUALLY(transom_access_log_lost(log) == 1);
    atomic_store(&fault, 0);
    CHECK(get(port, "/users/3", &reply) == 200);
    EVENTUALLY(has("# 1 lines were lost before [") && has("GET /users/3 HTTP/1.1"));
    CHECK(!has("/users/2"));
    OK(transom_access_log_flush(log, -1));
    CHECK_STATUS(transom_access_log_flush(log, -2), TRANSOM_INVALID_ARGUMENT);
    transom_server_free(server);
    CHECK(atomic_load(&freed) == 0);
    transom_access_log_free(log);
    EVENTUALLY(atomic_load(&freed) == 1);
}

int main(void)
{
    of_files();
    of_functions();
    return 0;
}
