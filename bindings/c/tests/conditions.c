/* Conditional requests and ranges: the answers of a table that the tests of Rust and Python read too. */
#include "common.h"

#include <sys/stat.h>
#include <utime.h>

/* The line of the table, the request, and the answer. */
static char line[512], request[1024];
static char ten_tag[64], empty_tag[64];
static struct reply reply;

static void write_file(const char *path, const char *text)
{
    /* Sun, 06 Nov 1994 08:49:37 GMT */
    struct utimbuf then = {784111777, 784111777};
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    CHECK(utime(path, &then) == 0);
}

/* Opens the table, which lies beside the tests of Rust. */
static FILE *open_table(void)
{
    char path[4096] = __FILE__;
    char *name = strrchr(path, '/');
    FILE *table;
    CHECK(name != NULL && sizeof path - (size_t)(name - path) > 64);
    strcpy(name, "/../../../tests/files/conditions.txt");
    table = fopen(path, "r");
    CHECK(table != NULL);
    return table;
}

static void one(void *user_data UNUSED, const transom_request *asked, transom_responder *responder)
{
    transom_bytes name = transom_request_param(asked, "name");
    const char *path = is(name, "ten") ? "public/ten" : "public/empty";
    OK(transom_responder_send_path(responder, asked, path, NULL, 0, NULL, NULL));
}

/* Appends a piece of the request. */
static void append(const char *piece, size_t length)
{
    size_t so_far = strlen(request);
    CHECK(so_far + length < sizeof request);
    memcpy(request + so_far, piece, length);
    request[so_far + length] = '\0';
}

/* Appends the fields of the line, with the tag of the file. */
static void append_fields(const char *fields, const char *tag)
{
    for (; *fields == ' '; fields++)
        ;
    while (*fields != '\0') {
        if (strncmp(fields, "\\r\\n", 4) == 0) {
            append("\r\n", 2);
            fields += 4;
        } else if (strncmp(fields, "TAG", 3) == 0) {
            append(tag, strlen(tag));
            fields += 3;
        } else {
            append(fields++, 1);
        }
    }
    if (request[strlen(request) - 1] != '\n')
        append("\r\n", 2);
}

static void send_request(uint16_t port)
{
    int fd = connect_to(port);
    append("Connection: close\r\n\r\n", 21);
    say(fd, request);
    hear(fd, &reply);
}

/* Stores the tag that a file has. */
static void find_tag(uint16_t port, const char *name, char *tag)
{
    const char *field;
    snprintf(request, sizeof request, "GET /static/%s HTTP/1.1\r\nHost: h\r\n", name);
    send_request(port);
    CHECK(reply.status == 200);
    field = strstr(reply.text, "\r\netag: ");
    CHECK(field != NULL && sscanf(field, "\r\netag: %63s", tag) == 1);
}

/* Asks as the line says, and compares the answer. */
static void check_line(uint16_t port, const char *folder)
{
    char method[8], name[8], range[32], expected[64];
    int status = 0, length = 0;
    CHECK(sscanf(line, "%7s %7s %d %31s |%n", method, name, &status, range, &length) == 4 && length > 0);
    snprintf(request, sizeof request, "%s /%s/%s HTTP/1.1\r\nHost: h\r\n", method, folder, name);
    append_fields(line + length, strcmp(name, "ten") == 0 ? ten_tag : empty_tag);
    send_request(port);
    if (reply.status != status)
        fprintf(stderr, "%s: %s\n", folder, line);
    CHECK(reply.status == status);
    if (strcmp(range, "-") == 0) {
        CHECK(strstr(reply.text, "\r\ncontent-range:") == NULL);
    } else {
        snprintf(expected, sizeof expected, "\r\ncontent-range: bytes %s\r\n", range);
        CHECK(strstr(reply.text, expected) != NULL);
    }
}

int main(void)
{
    int lines = 0;
    transom_files *files = NULL;
    transom_server *server = transom_server_new();
    FILE *table = open_table();
    uint16_t port;
    CHECK(mkdir("public", 0700) == 0);
    write_file("public/ten", "0123456789");
    write_file("public/empty", "");
    OK(transom_files_new("public", &files, NULL));
    OK(transom_server_add_files(server, "/static", files, NULL));
    OK(transom_server_route(server, "GET", "/one/{name}", one, NULL, NULL, NULL));
    transom_files_free(files);
    port = start(server);

    find_tag(port, "ten", ten_tag);
    find_tag(port, "empty", empty_tag);
    while (fgets(line, sizeof line, table) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0' || line[0] == '#')
            continue;
        check_line(port, "static");
        check_line(port, "one");
        lines++;
    }
    CHECK(lines > 100);
    fclose(table);
    transom_server_free(server);
    return 0;
}
