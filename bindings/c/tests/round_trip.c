/* A request and its response, with every function that reads a request. */
#include "common.h"

static void inspect(void *user_data, const transom_request *request, transom_responder *responder)
{
    const transom_field headers[] = {TRANSOM_FIELD("x-one", "1"), TRANSOM_FIELD("set-cookie", "a=1"),
                                     TRANSOM_FIELD("set-cookie", "b=2")};
    transom_field field;
    CHECK(strcmp(user_data, "data") == 0);
    CHECK(is(transom_request_method(request), "POST"));
    CHECK(is(transom_request_path(request), "/users/J%C3%BCrgen/a/b"));
    CHECK(is(transom_request_query(request), "x=1&y"));
    CHECK(is(transom_request_target(request), "/users/J%C3%BCrgen/a/b?x=1&y"));
    CHECK(is(transom_request_body(request), "the body"));
    CHECK(transom_request_version(request) == 11);
    CHECK(transom_request_peer(request).len > strlen("127.0.0.1:"));
    CHECK(memcmp(transom_request_peer(request).data, "127.0.0.1:", 10) == 0);
    CHECK(is(transom_request_raw_headers(request),
             "Host: test\r\nX-Twice: 1\r\nx-twice: 2\r\nContent-Length: 8\r\nConnection: close\r\n"));

    CHECK(is(transom_request_header(request, "X-TWICE"), "1"));
    CHECK(transom_request_header(request, "x-none").data == NULL);
    CHECK(transom_request_header_count(request) == 5);
    OK(transom_request_header_at(request, 2, &field));
    CHECK(is(field.name, "x-twice") && is(field.value, "2"));
    CHECK_STATUS(transom_request_header_at(request, 5, &field), TRANSOM_OUT_OF_RANGE);
    CHECK(field.name.data == NULL && field.value.data == NULL);

    CHECK(is(transom_request_param(request, "name"), "J\xc3\xbcrgen"));
    CHECK(is(transom_request_param(request, "rest"), "a/b"));
    CHECK(transom_request_param(request, "none").data == NULL);
    CHECK(transom_request_param_count(request) == 2);
    OK(transom_request_param_at(request, 1, &field));
    CHECK(is(field.name, "rest") && is(field.value, "a/b"));
    CHECK_STATUS(transom_request_param_at(request, 2, &field), TRANSOM_OUT_OF_RANGE);

    CHECK(!transom_responder_is_gone(responder));
    OK(transom_responder_send(responder, 201, headers, 3, "made\n", TRANSOM_NUL_TERMINATED, NULL));
    /* The request is still valid, because the handler has not returned. */
    CHECK(is(transom_request_body(request), "the body"));
}

static void bare(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    CHECK(transom_request_query(request).data == NULL);
    CHECK(transom_request_body(request).data != NULL && transom_request_body(request).len == 0);
    CHECK(transom_request_version(request) == 10);
    CHECK(transom_request_param_count(request) == 0);
    OK(transom_responder_send_text(responder, 200, "gr\xc3\xbc\xc3\x9f dich"));
}

/* Returns whether `bytes` equal the text. */
static int are(transom_bytes bytes, const char *data, size_t len)
{
    return bytes.data != NULL && bytes.len == len && memcmp(bytes.data, data, len) == 0;
}

static const char *const FOREIGN[] = {"\xff", "\xfe", "\xc3", "a/\0b", "\xc3\xa9\xff%FF"};
static const size_t FOREIGN_LEN[] = {1, 1, 1, 4, 6};
static const char FOREIGN_TARGET[] = "/caf%C3%A9/%FF/%fe/%C3/a%2F%00b/%C3%A9%FF%25FF";

/* Parameters are percent-decoded to any bytes. */
static void decoded(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_field param;
    size_t i;
    for (i = 0; i < 5; i++) {
        const char letter[] = {(char)('a' + i), '\0'};
        CHECK(are(transom_request_param(request, letter), FOREIGN[i], FOREIGN_LEN[i]));
        OK(transom_request_param_at(request, i, &param));
        CHECK(is(param.name, letter) && are(param.value, FOREIGN[i], FOREIGN_LEN[i]));
    }
    OK(transom_responder_send_text(responder, 200, "decoded"));
}

/* The same in a packed record. */
static void pull_decoded(uint16_t port, transom_server *server)
{
    static _Alignas(8) uint8_t buf[4096];
    static struct reply reply;
    uint32_t part_len[6], count, i;
    uint64_t token;
    size_t len;
    const uint8_t *at = buf + 56;
    int fd = connect_to(port);
    ask(fd, "POST", FOREIGN_TARGET);
    OK(transom_server_next_batch(server, buf, sizeof buf, 1, PATIENCE_MS, &count, &len));
    memcpy(part_len, buf + 16, sizeof part_len);
    for (i = 0; i < 6; i++)
        at += part_len[i];
    for (i = 0; i < 5; i++) {
        uint32_t pair[2];
        transom_bytes value;
        memcpy(pair, at, sizeof pair);
        value.data = at + sizeof pair + pair[0];
        value.len = pair[1];
        CHECK(are(value, FOREIGN[i], FOREIGN_LEN[i]));
        at = value.data + value.len;
    }
    memcpy(&token, buf + 8, sizeof token);
    OK(transom_responder_send_text(transom_token_responder(token), 200, "decoded"));
    hear(fd, &reply);
    CHECK(reply.status == 200);
}

int main(void)
{
    static struct reply reply;
    char version[32];
    char data[] = "data";
    transom_server *server = transom_server_new();
    uint16_t port;
    int fd, i;

    CHECK(transom_abi_version() == TRANSOM_ABI_VERSION);
    snprintf(version, sizeof version, "%d.%d.%d", TRANSOM_VERSION_MAJOR, TRANSOM_VERSION_MINOR, TRANSOM_VERSION_PATCH);
    CHECK(strcmp(transom_version(), version) == 0);
    CHECK(transom_has_feature("pull") && !transom_has_feature("teapot") && !transom_has_feature(NULL));
    CHECK(strcmp(transom_status_text(TRANSOM_OK), "success") == 0);
    CHECK(strcmp(transom_status_text(TRANSOM_NOT_UTF8), "not UTF-8") == 0);
    CHECK(strcmp(transom_status_text(1), transom_status_text(INT32_MIN)) == 0);
    CHECK(strcmp(transom_status_text(-1000), "unknown status") == 0);

    OK(transom_server_route(server, "POST", "/users/{name}/{*rest}", inspect, data, NULL, NULL));
    OK(add_inline(server, NULL, "/bare", bare, NULL, NULL));
    OK(transom_server_route(server, "GET", "/hello", say_hello, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/caf\xc3\xa9/{a}/{b}/{c}/{d}/{e}", decoded, NULL, NULL, NULL));
    OK(transom_server_add(server, transom_route_new_pull("POST", "/caf\xc3\xa9/{a}/{b}/{c}/{d}/{e}", 1), NULL));
    port = start(server);

    for (i = 0; i < 2; i++) {
        fd = connect_to(port);
        say(fd, i == 0 ? "POST /users/J%C3%BCrgen/a/b?x=1&y HTTP/1.1\r\n"
                       : "POST /users/J\xc3\xbcrgen/a/b?x=1&y HTTP/1.1\r\n");
        say(fd, "Host: test\r\nX-Twice: 1\r\nx-twice: 2\r\n"
                "Content-Length: 8\r\nConnection: close\r\n\r\nthe body");
        hear(fd, &reply);
        CHECK(reply.status == 201);
        CHECK(strstr(reply.text, "x-one: 1\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n"));
        CHECK(strstr(reply.text, "content-length: 5\r\n"));
        CHECK(strcmp(reply.body, "made\n") == 0);
    }

    fd = connect_to(port);
    say(fd, "PROPFIND /bare HTTP/1.0\r\n\r\n");
    hear(fd, &reply);
    CHECK(reply.status == 200);
    CHECK(strstr(reply.text, "content-type: text/plain; charset=utf-8\r\n"));
    CHECK(strcmp(reply.body, "gr\xc3\xbc\xc3\x9f dich") == 0);

    CHECK(get(port, FOREIGN_TARGET, &reply) == 200);
    pull_decoded(port, server);

    CHECK(get(port, "/nowhere", &reply) == 404);
    fd = connect_to(port);
    ask(fd, "POST", "/hello");
    hear(fd, &reply);
    CHECK(reply.status == 405 && strstr(reply.text, "allow: GET, HEAD\r\n"));
    fd = connect_to(port);
    ask(fd, "HEAD", "/hello");
    hear(fd, &reply);
    CHECK(reply.status == 200 && *reply.body == '\0');

    transom_server_free(server);
    return 0;
}
