/* The host words the answers that the server gives by itself. */
#include "common.h"

static atomic_int calls;

/* Sends JSON, or, for the path /plain, what the server would send. */
static void in_json(void *user_data, const transom_own_answer *answer, transom_response *response)
{
    char text[256];
    transom_field field;
    CHECK(user_data == &calls);
    CHECK(answer->size >= sizeof *answer && answer->reserved == 0);
    CHECK(memcmp(answer->peer.data, "127.0.0.1:", 10) == 0);
    CHECK(transom_response_status_code(response) == answer->status_code);
    CHECK(transom_response_body(response).len > 0);
    atomic_fetch_add(&calls, 1);
    if (is(answer->target, "/plain"))
        return;
    CHECK(is(transom_response_header(response, "Content-Type"), "text/plain; charset=utf-8"));
    snprintf(text, sizeof text, "{\"status\":%d,\"reason\":\"%s\",\"method\":\"%.*s\"}", answer->status_code,
             transom_reject_name(answer->reject), TRANSOM_PRINT(answer->method));
    OK(transom_response_set_body(response, text, TRANSOM_NUL_TERMINATED));
    CHECK(is(transom_response_body(response), text));
    OK(transom_response_set_header(response, "content-type", "application/json", TRANSOM_NUL_TERMINATED, NULL));
    OK(transom_response_add_header(response, "x-a", "1", 1, NULL));
    OK(transom_response_add_header(response, "x-a", "2", 1, NULL));
    CHECK(transom_response_header_count(response) == 3);
    OK(transom_response_header_at(response, 2, &field));
    CHECK(is(field.name, "x-a") && is(field.value, "2"));
    CHECK_STATUS(transom_response_header_at(response, 3, &field), TRANSOM_OUT_OF_RANGE);
    CHECK(field.name.data == NULL && field.value.data == NULL);
    OK(transom_response_set_header(response, "X-A", "3", 1, NULL));
    CHECK(transom_response_header_count(response) == 2);
    OK(transom_response_add_header(response, "x-b", "", 0, NULL));
    OK(transom_response_remove_header(response, "X-B"));
    OK(transom_response_remove_header(response, "x-none"));
    CHECK(transom_response_header(response, "x-b").data == NULL);
    if (answer->status_code == 404)
        OK(transom_response_set_status_code(response, 410));
}

/* What a response refuses leaves it unchanged. */
static void refused(void *user_data UNUSED, const transom_own_answer *answer UNUSED, transom_response *response)
{
    transom_error *error = NULL;
    OK(transom_response_set_header(response, "x-a", "kept", TRANSOM_NUL_TERMINATED, NULL));
    CHECK_STATUS(transom_response_set_header(response, "x-a", "b\r\nx-c: d", TRANSOM_NUL_TERMINATED, &error),
                 TRANSOM_BAD_HEADER);
    CHECK(strstr(transom_error_message(error), "x-a") != NULL);
    transom_error_free(error);
    CHECK_STATUS(transom_response_set_header(response, "x a", "b", 1, NULL), TRANSOM_BAD_HEADER);
    CHECK_STATUS(transom_response_set_header(response, "", "b", 1, NULL), TRANSOM_BAD_HEADER);
    CHECK_STATUS(transom_response_add_header(response, "transfer-encoding", "chunked", 7, NULL), TRANSOM_BAD_HEADER);
    CHECK_STATUS(transom_response_set_header(response, "\xff", "b", 1, NULL), TRANSOM_NOT_UTF8);
    CHECK_STATUS(transom_response_set_header(response, NULL, "b", 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_response_set_header(response, "x-a", NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_response_set_body(response, NULL, 1), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_response_set_status_code(response, 100), TRANSOM_BAD_STATUS_CODE);
    CHECK_STATUS(transom_response_set_status_code(response, 600), TRANSOM_BAD_STATUS_CODE);
    CHECK_STATUS(transom_response_header_at(response, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK(transom_response_header(response, NULL).data == NULL);
    CHECK(is(transom_response_header(response, "x-a"), "kept"));
    CHECK(transom_response_header_count(response) == 2);
}

static void give_up(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_responder_free(responder);
}

static int put(uint16_t port, const char *target, struct reply *reply)
{
    int fd = connect_to(port);
    ask(fd, "PUT", target);
    hear(fd, reply);
    return reply->status;
}

/* Bodies that are set before the start take the place of the server's texts. */
static void fixed_bodies(void)
{
    static const char page[] = "<h1>{status}</h1>";
    static const char detailed[] = "{\"status\":400,\"title\":\"Bad Request\",\"detail\":\"";
    static struct reply reply;
    transom_server *server = transom_server_new();
    transom_error *error = NULL;
    uint16_t port;
    int fd;

    OK(transom_server_route(server, "GET", "/hello", say_hello, NULL, NULL, NULL));
    OK(transom_server_set_own_body(server, 0, "application/json",
                                   "{\"status\":{status},\"title\":\"{reason}\"{?,\"detail\":\"{detail}\"?}}",
                                   TRANSOM_NUL_TERMINATED, NULL));
    OK(transom_server_set_own_body(server, 404, "text/plain", "none", TRANSOM_NUL_TERMINATED, NULL));
    OK(transom_server_set_own_body(server, 404, "text/html", page, sizeof page - 1, NULL)); /* replaces it */
    CHECK_STATUS(transom_server_set_own_body(server, 200, "a/b", "", 0, &error), TRANSOM_BAD_STATUS_CODE);
    CHECK(strstr(transom_error_message(error), "400 to 599, got 200") != NULL);
    transom_error_free(error);
    CHECK_STATUS(transom_server_set_own_body(server, 404, "a\r\nb: c", "", 0, NULL), TRANSOM_BAD_HEADER);
    CHECK_STATUS(transom_server_set_own_body(server, 404, "a/b", "\xff", 1, NULL), TRANSOM_NOT_UTF8);
    port = start(server);
    CHECK_STATUS(transom_server_set_own_body(server, 404, "a/b", "", 0, NULL), TRANSOM_ALREADY_STARTED);
    CHECK(get(port, "/none", &reply) == 404 && strcmp(reply.body, "<h1>404</h1>") == 0);
    CHECK(strstr(reply.text, "content-type: text/html\r\n") != NULL);
    CHECK(put(port, "/hello", &reply) == 405);
    CHECK(strcmp(reply.body, "{\"status\":405,\"title\":\"Method Not Allowed\"}") == 0);
    CHECK(strstr(reply.text, "allow: GET, HEAD\r\n") != NULL);
    fd = connect_to(port);
    say(fd, "GET / HTTP/1.1\r\n\r\n");
    hear(fd, &reply);
    CHECK(reply.status == 400);
    CHECK(strstr(reply.body, detailed) == reply.body && strstr(reply.body, "Host field") != NULL);
    CHECK(strcmp(reply.text + reply.length - 2, "\"}") == 0);
    transom_server_free(server);
}

int main(void)
{
    static struct reply reply;
    static atomic_int freed;
    transom_server *server = transom_server_new();
    uint16_t port;
    int fd;

    OK(transom_server_route(server, "GET", "/hello", say_hello, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/free", give_up, NULL, NULL, NULL));
    OK(transom_server_own_answers(server, in_json, NULL, NULL));
    OK(transom_server_own_answers(server, in_json, &calls, NULL)); /* replaces the first */
    port = start(server);
    CHECK_STATUS(transom_server_own_answers(server, in_json, &freed, count), TRANSOM_ALREADY_STARTED);
    CHECK(atomic_load(&freed) == 1);

    CHECK(get(port, "/hello", &reply) == 200 && strcmp(reply.body, "hello") == 0);
    CHECK(atomic_load(&calls) == 0);
    CHECK(get(port, "/none", &reply) == 410);
    CHECK(strcmp(reply.body, "{\"status\":404,\"reason\":\"\",\"method\":\"GET\"}") == 0);
    CHECK(strstr(reply.text, "content-type: application/json\r\n") != NULL);
    CHECK(strstr(reply.text, "X-A: 3\r\n") != NULL && strstr(reply.text, "text/plain") == NULL);
    CHECK(put(port, "/hello", &reply) == 405);
    CHECK(strcmp(reply.body, "{\"status\":405,\"reason\":\"\",\"method\":\"PUT\"}") == 0);
    CHECK(strstr(reply.text, "allow: GET, HEAD\r\n") != NULL);
    CHECK(get(port, "/free", &reply) == 500);
    CHECK(strcmp(reply.body, "{\"status\":500,\"reason\":\"\",\"method\":\"GET\"}") == 0);
    CHECK(get(port, "/plain", &reply) == 404);
    CHECK(strcmp(reply.body, "404 Not Found\n") == 0);
    fd = connect_to(port);
    say(fd, "GET / HTTP/1.1\r\n\r\n");
    hear(fd, &reply);
    CHECK(reply.status == 400);
    CHECK(strcmp(reply.body, "{\"status\":400,\"reason\":\"missing-host\",\"method\":\"\"}") == 0);
    CHECK(atomic_load(&calls) == 5);
    transom_server_free(server);

    server = transom_server_new();
    OK(transom_server_own_answers(server, refused, &freed, count));
    port = start(server);
    CHECK(get(port, "/none", &reply) == 404);
    CHECK(strstr(reply.text, "x-a: kept\r\n") != NULL);
    CHECK(atomic_load(&freed) == 1);
    transom_server_free(server);
    CHECK(atomic_load(&freed) == 2);

    fixed_bodies();
    return 0;
}
