/* Reading requests by name: the query, forms, cookies, all fields at once; decoding and comparing. */
#include "common.h"

static void decoding(void)
{
    char out[16], text[] = "/a%20b%2Fc%", *large;
    memset(out, 'x', sizeof out);
    CHECK(transom_percent_decode("%41+%zz%4", TRANSOM_NUL_TERMINATED, out, sizeof out) == 7 && strcmp(out, "A+%zz%4") == 0);
    CHECK(transom_percent_decode("%00%ff", 6, out, sizeof out) == 2 && memcmp(out, "\0\xff", 3) == 0);
    CHECK(transom_percent_decode("%41%42", 5, out, sizeof out) == 3 && strcmp(out, "A%4") == 0);
    CHECK(transom_percent_decode("%41%42%43", 9, out, 3) == 3 && strcmp(out, "AB") == 0);
    CHECK(transom_percent_decode("%41%42", 6, out, 1) == 2 && out[0] == '\0');
    CHECK(transom_percent_decode("%41%42", 6, NULL, 0) == 2);
    CHECK(transom_percent_decode("", 0, out, sizeof out) == 0 && out[0] == '\0');
    /* In its own place. */
    CHECK(transom_percent_decode(text, strlen(text), text, sizeof text) == 7 && strcmp(text, "/a b/c%") == 0);
    /* The memory ends after what is decoded. */
    large = malloc(2);
    memcpy(large, "%4", 2);
    CHECK(transom_percent_decode(large, 2, out, sizeof out) == 2 && strcmp(out, "%4") == 0);
    free(large);
}

static void comparing(void)
{
    const transom_bytes text = TRANSOM_TEXT("Keep-Alive"), nul = {(const uint8_t *)"a\0b", 3}, empty = {(const uint8_t *)"", 0},
                        absent = {NULL, 0};
    CHECK(transom_bytes_equal(text, "Keep-Alive") && !transom_bytes_equal(text, "keep-alive"));
    CHECK(transom_bytes_equal_ignore_case(text, "keep-alivE") && !transom_bytes_equal_ignore_case(text, "keep-alive "));
    CHECK(!transom_bytes_equal(nul, "a") && transom_bytes_equal(empty, ""));
    CHECK(!transom_bytes_equal(absent, "") && !transom_bytes_equal(text, NULL));
}

/* Checks a field of the list. */
static void field_is(const transom_field *field, const char *name, const char *value)
{
    CHECK(transom_bytes_equal(field->name, name) && transom_bytes_equal(field->value, value));
}

static void query(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_field fields[8];
    transom_bytes first = transom_request_query_value(request, "a", 0), encoded = transom_request_query(request);
    size_t count = 9;
    CHECK(transom_bytes_equal(first, "1 2"));
    CHECK(first.data == transom_request_query_value(request, "a", 0).data);
    CHECK(transom_bytes_equal(transom_request_query_value(request, "a", 1), "="));
    CHECK(transom_bytes_equal(transom_request_query_value(request, "b&", 0), "%zz"));
    CHECK(transom_bytes_equal(transom_request_query_value(request, "flag", 0), ""));
    CHECK(transom_request_query_value(request, "a", 2).data == NULL);
    CHECK(transom_request_query_value(request, "A", 0).data == NULL);
    CHECK(transom_request_query_value(request, "a", SIZE_MAX).data == NULL);
    CHECK(transom_request_query_value(request, "", 0).data == NULL);
    CHECK(transom_request_query_value(request, "\xff", 0).data == NULL);
    CHECK(transom_request_query_value(request, NULL, 0).data == NULL);
    OK(transom_request_query_fields(request, NULL, 0, &count));
    CHECK(count == 4);
    memset(fields, 0, sizeof fields);
    OK(transom_request_query_fields(request, fields, 2, &count));
    CHECK(count == 4 && fields[2].name.data == NULL);
    OK(transom_request_query_fields(request, fields, 8, &count));
    field_is(&fields[0], "a", "1 2");
    field_is(&fields[1], "b&", "%zz");
    field_is(&fields[2], "flag", "");
    field_is(&fields[3], "a", "=");
    CHECK_STATUS(transom_request_query_fields(request, NULL, 1, &count), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_request_query_fields(request, fields, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_request_form_fields(request, fields, 8, &count), TRANSOM_INVALID_ARGUMENT);
    CHECK(count == 0 && transom_request_form_value(request, "a", 0).data == NULL);
    CHECK(transom_bytes_equal(encoded, "a=1+2&b%26=%zz&flag&a=="));
    OK(transom_responder_send_text(responder, 200, "query"));
}

static void no_query(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    size_t count = 1;
    CHECK(transom_request_query_value(request, "a", 0).data == NULL);
    OK(transom_request_query_fields(request, NULL, 0, &count));
    CHECK(count == 0);
    OK(transom_responder_send_text(responder, 200, "none"));
}

static void form(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_bytes value = transom_request_form_value(request, "name", 0);
    char text[64];
    size_t count = 0, i;
    int status = transom_request_form_fields(request, NULL, 0, &count);
    transom_field *fields = malloc((count + 1) * sizeof *fields);
    if (status == TRANSOM_OK)
        OK(transom_request_form_fields(request, fields, count, &count));
    for (i = 0; i < count; i++)
        CHECK(fields[i].name.data != NULL && fields[i].value.data != NULL);
    free(fields);
    snprintf(text, sizeof text, "%d %zu %.*s", status, count, TRANSOM_PRINT(value));
    OK(transom_responder_send_text(responder, 200, text));
}

static void fields(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_field fields[16];
    size_t count = transom_request_headers(request, fields, 16), i;
    CHECK(count == transom_request_header_count(request) && count >= 5);
    CHECK(transom_request_headers(request, NULL, 0) == count && transom_request_headers(request, NULL, 1) == 0);
    for (i = 0; i < count; i++) {
        transom_field field;
        OK(transom_request_header_at(request, i, &field));
        CHECK(field.name.data == fields[i].name.data && field.value.len == fields[i].value.len);
    }
    field_is(&fields[0], "Host", "test");
    CHECK(transom_bytes_equal(transom_request_cookie(request, "session"), "a=b"));
    CHECK(transom_bytes_equal(transom_request_cookie(request, "theme"), "dark"));
    CHECK(transom_bytes_equal(transom_request_cookie(request, "empty"), ""));
    CHECK(transom_bytes_equal(transom_request_cookie(request, "quote"), "\""));
    CHECK(transom_bytes_equal(transom_request_cookie(request, "late"), "%20"));
    CHECK(transom_request_cookie(request, "Theme").data == NULL);
    CHECK(transom_request_cookie(request, "bare").data == NULL);
    CHECK(transom_request_cookie(request, "").data == NULL);
    CHECK(transom_request_cookie(request, NULL).data == NULL);
    CHECK(transom_request_trailers(request, fields, 16) == 1);
    field_is(&fields[0], "X-Sum", "7");
    OK(transom_responder_send_text(responder, 200, "fields"));
}

static const char FIELDS[] = "POST /fields HTTP/1.1\r\nHost: test\r\nConnection: close\r\nCookie: session=a=b; theme=\"dark\"; bare; =x;; empty=\r\n"
                             "Cookie:  quote=\" ;late=%20; theme=light\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "1\r\nx\r\n0\r\nX-Sum: 7\r\n\r\n";

static void send_form(uint16_t port, const char *type, const char *body, size_t length, const char *expected)
{
    static struct reply reply;
    char head[256];
    int fd = connect_to(port);
    snprintf(head, sizeof head, "POST /form HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", type, length);
    say(fd, head);
    CHECK(length == 0 || send(fd, body, length, MSG_NOSIGNAL) == (ssize_t)length);
    hear(fd, &reply);
    CHECK(reply.status == 200);
    if (strcmp(reply.body, expected) != 0) {
        fprintf(stderr, "%s: %s, not %s\n", type, reply.body, expected);
        exit(1);
    }
}

int main(void)
{
    static struct reply reply;
    static char many[200000];
    transom_server *server = transom_server_new();
    const char *urlencoded = "application/x-www-form-urlencoded";
    uint16_t port;
    size_t i;
    int fd;

    decoding();
    comparing();
    OK(transom_server_route(server, "GET", "/query", query, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/none", no_query, NULL, NULL, NULL));
    OK(transom_server_route(server, "POST", "/form", form, NULL, NULL, NULL));
    OK(transom_server_route(server, "POST", "/fields", fields, NULL, NULL, NULL));
    port = start(server);

    CHECK(get(port, "/query?a=1+2&b%26=%zz&flag&a==", &reply) == 200);
    CHECK(get(port, "/none", &reply) == 200);
    CHECK(get(port, "/none?", &reply) == 200);
    send_form(port, urlencoded, "name=J%C3%B8rgen+O%2", 20, "0 1 J\xc3\xb8rgen O%2");
    send_form(port, "Application/X-WWW-Form-Urlencoded ; charset=utf-8", "x=1&name=2&name=3", 17, "0 3 2");
    send_form(port, urlencoded, "", 0, "0 0 ");
    send_form(port, urlencoded, "\xff\0%00=\xff", 7, "0 1 ");
    send_form(port, "text/plain", "name=1", 6, "-2 0 ");
    send_form(port, "application/x-www-form-urlencoded-not", "name=1", 6, "-2 0 ");
    /* As many names as fit. */
    for (i = 0; i < sizeof many; i += 2)
        memcpy(many + i, i == 0 ? "+&" : "n&", 2);
    send_form(port, urlencoded, many, sizeof many, "0 100000 ");
    fd = connect_to(port);
    say(fd, FIELDS);
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "fields") == 0);
    transom_server_free(server);
    return 0;
}
