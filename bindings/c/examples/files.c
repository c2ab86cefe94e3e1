/*
 * The files of the current folder: uploads, which are written to disk while they come, and
 * downloads, whole or a part. An upload replaces a file only once it has come whole.
 *
 *     curl -T movie.mp4 http://127.0.0.1:8080/
 *     curl -O http://127.0.0.1:8080/movie.mp4
 *     curl -r 0-99 http://127.0.0.1:8080/movie.mp4
 */
#include "example.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_SIZE 128

/*
 * Copies the name in the path to `name`, or answers with 400. Names are letters, digits and
 * "-_.", and do not begin with a point: so none leads out of the folder, and none is that of
 * an upload under way.
 */
static bool file_name(const transom_request *request, transom_responder *responder, char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    transom_bytes given = transom_request_param(request, "name");
    snprintf(name, NAME_SIZE, "%.*s", TRANSOM_PRINT(given));
    /* The name in the path may contain a NUL, at which the copy ends. */
    if (given.len > 0 && given.data[0] != '.' && strspn(name, allowed) == given.len)
        return true;
    transom_responder_send_text(responder, 400, "not a name of a file\n");
    return false;
}

/* PUT /{name}: the route streams, so the handler runs when the head of the request has come. */
static void upload(void *user_data, const transom_request *request, transom_responder *responder)
{
    char name[NAME_SIZE], temporary[] = ".upload-XXXXXX", piece[64 * 1024];
    transom_status status;
    bool stored;
    FILE *file;
    size_t len;
    (void)user_data;
    if (!file_name(request, responder, name))
        return;
    if ((file = fdopen(mkstemp(temporary), "wb")) == NULL) {
        transom_responder_send_text(responder, 500, "the file cannot be stored\n");
        return;
    }
    do {
        status = transom_request_read(request, piece, sizeof piece, TRANSOM_FOREVER, &len);
        stored = status == TRANSOM_OK && fwrite(piece, 1, len, file) == len;
    } while (stored && len > 0);
    stored = fclose(file) == 0 && stored && rename(temporary, name) == 0;
    if (stored) {
        transom_responder_send_text(responder, 201, "stored\n");
        return;
    }
    unlink(temporary);
    if (status == TRANSOM_BODY_TOO_LARGE)
        transom_responder_send_text(responder, 413, "the file is too large\n");
    else if (status == TRANSOM_TOO_SLOW || status == TRANSOM_BAD_BODY)
        transom_responder_send_text(responder, 400, "the file did not come whole\n");
    else /* this reaches nobody if the client has left */
        transom_responder_send_text(responder, 500, "the file cannot be stored\n");
}

/* Reads a number and moves `*text` past it. What would overflow stays larger than any file. */
static bool number(const char **text, uint64_t *value)
{
    const char *begin = *text;
    for (*value = 0; **text >= '0' && **text <= '9'; ++*text)
        if (*value < UINT64_MAX / 100)
            *value = *value * 10 + (uint64_t)(**text - '0');
    return *text > begin;
}

/*
 * Finds the part that a Range field asks for. Returns 206, or 416 if the file has no such part,
 * or 200 for the whole file: without the field, and for what this server does not know, such as
 * several parts, which RFC 9110 14.2 allows to ignore.
 */
static uint16_t find_part(transom_bytes range, uint64_t size, uint64_t *offset, uint64_t *length)
{
    char text[64];
    const char *at = text + strlen("bytes=");
    uint64_t first, last;
    bool has_first, has_last;
    *offset = 0;
    *length = size;
    snprintf(text, sizeof text, "%.*s", TRANSOM_PRINT(range));
    if (range.len >= sizeof text || strncasecmp(text, "bytes=", strlen("bytes=")) != 0)
        return 200;
    has_first = number(&at, &first);
    if (*at++ != '-')
        return 200;
    has_last = number(&at, &last);
    if (*at != '\0' || (!has_first && !has_last) || (has_first && has_last && last < first))
        return 200;
    if (has_first ? first >= size : last == 0 || size == 0)
        return 416;
    if (!has_first) /* the last bytes */
        first = last < size ? size - last : 0;
    else if (has_last && last < size)
        size = last + 1;
    *offset = first;
    *length = size - first;
    return 206;
}

/* GET /{name} */
static void download(void *user_data, const transom_request *request, transom_responder *responder)
{
    char name[NAME_SIZE], etag[64], range[80];
    transom_field fields[] = {TRANSOM_FIELD("etag", etag), TRANSOM_FIELD("accept-ranges", "bytes"),
                              TRANSOM_FIELD("content-type", "application/octet-stream"),
                              TRANSOM_FIELD("content-range", range)};
    transom_bytes asked = transom_request_header(request, "range");
    transom_bytes if_range = transom_request_header(request, "if-range");
    uint64_t size, offset, length;
    uint16_t status_code;
    struct stat file;
    int fd;
    (void)user_data;
    if (!file_name(request, responder, name))
        return;
    fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) {
        if (fd >= 0)
            close(fd);
        transom_responder_send_text(responder, 404, "no such file\n");
        return;
    }
    size = (uint64_t)file.st_size;
    snprintf(etag, sizeof etag, "\"%llx-%llx.%lx\"", (unsigned long long)size,
             (unsigned long long)file.st_mtim.tv_sec, (unsigned long)file.st_mtim.tv_nsec);
    /* Only GET has parts, and only of the file that the client has the beginning of. */
    if (!transom_bytes_equal(transom_request_method(request), "GET") ||
        (if_range.data != NULL && !transom_bytes_equal(if_range, etag)))
        asked.len = 0;
    status_code = find_part(asked, size, &offset, &length);
    snprintf(range, sizeof range, "bytes %llu-%llu/%llu", (unsigned long long)offset,
             (unsigned long long)(offset + length - 1), (unsigned long long)size);

    if (transom_bytes_equal(transom_request_header(request, "if-none-match"), etag)) {
        close(fd);
        transom_responder_send(responder, 304, fields, 1, NULL, 0, NULL);
    } else if (status_code == 416) {
        close(fd);
        snprintf(range, sizeof range, "bytes */%llu", (unsigned long long)size);
        transom_responder_send(responder, 416, fields + 3, 1, NULL, 0, NULL);
    } else {
        transom_responder_send_file(responder, status_code, fields, status_code == 206 ? 4 : 3, fd, offset, length, NULL);
        transom_responder_free(responder); /* a 500 if the file has become shorter */
    }
}

int main(int argc, char **argv)
{
    stop_signals stop = block_stop_signals();
    transom_server *server = transom_server_new();
    transom_route *put = transom_route_new("PUT", "/{name}", upload, NULL, NULL);

    transom_route_set_streaming(put, true);
    transom_route_set_body_limit(put, UINT64_C(1) << 30);
    transom_route_set_timeout(put, 60 * 60 * 1000);
    transom_server_add(server, put, NULL);
    transom_server_route(server, "GET", "/{name}", download, NULL, NULL, NULL);
    start(server, argc, argv);

    wait_for_stop(&stop);
    transom_server_free(server);
    return 0;
}
