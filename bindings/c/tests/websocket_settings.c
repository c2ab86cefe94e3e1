/* The settings of WebSocket connections: each is set, tripped, and refused out of its range. */
#include "websocket.h"

static transom_websocket_upgrade *_Atomic settings;
static transom_websocket *_Atomic kept;
static uint16_t port;

static void keep(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_websocket *socket;
    int status = transom_responder_accept_websocket(responder, settings, NULL, 0, &socket, NULL);
    CHECK(status == TRANSOM_OK || status == TRANSOM_BAD_HANDSHAKE);
    atomic_store(&kept, socket);
}

static void set(int setting, int64_t value)
{
    OK(transom_websocket_upgrade_set(settings, setting, value));
}

/* Opens a connection with settings, of which one was set, and frees them. */
static int open_with(const char *more, char *head, size_t room, transom_websocket **socket)
{
    int fd;
    atomic_store(&settings, atomic_load(&settings)); /* what was set is seen by the handler */
    fd = ask_websocket(port, "/", more);
    hear_101(fd, head, room);
    EVENTUALLY(kept != NULL);
    *socket = atomic_exchange(&kept, NULL);
    transom_websocket_upgrade_free(settings);
    settings = transom_websocket_upgrade_new();
    return fd;
}

static int open_set(int setting, int64_t value, transom_websocket **socket)
{
    static char head[1024];
    set(setting, value);
    return open_with("", head, sizeof head, socket);
}

static void limits(void)
{
    static char payload[1001];
    transom_websocket *socket;
    transom_websocket_message *message;
    char frame[8] = {(char)(FIN | BINARY), (char)(0x80 | 126), 3, (char)0xe9, 0, 0, 0, 0};
    int fd = open_set(TRANSOM_WEBSOCKET_MESSAGE_LIMIT, 1000, &socket);
    say_frame(fd, FIN | BINARY, payload, 1000);
    OK(transom_websocket_receive(socket, PATIENCE_MS, &message));
    transom_websocket_message_free(message);
    /* What follows a message is answered once the host asks for more. */
    CHECK_STATUS(transom_websocket_receive(socket, 0, &message), TRANSOM_WOULD_BLOCK);
    say_frame(fd, BINARY, payload, 1000);
    say_frame(fd, FIN | CONTINUATION, payload, 1);
    CHECK(hear_close(fd) == 1009);
    CHECK_STATUS(transom_websocket_receive(socket, PATIENCE_MS, &message), TRANSOM_GONE);
    CHECK(transom_websocket_close_code(socket) == 1009);
    transom_websocket_free(socket);
    close(fd);

    /* The head of a frame is enough. */
    fd = open_set(TRANSOM_WEBSOCKET_FRAME_LIMIT, 1000, &socket);
    CHECK(send(fd, frame, sizeof frame, MSG_NOSIGNAL) == sizeof frame);
    CHECK(hear_close(fd) == 1009);
    transom_websocket_free(socket);
    close(fd);
}

static int send_binary(transom_websocket *socket, const void *data, size_t len, int64_t timeout_ms)
{
    return transom_websocket_send(socket, TRANSOM_WEBSOCKET_BINARY, data, len, timeout_ms);
}

static void queue_limit(void)
{
    transom_websocket *socket;
    int fd = open_set(TRANSOM_WEBSOCKET_QUEUE_LIMIT, 70000, &socket);
    FILL(send_binary, socket);
    /* A message of FILL is taken whole while less than the limit waits. */
    CHECK(transom_websocket_queued(socket) >= 70000 && transom_websocket_queued(socket) < 70000 + 65546);
    CHECK_STATUS(send_binary(socket, "x", 1, 0), TRANSOM_WOULD_BLOCK);
    CHECK_STATUS(send_binary(socket, "x", 1, 1), TRANSOM_TIMEOUT);
    slam(fd);
    transom_websocket_free(socket);
}

/* Returns the first byte of the frame with which a message of so many bytes is sent. */
static int first_byte(transom_websocket *socket, int fd, size_t length)
{
    static char payload[200];
    uint8_t bytes[256];
    OK(send_binary(socket, payload, length, 0));
    CHECK(hear_bytes(fd, bytes, 2) && bytes[1] < 126 && hear_bytes(fd, bytes + 2, bytes[1]));
    return bytes[0];
}

static void compression(void)
{
    static const char offer[] = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    transom_websocket *socket;
    char head[1024];
    int fd = open_with(offer, head, sizeof head, &socket);
    CHECK(strstr(head, "server_no_context_takeover") != NULL && transom_websocket_is_compressed(socket));
    CHECK(first_byte(socket, fd, 64) == (FIN | 0x40 | BINARY) && first_byte(socket, fd, 63) == (FIN | BINARY));
    transom_websocket_free(socket);
    end_websocket(fd, 1000);

    set(TRANSOM_WEBSOCKET_COMPRESS_FROM, 100);
    fd = open_with(offer, head, sizeof head, &socket);
    CHECK(first_byte(socket, fd, 100) == (FIN | 0x40 | BINARY) && first_byte(socket, fd, 99) == (FIN | BINARY));
    transom_websocket_free(socket);
    end_websocket(fd, 1000);

    set(TRANSOM_WEBSOCKET_CONTEXT_TAKEOVER, 1);
    fd = open_with(offer, head, sizeof head, &socket);
    CHECK(strstr(head, "permessage-deflate") != NULL && strstr(head, "server_no_context_takeover") == NULL);
    CHECK(first_byte(socket, fd, 64) == (FIN | 0x40 | BINARY));
    transom_websocket_free(socket);
    end_websocket(fd, 1000);

    set(TRANSOM_WEBSOCKET_CONTEXT_TAKEOVER, 1);
    set(TRANSOM_WEBSOCKET_COMPRESSION, 0);
    fd = open_with(offer, head, sizeof head, &socket);
    CHECK(strstr(head, "permessage-deflate") == NULL && !transom_websocket_is_compressed(socket));
    CHECK(first_byte(socket, fd, 100) == (FIN | BINARY));
    transom_websocket_free(socket);
    end_websocket(fd, 1000);
}

static void times(void)
{
    static struct frame frame;
    transom_websocket *socket;
    char byte;
    int fd;
    set(TRANSOM_WEBSOCKET_PING_INTERVAL_MS, 20);
    fd = open_set(TRANSOM_WEBSOCKET_PING_TIMEOUT_MS, 50, &socket);
    CHECK(hear_frame(fd, &frame) && frame.opcode == PING);
    say_frame(fd, FIN | PONG, frame.payload, frame.length);
    /* The next Ping gets no answer. */
    while (hear_frame(fd, &frame))
        CHECK(frame.opcode == PING);
    EVENTUALLY(transom_websocket_close_code(socket) == 1006);
    transom_websocket_free(socket);
    close(fd);

    /* Without Pings, the silence is borne: the client asks, and nothing else comes before the answer. */
    set(TRANSOM_WEBSOCKET_PING_TIMEOUT_MS, 1);
    fd = open_set(TRANSOM_WEBSOCKET_PING_INTERVAL_MS, TRANSOM_FOREVER, &socket);
    pause_ms(50);
    say_frame(fd, FIN | PING, "?", 1);
    CHECK(hear_frame(fd, &frame) && frame.opcode == PONG);
    transom_websocket_free(socket);
    end_websocket(fd, 1000);

    fd = open_set(TRANSOM_WEBSOCKET_CLOSE_TIMEOUT_MS, 50, &socket);
    OK(transom_websocket_close(socket, 1001, ""));
    CHECK(hear_close(fd) == 1001);
    /* The client does not answer. */
    EVENTUALLY(transom_websocket_close_code(socket) == 1006);
    CHECK(receive(fd, &byte, 1, 0) <= 0);
    transom_websocket_free(socket);
    close(fd);
}

/* A message of which a byte comes now and then. */
static void slow_message(void)
{
    transom_websocket *socket;
    int fd;
    set(TRANSOM_WEBSOCKET_MESSAGE_RATE, 1000000);
    fd = open_set(TRANSOM_WEBSOCKET_MESSAGE_TIMEOUT_MS, 50, &socket);
    say_frame(fd, TEXT, "be", 2);
    while (transom_websocket_close_code(socket) == 0) {
        pause_ms(5);
        say_frame(fd, CONTINUATION, "x", 1);
    }
    CHECK(transom_websocket_close_code(socket) == 1008);
    CHECK(hear_close(fd) == 1008);
    transom_websocket_free(socket);
    close(fd);
}

static void pieces(void)
{
    transom_websocket *socket;
    transom_websocket_message *message;
    int fd = open_set(TRANSOM_WEBSOCKET_IN_PIECES, 1, &socket);
    say_frame(fd, TEXT, "be\xc3", 3);
    OK(transom_websocket_receive(socket, PATIENCE_MS, &message));
    CHECK(!message->is_last && message->kind == TRANSOM_WEBSOCKET_TEXT && is(message->data, "be"));
    transom_websocket_message_free(message);
    say_frame(fd, FIN | CONTINUATION, "\xa9", 1);
    OK(transom_websocket_receive(socket, PATIENCE_MS, &message));
    CHECK(message->is_last && message->kind == TRANSOM_WEBSOCKET_TEXT && is(message->data, "\xc3\xa9"));
    transom_websocket_message_free(message);
    transom_websocket_free(socket);
    end_websocket(fd, 1000);
}

/* Returns the status of a handshake, which it ends. */
static int status_of(const char *more)
{
    static struct reply reply;
    int fd;
    atomic_store(&settings, atomic_load(&settings));
    fd = ask_websocket(port, "/", more);
    CHECK(shutdown(fd, SHUT_WR) == 0);
    hear(fd, &reply);
    transom_websocket_free(atomic_exchange(&kept, NULL));
    return reply.status;
}

static void pages_and_protocols(void)
{
    static const char elsewhere[] = "Connection: close\r\nOrigin: https://a.example\r\n";
    transom_websocket *socket;
    char head[1024], name[8];
    int fd;
    CHECK(status_of(elsewhere) == 403);
    OK(transom_websocket_upgrade_add_origin(settings, "https://b.example"));
    OK(transom_websocket_upgrade_add_origin(settings, "https://a.example"));
    CHECK(status_of(elsewhere) == 101);
    CHECK(status_of("Connection: close\r\nOrigin: https://c.example\r\n") == 403);
    set(TRANSOM_WEBSOCKET_ANY_ORIGIN, 1);
    CHECK(status_of("Connection: close\r\nOrigin: https://c.example\r\n") == 101);
    set(TRANSOM_WEBSOCKET_ANY_ORIGIN, 0);
    CHECK(status_of("Connection: close\r\nOrigin: https://c.example\r\n") == 403);

    OK(transom_websocket_upgrade_add_subprotocol(settings, "chat.v2"));
    OK(transom_websocket_upgrade_add_subprotocol(settings, "chat.v1"));
    fd = open_with("Sec-WebSocket-Protocol: other, chat.v1, chat.v2\r\n", head, sizeof head, &socket);
    CHECK(strstr(head, "sec-websocket-protocol: chat.v1\r\n") != NULL);
    CHECK(transom_websocket_subprotocol(socket, name, sizeof name) == 7 && strcmp(name, "chat.v1") == 0);
    transom_websocket_free(socket);
    end_websocket(fd, 1000);
}

static void out_of_range(void)
{
    transom_websocket_upgrade *freed = transom_websocket_upgrade_new();
    int setting;
    transom_websocket_upgrade_free(freed);
    CHECK_STATUS(transom_websocket_upgrade_set(settings, 0, 1), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_websocket_upgrade_set(settings, TRANSOM_WEBSOCKET_MESSAGE_TIMEOUT_MS + 1, 1), TRANSOM_INVALID_ARGUMENT);
    for (setting = TRANSOM_WEBSOCKET_MESSAGE_LIMIT; setting <= TRANSOM_WEBSOCKET_MESSAGE_TIMEOUT_MS; setting++) {
        int is_switch = setting == TRANSOM_WEBSOCKET_COMPRESSION || setting == TRANSOM_WEBSOCKET_CONTEXT_TAKEOVER ||
                        setting == TRANSOM_WEBSOCKET_IN_PIECES || setting == TRANSOM_WEBSOCKET_ANY_ORIGIN;
        int may_be_0 = is_switch || setting == TRANSOM_WEBSOCKET_COMPRESS_FROM ||
                       setting == TRANSOM_WEBSOCKET_MESSAGE_RATE;
        int may_be_forever = setting == TRANSOM_WEBSOCKET_PING_INTERVAL_MS || setting == TRANSOM_WEBSOCKET_MESSAGE_TIMEOUT_MS;
        set(setting, 1);
        CHECK(transom_websocket_upgrade_set(settings, setting, 2) == (is_switch ? TRANSOM_INVALID_ARGUMENT : TRANSOM_OK));
        CHECK(transom_websocket_upgrade_set(settings, setting, 0) == (may_be_0 ? TRANSOM_OK : TRANSOM_INVALID_ARGUMENT));
        CHECK(transom_websocket_upgrade_set(settings, setting, -1) == (may_be_forever ? TRANSOM_OK : TRANSOM_INVALID_ARGUMENT));
        CHECK_STATUS(transom_websocket_upgrade_set(settings, setting, -2), TRANSOM_INVALID_ARGUMENT);
        CHECK_STATUS(transom_websocket_upgrade_set(freed, setting, 1), TRANSOM_ALREADY_ANSWERED);
    }
    CHECK_STATUS(transom_websocket_upgrade_add_subprotocol(settings, "no token"), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_websocket_upgrade_add_subprotocol(settings, ""), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_websocket_upgrade_add_subprotocol(settings, "\xff"), TRANSOM_NOT_UTF8);
    CHECK_STATUS(transom_websocket_upgrade_add_subprotocol(freed, "a"), TRANSOM_ALREADY_ANSWERED);
    CHECK_STATUS(transom_websocket_upgrade_add_origin(settings, "\xff"), TRANSOM_NOT_UTF8);
    CHECK_STATUS(transom_websocket_upgrade_add_origin(freed, "a"), TRANSOM_ALREADY_ANSWERED);
}

int main(void)
{
    transom_server *server = transom_server_new();
    OK(transom_server_route(server, "GET", "/", keep, NULL, NULL, NULL));
    port = start(server);
    settings = transom_websocket_upgrade_new();
    limits();
    queue_limit();
    compression();
    times();
    slow_message();
    pieces();
    pages_and_protocols();
    out_of_range();
    transom_websocket_upgrade_free(settings);
    OK(transom_server_stop(server, 0));
    transom_server_free(server);
    return 0;
}
