/* One message for many WebSocket connections, and members that read too slowly. */
#include "websocket.h"

#define MEMBERS 5
#define QUEUE 100000

static transom_websocket_upgrade *settings;
static transom_websocket *_Atomic kept;

static void keep(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_websocket *socket;
    OK(transom_responder_accept_websocket(responder, settings, NULL, 0, &socket, NULL));
    atomic_store(&kept, socket);
}

/* Opens a connection, and stores the server's side of it. */
static int join(uint16_t port, transom_websocket **socket)
{
    int fd = open_websocket(port, "/");
    EVENTUALLY(kept != NULL);
    *socket = atomic_exchange(&kept, NULL);
    return fd;
}

/* Sends until the member has no room, because its client does not read. Returns the number of messages. */
static int flood(transom_broadcast *room, transom_websocket *socket)
{
    static const char filler[60000];
    size_t reached = 1;
    int rounds = 0, sent = 0;
    while (rounds < FULL_ROUNDS && !transom_websocket_is_closed(socket)) {
        OK(transom_broadcast_send(room, TRANSOM_WEBSOCKET_BINARY, filler, sizeof filler, &reached));
        sent++;
        rounds = transom_websocket_queued(socket) < QUEUE ? 0 : rounds + 1;
        if (rounds > 0)
            pause_ms(10);
    }
    return sent;
}

static void all_get_it(uint16_t port)
{
    transom_websocket *sockets[MEMBERS];
    transom_broadcast *room, *none = (transom_broadcast *)1;
    size_t reached = 9;
    int fds[MEMBERS], i;
    OK(transom_broadcast_new(TRANSOM_SLOW_READER_DROP, &room));
    CHECK_STATUS(transom_broadcast_new(3, &none), TRANSOM_INVALID_ARGUMENT);
    CHECK(none == NULL);
    CHECK_STATUS(transom_broadcast_new(-1, NULL), TRANSOM_NULL_ARGUMENT);
    OK(transom_broadcast_send(room, TRANSOM_WEBSOCKET_TEXT, "nobody", 6, &reached));
    CHECK(reached == 0);
    for (i = 0; i < MEMBERS; i++) {
        fds[i] = join(port, &sockets[i]);
        OK(transom_broadcast_add(room, sockets[i]));
        OK(transom_broadcast_add(room, sockets[i]));
    }
    CHECK(transom_broadcast_count(room) == MEMBERS);
    OK(transom_broadcast_send(room, TRANSOM_WEBSOCKET_TEXT, "all", TRANSOM_NUL_TERMINATED, &reached));
    CHECK(reached == MEMBERS);
    OK(transom_broadcast_remove(room, sockets[0]));
    OK(transom_broadcast_remove(room, sockets[0]));
    CHECK_STATUS(transom_broadcast_send(room, TRANSOM_WEBSOCKET_TEXT, "\xff", 1, &reached), TRANSOM_NOT_UTF8);
    CHECK_STATUS(transom_broadcast_send(room, 3, "x", 1, &reached), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_broadcast_send(room, TRANSOM_WEBSOCKET_TEXT, NULL, 1, &reached), TRANSOM_NULL_ARGUMENT);
    CHECK(reached == 0);
    OK(transom_broadcast_send(room, TRANSOM_WEBSOCKET_TEXT, "but one", 7, NULL));
    for (i = 0; i < MEMBERS; i++) {
        expect_text(fds[i], "all");
        if (i > 0)
            expect_text(fds[i], "but one");
        transom_websocket_free(sockets[i]);
        end_websocket(fds[i], 1000);
        CHECK_STATUS(transom_broadcast_add(room, sockets[i]), TRANSOM_ALREADY_ANSWERED);
        CHECK_STATUS(transom_broadcast_remove(room, sockets[i]), TRANSOM_ALREADY_ANSWERED);
    }
    CHECK(transom_broadcast_count(room) == 0);
    CHECK_STATUS(transom_broadcast_add(room, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_broadcast_remove(room, NULL), TRANSOM_NULL_ARGUMENT);
    transom_broadcast_free(room);
    CHECK_STATUS(transom_broadcast_add(room, sockets[0]), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_broadcast_send(room, TRANSOM_WEBSOCKET_TEXT, "x", 1, &reached), TRANSOM_ALREADY_ANSWERED);
    CHECK(transom_broadcast_count(room) == 0 && transom_broadcast_count(NULL) == 0);
    CHECK_STATUS(transom_broadcast_add(NULL, sockets[0]), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_broadcast_remove(NULL, sockets[0]), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_broadcast_send(NULL, TRANSOM_WEBSOCKET_TEXT, "x", 1, NULL), TRANSOM_NULL_ARGUMENT);
    transom_broadcast_free(room);
    transom_broadcast_free(NULL);
}

/* A member that does not read misses messages, or all but the newest, or is closed. */
static void slow_readers(uint16_t port)
{
    static struct frame frame;
    const int choices[] = {TRANSOM_SLOW_READER_DROP, TRANSOM_SLOW_READER_COALESCE, TRANSOM_SLOW_READER_CLOSE};
    size_t i, reached;
    for (i = 0; i < 3; i++) {
        transom_broadcast *room;
        transom_websocket *socket;
        int fd = join(port, &socket), sent, got = 0;
        OK(transom_broadcast_new(choices[i], &room));
        OK(transom_broadcast_add(room, socket));
        sent = flood(room, socket);
        OK(transom_broadcast_send(room, TRANSOM_WEBSOCKET_TEXT, "newest", 6, &reached));
        CHECK(reached == (choices[i] == TRANSOM_SLOW_READER_COALESCE));
        CHECK(transom_broadcast_count(room) == (choices[i] != TRANSOM_SLOW_READER_CLOSE));
        if (choices[i] == TRANSOM_SLOW_READER_DROP)
            OK(transom_websocket_close(socket, 1000, NULL));
        do {
            CHECK(hear_frame(fd, &frame));
            got += frame.opcode == BINARY;
        } while (frame.opcode == BINARY);
        CHECK(got > 0 && got < sent);
        if (choices[i] == TRANSOM_SLOW_READER_COALESCE)
            CHECK(frame.opcode == TEXT && strcmp(frame.payload, "newest") == 0);
        else
            CHECK(frame.opcode == CLOSE && (uint8_t)frame.payload[1] == (i == 0 ? 1000 : 1008) % 256);
        transom_broadcast_free(room);
        transom_websocket_free(socket);
        close(fd);
    }
}

int main(void)
{
    transom_server *server = transom_server_new();
    uint16_t port;
    settings = transom_websocket_upgrade_new();
    OK(transom_websocket_upgrade_set(settings, TRANSOM_WEBSOCKET_QUEUE_LIMIT, QUEUE));
    OK(transom_server_route(server, "GET", "/", keep, NULL, NULL, NULL));
    port = start(server);
    all_get_it(port);
    slow_readers(port);
    transom_websocket_upgrade_free(settings);
    OK(transom_server_stop(server, 0));
    transom_server_free(server);
    return 0;
}
