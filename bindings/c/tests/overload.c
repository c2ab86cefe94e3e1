/* Every overload gets the same response. */
#include "common.h"

static atomic_int begun, released;

static void hold(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    atomic_fetch_add(&begun, 1);
    while (!atomic_load(&released))
        pause_ms(5);
    transom_responder_send_text(responder, 200, "held");
}

static void expect_overload(struct reply *reply)
{
    CHECK(reply->status == 503);
    CHECK(strstr(reply->text, "\r\nretry-after: 1\r\n") != NULL);
    CHECK(strstr(reply->text, "\r\ncontent-type: text/plain; charset=utf-8\r\n") != NULL);
    CHECK(strcmp(reply->body, "503 Service Unavailable\n") == 0);
}

/* Opens a connection that stays open after its response. Returns a negative number if there is no room yet. */
static int stay(uint16_t port)
{
    char text[1024] = "";
    size_t length = 0;
    int fd = connect_to(port);
    ssize_t n;

    say(fd, "GET /pull HTTP/1.1\r\nHost: h\r\n\r\n");
    while (length < sizeof text - 1 && (n = receive(fd, text + length, sizeof text - 1 - length, 0)) > 0) {
        length += (size_t)n;
        text[length] = '\0';
        if (strstr(text, "Unavailable\n") != NULL)
            break;
    }
    /* A connection that is refused may end before its answer is read. */
    if (strstr(text, "Unavailable\n") != NULL && strstr(text, "connection: close") == NULL)
        return fd;
    close(fd);
    return -1;
}

int main(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    uint16_t port;
    int holding, idle = -1;

    OK(transom_server_set_limit(server, "pool_threads", 1, NULL));
    OK(transom_server_set_limit(server, "pool_queue", 0, NULL));
    OK(transom_server_set_limit(server, "connections", 2, NULL));
    OK(transom_server_route(server, "GET", "/hold", hold, NULL, NULL, NULL));
    OK(transom_server_add(server, transom_route_new_pull("GET", "/pull", 1), NULL));
    port = start(server);
    holding = connect_to(port);
    ask(holding, "GET", "/hold");
    EVENTUALLY(atomic_load(&begun) == 1);

    /* The pool has no free thread, and its queue has no room. */
    get(port, "/hold", &reply);
    expect_overload(&reply);
    /* The pull queue has no room. */
    get(port, "/pull", &reply);
    expect_overload(&reply);
    /* The limit "connections" is reached. */
    EVENTUALLY(idle >= 0 || (idle = stay(port)) >= 0);
    hear(connect_to(port), &reply);
    expect_overload(&reply);

    atomic_store(&released, 1);
    hear(holding, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "held") == 0);
    close(idle);
    transom_server_free(server);
    return 0;
}
