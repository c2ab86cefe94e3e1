/* Multipart forms, in memory and while they come: parts, limits, files, and what is left of an upload. */
#include "common.h"

#include <dirent.h>
#include <sys/stat.h>

static char folder[] = "multipart-XXXXXX";
static char kept[64];
/* The limit that a request is read with. */
static const char *limit;
static uint64_t most;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Answers with what the form has: one line for each part. */
static void list(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    char text[4096] = "", buf[7];
    transom_multipart *form;
    transom_part part;
    size_t len, at = 0;
    transom_status status = transom_multipart_new(request, &form);
    if (status != TRANSOM_OK) {
        CHECK(form == NULL);
        snprintf(text, sizeof text, "%d", status);
        OK(transom_responder_send_text(responder, status == TRANSOM_BAD_BODY ? 400 : 415, text));
        return;
    }
    CHECK(transom_multipart_error(form).data == NULL);
    pthread_mutex_lock(&lock);
    if (limit != NULL)
        OK(transom_multipart_set_limit(form, limit, most));
    pthread_mutex_unlock(&lock);
    while ((status = transom_multipart_next(form, PATIENCE_MS, &part)) == TRANSOM_OK && part.name.data != NULL) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%.*s/%.*s/%.*s=", (int)part.name.len, part.name.data,
                               (int)part.filename.len, part.filename.data, (int)part.content_type.len, part.content_type.data);
        while ((status = transom_multipart_read(form, buf, sizeof buf, PATIENCE_MS, &len)) == TRANSOM_OK && len > 0)
            at += (size_t)snprintf(text + at, sizeof text - at, "%.*s", (int)len, buf);
        at += (size_t)snprintf(text + at, sizeof text - at, "\n");
        if (status != TRANSOM_OK)
            break;
    }
    if (status != TRANSOM_OK) {
        transom_bytes said = transom_multipart_error(form);
        snprintf(text, sizeof text, "%d %.*s", status, (int)said.len, said.data);
        CHECK(transom_multipart_next(form, 0, &part) != TRANSOM_OK && part.name.data == NULL);
    }
    transom_multipart_free(form);
    OK(transom_responder_send_text(responder, status == TRANSOM_OK ? 200 : 400, text));
}

/* Saves the first part, and answers with its length. */
static void save(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    char text[64], two[2];
    transom_multipart *form;
    transom_part part;
    uint64_t length = 0;
    size_t len;
    transom_status status;
    OK(transom_multipart_new(request, &form));
    status = transom_multipart_next(form, PATIENCE_MS, &part);
    if (status == TRANSOM_OK)
        status = transom_multipart_read(form, two, sizeof two, PATIENCE_MS, &len);
    if (status == TRANSOM_OK) {
        CHECK(len == 2 && memcmp(two, "01", 2) == 0);
        status = transom_multipart_save(form, kept, &length);
    }
    /* The client that leaves may have left already. */
    CHECK(status == TRANSOM_OK || (status == TRANSOM_GONE && length == 0));
    snprintf(text, sizeof text, "%d %llu", status, (unsigned long long)length);
    if (status == TRANSOM_OK) {
        CHECK_STATUS(transom_multipart_save(form, "/nowhere/at/all", NULL), TRANSOM_IO);
        OK(transom_multipart_next(form, PATIENCE_MS, &part));
        CHECK(part.name.data == NULL);
    }
    transom_multipart_free(form);
    transom_responder_send_text(responder, 200, text);
}

/* Waits in turns: the times of a part that does not come. */
static void wait_for_it(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_multipart *form;
    transom_part part;
    transom_status status;
    OK(transom_multipart_new(request, &form));
    status = transom_multipart_next(form, 0, &part);
    CHECK(status == TRANSOM_WOULD_BLOCK || status == TRANSOM_OK);
    while (status != TRANSOM_OK) {
        CHECK(status == TRANSOM_TIMEOUT || status == TRANSOM_WOULD_BLOCK);
        status = transom_multipart_next(form, 1, &part);
    }
    CHECK(is(part.name, "late"));
    transom_multipart_free(form);
    OK(transom_responder_send_text(responder, 200, "late"));
}

static void wrong(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_multipart *form;
    transom_part part;
    char byte;
    size_t len;
    CHECK_STATUS(transom_multipart_new(NULL, &form), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_multipart_new(request, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_multipart_set_limit(NULL, "file", 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_multipart_next(NULL, 0, &part), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_multipart_read(NULL, &byte, 1, 0, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_multipart_save(NULL, "x", NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_multipart_error(NULL).data == NULL);
    transom_multipart_free(NULL);
    OK(transom_multipart_new(request, &form));
    CHECK_STATUS(transom_multipart_set_limit(form, "nothing", 1), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_multipart_set_limit(form, NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_multipart_next(form, -2, &part), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_multipart_next(form, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_multipart_read(form, &byte, 0, 0, &len), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_multipart_read(form, NULL, 1, 0, &len), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_multipart_read(form, &byte, 1, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_multipart_save(form, NULL, NULL), TRANSOM_NULL_ARGUMENT);
    transom_multipart_free(form);
    OK(transom_responder_send_text(responder, 200, "wrong"));
}

#define HEAD "--x\r\nContent-Disposition: form-data; name="
#define END "\r\n--x--\r\n"

static int open_form(uint16_t port, const char *path, const char *type, size_t length)
{
    char head[256];
    int fd = connect_to(port);
    snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
             path, type, length);
    say(fd, head);
    return fd;
}

static void post(uint16_t port, const char *path, const char *type, const char *body, int status, const char *expected)
{
    static struct reply reply;
    int fd = open_form(port, path, type, strlen(body));
    say(fd, body);
    hear(fd, &reply);
    if (reply.status != status || strcmp(reply.body, expected) != 0) {
        fprintf(stderr, "%s: %d %s, not %d %s\n", path, reply.status, reply.body, status, expected);
        exit(1);
    }
}

/* The number of files in the folder. */
static int files(void)
{
    int count = 0;
    DIR *open = opendir(folder);
    struct dirent *entry;
    CHECK(open != NULL);
    while ((entry = readdir(open)) != NULL)
        count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
    closedir(open);
    return count;
}

static const char TYPE[] = "multipart/form-data; boundary=x";

static void expect_limit(const char *name, uint64_t value)
{
    pthread_mutex_lock(&lock);
    limit = name;
    most = value;
    pthread_mutex_unlock(&lock);
}

static void check_forms(uint16_t port, const char *path)
{
    const char *form = HEAD "\"a\"\r\n\r\nhello\r\n" HEAD "\"f\"; filename=\"../f.txt\"\r\nContent-Type: text/html\r\n\r\n0123456789" END;
    /* Each limit at the largest value that refuses the form. */
    static const struct {
        const char *limit, *said;
        uint64_t most;
    } limits[] = {
        {"parts", "-27 the form has more than 1 parts", 1},
        {"files", "-27 the form has more than 0 files", 0},
        {"head", "-27 the header section of a part is larger than 85 bytes", 85},
        {"name", "-27 a name in the form is longer than 7 bytes", 7},
        {"field", "-27 a field of the form is larger than 4 bytes", 4},
        {"fields", "-27 the fields of the form are larger than 5 bytes", 5},
        {"file", "-27 a file of the form is larger than 9 bytes", 9},
    };
    static const char whole[] = "a//=hello\nf/f.txt/text/html=0123456789\n";
    size_t i;
    post(port, path, TYPE, form, 200, whole);
    for (i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        expect_limit(limits[i].limit, limits[i].most);
        post(port, path, TYPE, form, 400, limits[i].said);
        expect_limit(limits[i].limit, limits[i].most + 1);
        post(port, path, TYPE, form, 200, whole);
    }
    expect_limit(NULL, 0);
    post(port, path, TYPE, HEAD "\"a\"\r\n\r\nhello", 400, "-28 the form ends before its last boundary");
    post(port, path, TYPE, "", 400, "-28 the form ends before its last boundary");
    post(port, path, "text/plain", form, 415, "-2");
    post(port, path, "multipart/form-data", form, 400, "-28");
}

static void add(transom_server *server, const char *path, transom_handler_fn handler, bool streaming)
{
    transom_route *route = transom_route_new("POST", path, handler, NULL, NULL);
    OK(transom_route_set_streaming(route, streaming));
    OK(transom_server_add(server, route, NULL));
}

int main(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    struct stat about;
    uint16_t port;
    int fd;

    CHECK(transom_has_feature("forms") && mkdtemp(folder) != NULL);
    snprintf(kept, sizeof kept, "%s/kept", folder);
    add(server, "/list", list, false);
    add(server, "/list-stream", list, true);
    add(server, "/save", save, true);
    add(server, "/wait", wait_for_it, true);
    add(server, "/wrong", wrong, false);
    port = start(server);

    check_forms(port, "/list");
    check_forms(port, "/list-stream");
    post(port, "/wrong", TYPE, "", 200, "wrong");
    /* Twice: the second file takes the place of the first. */
    post(port, "/save", TYPE, HEAD "\"f\"\r\n\r\n0123456789" END, 200, "0 8");
    post(port, "/save", TYPE, HEAD "\"f\"\r\n\r\n01234" END, 200, "0 3");
    CHECK(stat(kept, &about) == 0 && about.st_size == 3 && files() == 1 && unlink(kept) == 0);
    /* A part that comes late. */
    fd = open_form(port, "/wait", TYPE, strlen(HEAD "\"late\"\r\n\r\n" END));
    pause_ms(20);
    say(fd, HEAD "\"late\"\r\n\r\n" END);
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "late") == 0);
    /* A client that leaves. */
    fd = open_form(port, "/save", TYPE, 100000);
    say(fd, HEAD "\"f\"\r\n\r\n0123456789");
    slam(fd);
    transom_server_free(server);
    CHECK(files() == 0 && rmdir(folder) == 0);
    return 0;
}
