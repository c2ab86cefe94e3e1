/* Cookies that a response sets, held to the rules of browsers, and signed ones. */
#include "common.h"

static const char KEY[] = "0123456789abcdef0123456789abcdef", OLD[] = "fedcba9876543210fedcba9876543210";
/* What Rust and Python make of the same key, name and value. */
#define SIGNED "ada.83b8b526c316d5b53998dffac13729b9d25378a51dbc8fb6b08e48eda1cb59a7"
static transom_signing_keys *keys;

static void is_field(const char *name, const char *value, const char *attributes, const char *expected)
{
    char field[512];
    size_t len;
    transom_error *error = NULL;
    transom_status status = transom_format_set_cookie(name, value, attributes, NULL, field, sizeof field, &len, &error);
    const char *got = status == TRANSOM_OK ? field : transom_error_message(error);
    if (strcmp(got, expected) != 0 || (status == TRANSOM_OK && len != strlen(expected))) {
        fprintf(stderr, "%s, not %s\n", got, expected);
        exit(1);
    }
    transom_error_free(error);
}

static void formatting(void)
{
    char field[8];
    size_t len;
    is_field("a", "b", NULL, "a=b; Path=/; HttpOnly; SameSite=Lax");
    is_field("a", "", "max-age = 60; Secure; samesite=None; domain=x.org; path=/y; httponly=no; partitioned",
             "a=; Max-Age=60; Path=/y; Domain=x.org; Secure; SameSite=None; Partitioned");
    is_field("a", "b", "Path=; SameSite=;;HttpOnly", "a=b; HttpOnly");
    is_field("a", "b", "Delete", "a=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax");
    is_field("__Host-a", "b", "Secure", "__Host-a=b; Path=/; Secure; HttpOnly; SameSite=Lax");
    is_field("__host-a", "b", NULL, "cookie \"__host-a\" needs Secure because of its name");
    is_field("__Host-a", "b", "Secure; Path=/x", "cookie \"__Host-a\" needs the path / and no domain because of its name");
    is_field("a", "b", "SameSite=None", "cookie \"a\" needs Secure because of SameSite=None");
    is_field("a b", "b", NULL, "cookie name \"a b\" is not a token");
    is_field("a", "b;c", NULL, "the value of cookie \"a\" has a character that is not allowed there");
    is_field("a", "b", "Max-Age=x", "\"Max-Age=x\" is no attribute of a cookie");
    is_field("a", "b", "Secure=no", "\"Secure=no\" is no attribute of a cookie");
    OK(transom_format_set_cookie("a", "b", NULL, NULL, field, sizeof field, &len, NULL));
    CHECK(len == 35 && strcmp(field, "a=b; Pa") == 0);
    OK(transom_format_set_cookie("a", "b", NULL, NULL, NULL, 0, &len, NULL));
    CHECK(len == 35);
    CHECK_STATUS(transom_format_set_cookie(NULL, "b", NULL, NULL, field, sizeof field, &len, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_format_set_cookie("a", NULL, NULL, NULL, field, sizeof field, &len, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_format_set_cookie("a", "b", NULL, NULL, NULL, 1, &len, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_format_set_cookie("a", "b", NULL, NULL, field, sizeof field, NULL, NULL), TRANSOM_NULL_ARGUMENT);
}

static void who(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    transom_bytes user = transom_request_signed_cookie(request, "user", keys);
    char text[64];
    CHECK(transom_request_signed_cookie(NULL, "user", keys).data == NULL);
    CHECK(transom_request_signed_cookie(request, NULL, keys).data == NULL);
    CHECK(transom_request_signed_cookie(request, "user", NULL).data == NULL);
    snprintf(text, sizeof text, "%.*s", user.data == NULL ? 6 : (int)user.len, user.data == NULL ? "nobody" : (const char *)user.data);
    OK(transom_responder_send_text(responder, 200, text));
}

static void ask_with(uint16_t port, const char *cookie, const char *expected)
{
    static struct reply reply;
    char head[512];
    int fd = connect_to(port);
    snprintf(head, sizeof head, "GET /who HTTP/1.1\r\nHost: test\r\nConnection: close\r\nCookie: %s\r\n\r\n", cookie);
    say(fd, head);
    hear(fd, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, expected) == 0);
}

/* A value that `by` has signed, as a client sends it back. */
static const char *signed_by(const transom_signing_keys *by)
{
    static char field[256];
    size_t len;
    OK(transom_format_set_cookie("user", "ada", "Path=; SameSite=; HttpOnly=no", by, field, sizeof field, &len, NULL));
    return field;
}

int main(void)
{
    transom_signing_keys *old, *none;
    transom_server *server = transom_server_new();
    char changed[256];
    uint16_t port;
    size_t len;

    formatting();
    CHECK_STATUS(transom_signing_keys_new(KEY, 31, &none), TRANSOM_INVALID_ARGUMENT);
    CHECK(none == NULL);
    CHECK_STATUS(transom_signing_keys_new(NULL, 32, &none), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_signing_keys_new(KEY, 32, NULL), TRANSOM_NULL_ARGUMENT);
    OK(transom_signing_keys_new(KEY, 32, &keys));
    OK(transom_signing_keys_new(OLD, 32, &old));
    CHECK_STATUS(transom_signing_keys_add_old(keys, OLD, 31), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_signing_keys_add_old(NULL, OLD, 32), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_signing_keys_add_old(keys, NULL, 32), TRANSOM_NULL_ARGUMENT);
    CHECK(strcmp(signed_by(keys), "user=" SIGNED) == 0);
    OK(transom_server_route(server, "GET", "/who", who, NULL, NULL, NULL));
    port = start(server);
    ask_with(port, signed_by(keys), "ada");
    ask_with(port, signed_by(old), "nobody");
    OK(transom_signing_keys_add_old(keys, OLD, 32));
    ask_with(port, signed_by(old), "ada");
    snprintf(changed, sizeof changed, "%s", signed_by(keys));
    changed[5] = 'A';
    ask_with(port, changed, "nobody");
    ask_with(port, "user=ada", "nobody");
    transom_server_free(server);
    transom_signing_keys_free(keys);
    transom_signing_keys_free(keys);
    transom_signing_keys_free(old);
    transom_signing_keys_free(NULL);
    CHECK_STATUS(transom_format_set_cookie("a", "b", NULL, keys, NULL, 0, &len, NULL), TRANSOM_ALREADY_ANSWERED);
    return 0;
}
