/* Static files: a folder under a path, its settings, and one file as a response. */
#include "common.h"

#include <errno.h>
#include <sys/stat.h>

#ifdef _WIN32
#define NO_SUCH_FILE "none: " /* and the words of the system */
#else
#define NO_SUCH_FILE "none: No such file"
#endif

static struct reply reply;

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* Asks for a target with these fields, and returns the status. */
static int ask_for(uint16_t port, const char *target, const char *fields)
{
    static char request[512];
    int fd = connect_to(port);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\n%sConnection: close\r\n\r\n", target, fields);
    say(fd, request);
    hear(fd, &reply);
    return reply.status;
}

static void report(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    static const transom_field fields[] = {TRANSOM_FIELD("content-type", "text/x-own"), TRANSOM_FIELD("x-a", "1")};
    static const transom_field bad = TRANSOM_FIELD("x-a", "1\r\nx-b: 2");
    transom_error *error = NULL;
    CHECK_STATUS(transom_responder_send_path(responder, request, "./none", NULL, 0, NULL, &error), TRANSOM_IO);
    CHECK(transom_error_errno(error) == ENOENT);
    transom_error_free(error);
    CHECK_STATUS(transom_responder_send_path(responder, request, ".", NULL, 0, NULL, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_responder_send_path(responder, request, "a.txt", &bad, 1, NULL, NULL), TRANSOM_BAD_HEADER);
    CHECK_STATUS(transom_responder_send_path(responder, NULL, "a.txt", NULL, 0, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send_path(NULL, request, "a.txt", NULL, 0, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_responder_send_path(responder, request, NULL, NULL, 0, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    OK(transom_responder_send_path(responder, request, "public/a.txt", fields, 2, "caf\xc3\xa9.txt", NULL));
    CHECK_STATUS(transom_responder_send_path(responder, request, "public/a.txt", NULL, 0, NULL, NULL),
                 TRANSOM_ALREADY_ANSWERED);
}

int main(void)
{
    transom_files *files = NULL, *other = NULL;
    transom_server *server = transom_server_new();
    transom_error *error = NULL;
    uint16_t port;
    CHECK(mkdir("public", 0700) == 0 && mkdir("public/sub", 0700) == 0);
    write_file("public/index.html", "index");
    write_file("public/start.htm", "start");
    write_file("public/a.txt", "0123456789");
    write_file("public/.env", "secret");
    write_file("public/LICENSE", "free");
    write_file("public/sub/app.js", "plain");
    write_file("public/sub/app.js.gz", "gzipped");

    CHECK(transom_has_feature("files"));
    CHECK_STATUS(transom_files_new("./none", &files, &error), TRANSOM_IO);
    CHECK(strstr(transom_error_message(error), NO_SUCH_FILE) != NULL);
    transom_error_free(error);
    CHECK_STATUS(transom_files_new(NULL, &files, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_files_new("public", NULL, NULL), TRANSOM_NULL_ARGUMENT);
    OK(transom_files_new("public", &files, NULL));
    OK(transom_files_new("public", &other, NULL));
    CHECK_STATUS(transom_files_set(NULL, "listing", 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_files_set(files, NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_files_set_index(NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_files_set_charset(NULL, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_files_set_single_page(NULL, "a", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_files_set_single_page(files, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_files_add_cache_control(NULL, "*", "a", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_files_add_cache_control(files, NULL, "a", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_files_add_cache_control(files, "*", NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_files_add_content_type(NULL, "a", "a/b", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_files_add_content_type(files, NULL, "a/b", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_files_add_content_type(files, "a", NULL, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_files(NULL, "/s", files, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_add_files(server, NULL, files, NULL), TRANSOM_NULL_ARGUMENT);
    transom_files_free(NULL);
    CHECK_STATUS(transom_files_set(files, "fast", 1, &error), TRANSOM_INVALID_ARGUMENT);
    CHECK(strstr(transom_error_message(error), "precompressed") != NULL);
    transom_error_free(error);
    CHECK_STATUS(transom_files_set(files, "listing", 2, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_files_add_cache_control(files, "*", "a\nb", NULL), TRANSOM_BAD_HEADER);
    CHECK_STATUS(transom_files_add_content_type(files, "x", "a\nb", NULL), TRANSOM_BAD_HEADER);
    CHECK_STATUS(transom_files_set_charset(files, "a b", NULL), TRANSOM_BAD_HEADER);
    OK(transom_files_set(files, "precompressed", 1, NULL));
    OK(transom_files_add_cache_control(files, "sub/**", "max-age=60", NULL));
    OK(transom_files_add_content_type(files, "", "text/plain", NULL));
    OK(transom_server_add_files(server, "/static", files, NULL));
    CHECK_STATUS(transom_server_add_files(server, "/static", files, NULL), TRANSOM_BAD_ROUTE);
    CHECK_STATUS(transom_server_add_files(server, "static", files, NULL), TRANSOM_BAD_ROUTE);
    CHECK_STATUS(transom_server_add_files(server, "/s", NULL, NULL), TRANSOM_NULL_ARGUMENT);
    /* Settings after that are for others. */
    OK(transom_files_set_index(files, "start.htm", NULL));
    OK(transom_files_set(files, "dotfiles", 1, NULL));
    OK(transom_files_set(files, "range_limit", 0, NULL));
    OK(transom_files_set(files, "downloads", 1, NULL));
    OK(transom_files_set_charset(files, NULL, NULL));
    OK(transom_server_add_files(server, "/other", files, NULL));
    OK(transom_files_set_index(other, NULL, NULL));
    OK(transom_files_set(other, "listing", 1, NULL));
    OK(transom_files_set(other, "listing_limit", 1, NULL));
    OK(transom_files_set_single_page(other, "a.txt", NULL));
    OK(transom_server_add_files(server, "", other, NULL));
    OK(transom_server_route(server, "GET", "/report", report, NULL, NULL, NULL));
    transom_files_free(files);
    transom_files_free(files);
    CHECK_STATUS(transom_files_set(files, "listing", 1, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_server_add_files(server, "/c", files, NULL), TRANSOM_ALREADY_ANSWERED);
    port = start(server);
    CHECK_STATUS(transom_server_add_files(server, "/d", other, NULL), TRANSOM_ALREADY_STARTED);
    transom_files_free(other);

    CHECK(ask_for(port, "/static/", "") == 200 && strcmp(reply.body, "index") == 0);
    CHECK(ask_for(port, "/static/a.txt", "Range: bytes=2-4\r\n") == 206 && strcmp(reply.body, "234") == 0);
    CHECK(strstr(reply.text, "content-range: bytes 2-4/10") != NULL);
    CHECK(ask_for(port, "/static/a.txt", "If-None-Match: *\r\n") == 304);
    CHECK(ask_for(port, "/static/a.txt", "If-Match: \"x\"\r\n") == 412);
    CHECK(ask_for(port, "/static/a.txt", "Range: bytes=10-\r\n") == 416);
    CHECK(ask_for(port, "/static/.env", "") == 404 && ask_for(port, "/static/..%2fpublic/a.txt", "") == 404);
    CHECK(ask_for(port, "/static/sub", "") == 301 && strstr(reply.text, "location: ./sub/\r\n") != NULL);
    CHECK(ask_for(port, "/static/sub/app.js", "Accept-Encoding: gzip\r\n") == 200);
    CHECK(strcmp(reply.body, "gzipped") == 0 && strstr(reply.text, "cache-control: max-age=60") != NULL);
    CHECK(ask_for(port, "/static/LICENSE", "") == 200 && strstr(reply.text, "content-type: text/plain\r\n") != NULL);

    CHECK(ask_for(port, "/other/", "") == 200 && strcmp(reply.body, "start") == 0);
    CHECK(strstr(reply.text, "content-type: text/html\r\n") != NULL);
    CHECK(strstr(reply.text, "content-disposition: attachment; filename=\"start.htm\"") != NULL);
    CHECK(ask_for(port, "/other/.env", "") == 200 && ask_for(port, "/other/a.txt", "Range: bytes=0-0\r\n") == 200);

    CHECK(ask_for(port, "/a.txt", "") == 200 && ask_for(port, "/somewhere", "") == 200);
    CHECK(strcmp(reply.body, "0123456789") == 0);
    CHECK(ask_for(port, "/", "") == 200 && strstr(reply.body, "There are more entries") != NULL);

    CHECK(ask_for(port, "/report", "Range: bytes=-1\r\n") == 206 && strcmp(reply.body, "9") == 0);
    CHECK(strstr(reply.text, "content-type: text/x-own") != NULL && strstr(reply.text, "x-a: 1") != NULL);
    CHECK(strstr(reply.text, "content-type: text/plain") == NULL);
    CHECK(strstr(reply.text, "filename*=UTF-8''caf%C3%A9.txt") != NULL);
    CHECK(ask_for(port, "/report", "If-None-Match: *\r\n") == 304);
    transom_server_free(server);
    return 0;
}
