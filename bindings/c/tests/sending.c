/* Responses with a length known in advance, early hints, and trailers, in each model and for pulled requests. */
#include "common.h"

static const transom_field LINK = TRANSOM_FIELD("link", "</style.css>; rel=preload");

static void bytes(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_error *error = NULL;
    CHECK_STATUS(transom_responder_send_bytes(responder, 99, "image/png", "x", 1, &error), TRANSOM_BAD_STATUS_CODE);
    transom_error_free(error);
    CHECK_STATUS(transom_responder_send_bytes(responder, 200, "a\nb", "x", 1, &error), TRANSOM_BAD_HEADER);
    CHECK(strstr(transom_error_message(error), "content-type") != NULL);
    transom_error_free(error);
    CHECK_STATUS(transom_responder_send_bytes(responder, 200, "\xff", "x", 1, NULL), TRANSOM_NOT_UTF8);
    OK(transom_responder_send_bytes(responder, 201, "image/png", "\x89PNG\0", 5, &error));
    CHECK(error == NULL);
    CHECK_STATUS(transom_responder_send_bytes(responder, 201, "a/b", "x", 1, NULL), TRANSOM_ALREADY_ANSWERED);
}

static void sized(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    const transom_field length = TRANSOM_FIELD("content-length", "5");
    transom_error *error = NULL;
    transom_writer *writer = NULL;
    bool short_of_it = transom_request_query_value(request, "short", 0).data != NULL;
    CHECK_STATUS(transom_responder_start_sized(responder, 200, &length, 1, 5, &writer, &error), TRANSOM_BAD_HEADER);
    CHECK(writer == NULL && strstr(transom_error_message(error), "the length of the body was given") != NULL);
    transom_error_free(error);
    OK(transom_responder_start_sized(responder, 200, &LINK, 1, 5, &writer, NULL));
    OK(transom_writer_write(writer, "hell", 4, 0));
    if (transom_bytes_equal(transom_request_method(request), "HEAD")) {
        OK(transom_writer_finish(writer)); /* nothing of the body is sent */
        return;
    }
    CHECK_STATUS(transom_writer_write(writer, "o!", 2, 0), TRANSOM_BODY_TOO_LONG);
    if (short_of_it) {
        CHECK_STATUS(transom_writer_finish(writer), TRANSOM_BODY_TOO_SHORT);
    } else {
        OK(transom_writer_write(writer, "o", 1, 0));
        OK(transom_writer_finish(writer));
    }
}

/* Sends hints twice before the response. */
static void hint(transom_responder *responder)
{
    const transom_field fields[] = {LINK, TRANSOM_FIELD("x-hint", "2")}, malformed = TRANSOM_FIELD("x y", "1");
    transom_error *error = NULL;
    OK(transom_responder_early_hints(responder, fields, 1, &error));
    CHECK(error == NULL);
    CHECK_STATUS(transom_responder_early_hints(responder, &malformed, 1, &error), TRANSOM_BAD_HEADER);
    CHECK(strstr(transom_error_message(error), "x y") != NULL);
    transom_error_free(error);
    OK(transom_responder_early_hints(responder, fields, 2, NULL));
    OK(transom_responder_send_text(responder, 200, "hinted"));
    CHECK_STATUS(transom_responder_early_hints(responder, fields, 1, NULL), TRANSOM_ALREADY_ANSWERED);
}

static void hints(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    hint(responder);
}

static void trailers(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    const transom_field announced = TRANSOM_FIELD("Trailer", "x-sum"), malformed = TRANSOM_FIELD("x-sum", "a\nb");
    const transom_field sum[] = {TRANSOM_FIELD("x-sum", "532"), TRANSOM_FIELD("x-time", "7"), TRANSOM_FIELD("set-cookie", "a=1")};
    transom_error *error = NULL;
    transom_writer *writer;
    OK(transom_responder_start(responder, 200, &announced, 1, &writer, NULL));
    OK(transom_writer_write(writer, "hello", 5, 0));
    CHECK_STATUS(transom_writer_finish_with(writer, &malformed, 1, &error), TRANSOM_BAD_HEADER);
    transom_error_free(error);
    OK(transom_writer_write(writer, "!", 1, 0));
    OK(transom_writer_finish_with(writer, sum, 3, NULL));
    CHECK_STATUS(transom_writer_finish_with(writer, sum, 3, NULL), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_writer_finish(writer), TRANSOM_ALREADY_ANSWERED);
}

static int times(const char *text, const char *part)
{
    int count = 0;
    while ((text = strstr(text, part)) != NULL)
        text += strlen(part), count++;
    return count;
}

static void check_hints(const struct reply *reply)
{
    const char *final = strstr(reply->text, "HTTP/1.1 200");
    CHECK(reply->status == 103 && final != NULL && strstr(final, "hinted") != NULL);
    CHECK(times(reply->text, "HTTP/1.1 103 Early Hints\r\n") == 2 && times(reply->text, "x-hint: 2\r\n") == 1);
    CHECK(times(reply->text, "link: </style.css>; rel=preload\r\n") == 2 && strstr(final, "link") == NULL);
}

static void serve(const char *model)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    const transom_request *request;
    transom_responder *responder;
    uint16_t port;
    int fd;

    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_route(server, "GET", "/bytes", bytes, NULL, NULL, NULL));
    OK(transom_server_route(server, "*", "/sized", sized, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/hints", hints, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/trailers", trailers, NULL, NULL, NULL));
    OK(transom_server_add(server, transom_route_new_pull("GET", "/pulled", 1), NULL));
    port = start(server);

    CHECK(get(port, "/bytes", &reply) == 201 && memcmp(reply.body, "\x89PNG\0", 5) == 0);
    CHECK(strstr(reply.text, "content-type: image/png\r\n") && strstr(reply.text, "content-length: 5\r\n"));

    CHECK(get(port, "/sized", &reply) == 200 && strcmp(reply.body, "hello") == 0);
    CHECK(strstr(reply.text, "content-length: 5\r\n") && strstr(reply.text, "link: ") && !strstr(reply.text, "chunked"));
    CHECK(get(port, "/sized?short", &reply) == 200 && strcmp(reply.body, "hell") == 0);
    fd = connect_to(port);
    ask(fd, "HEAD", "/sized");
    hear(fd, &reply);
    CHECK(reply.status == 200 && strstr(reply.text, "content-length: 5\r\n") && *reply.body == '\0');

    get(port, "/hints", &reply);
    check_hints(&reply);
    fd = connect_to(port);
    ask(fd, "GET", "/pulled");
    OK(transom_server_next(server, &request, &responder, NULL, PATIENCE_MS));
    hint(responder);
    hear(fd, &reply);
    check_hints(&reply);
    fd = connect_to(port);
    say(fd, "GET /hints HTTP/1.0\r\nHost: test\r\n\r\n");
    hear(fd, &reply);
    CHECK(reply.status == 200 && times(reply.text, "103") == 0);

    CHECK(get(port, "/trailers", &reply) == 200 && strstr(reply.text, "Trailer: x-sum\r\n"));
    CHECK(strcmp(reply.body, "5\r\nhello\r\n1\r\n!\r\n0\r\nx-sum: 532\r\nx-time: 7\r\n\r\n") == 0 ||
          strcmp(reply.body, "6\r\nhello!\r\n0\r\nx-sum: 532\r\nx-time: 7\r\n\r\n") == 0);
    fd = connect_to(port);
    say(fd, "GET /trailers HTTP/1.0\r\nHost: test\r\n\r\n");
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "hello!") == 0);
    transom_server_free(server);
}

int main(void)
{
    serve("event");
    serve("threads");
    serve("sequential");
    return 0;
}
