/*
 * A small WebSocket client for the test programs: it frames, masks and takes frames apart, and does
 * not compress.
 */
#ifndef WEBSOCKET_H
#define WEBSOCKET_H

#include "common.h"

enum opcode { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80 };

/* A frame of the server. */
struct frame {
    int opcode, is_last;
    size_t length;
    char payload[262145];
};

/* Sends the request of a handshake, with more header lines, and leaves its answer unread. */
static UNUSED int ask_websocket(uint16_t port, const char *target, const char *more)
{
    char text[2048];
    int fd = connect_to(port);
    snprintf(text, sizeof text,
             "GET %s HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
             target, more);
    say(fd, text);
    return fd;
}

/* Reads the head of a 101 into `head`. */
static UNUSED void hear_101(int fd, char *head, size_t room)
{
    size_t length = 0;
    head[0] = '\0';
    while (strstr(head, "\r\n\r\n") == NULL) {
        CHECK(length < room - 1 && receive(fd, head + length, 1, 0) == 1);
        head[++length] = '\0';
    }
    if (strncmp(head, "HTTP/1.1 101 ", 13) != 0) {
        fprintf(stderr, "%s\n", head);
        exit(1);
    }
    CHECK(strstr(head, "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") != NULL);
}

/* Opens a connection. */
static UNUSED int open_websocket(uint16_t port, const char *target)
{
    char head[1024];
    int fd = ask_websocket(port, target, "");
    hear_101(fd, head, sizeof head);
    return fd;
}

/* Sends a frame, masked. */
static UNUSED void say_frame(int fd, int opcode, const void *payload, size_t length)
{
    static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
    uint8_t *frame = malloc(length + 14);
    size_t head = 2, i;
    CHECK(frame != NULL && length < 65536 * 4);
    frame[0] = (uint8_t)opcode;
    if (length < 126) {
        frame[1] = (uint8_t)(0x80 | length);
    } else if (length < 65536) {
        frame[1] = 0x80 | 126;
        frame[2] = (uint8_t)(length >> 8);
        frame[3] = (uint8_t)length;
        head = 4;
    } else {
        frame[1] = 0x80 | 127;
        for (i = 0; i < 8; i++)
            frame[2 + i] = (uint8_t)((uint64_t)length >> (56 - 8 * i));
        head = 10;
    }
    memcpy(frame + head, mask, 4);
    for (i = 0; i < length; i++)
        frame[head + 4 + i] = ((const uint8_t *)payload)[i] ^ mask[i % 4];
    length += head + 4;
    CHECK(send(fd, frame, length, MSG_NOSIGNAL) == (ssize_t)length);
    free(frame);
}

static UNUSED void say_text(int fd, const char *text)
{
    say_frame(fd, FIN | TEXT, text, strlen(text));
}

static UNUSED void say_close(int fd, uint16_t code)
{
    uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    say_frame(fd, FIN | CLOSE, payload, sizeof payload);
}

/* Reads so many bytes. Returns 0 if the connection ends before. */
static UNUSED int hear_bytes(int fd, void *bytes, size_t length)
{
    return length == 0 || receive(fd, bytes, length, MSG_WAITALL) == (ssize_t)length;
}

/* Reads a frame. Returns 0 if the connection ends before. */
static UNUSED int hear_frame(int fd, struct frame *frame)
{
    uint8_t head[10];
    size_t i, more = 0;
    if (!hear_bytes(fd, head, 2))
        return 0;
    frame->opcode = head[0] & 15;
    frame->is_last = head[0] >> 7;
    CHECK((head[0] & 0x70) == 0 && head[1] < 128);
    frame->length = head[1];
    if (frame->length >= 126) {
        more = frame->length == 126 ? 2 : 8;
        frame->length = 0;
        if (!hear_bytes(fd, head + 2, more))
            return 0;
        for (i = 0; i < more; i++)
            frame->length = frame->length << 8 | head[2 + i];
    }
    CHECK(frame->length < sizeof frame->payload);
    frame->payload[frame->length] = '\0';
    return hear_bytes(fd, frame->payload, frame->length);
}

/* Reads a text that the server must send now. */
static UNUSED void expect_text(int fd, const char *text)
{
    static _Thread_local struct frame frame;
    CHECK(hear_frame(fd, &frame));
    if (frame.opcode != TEXT || strcmp(frame.payload, text) != 0) {
        fprintf(stderr, "opcode %d: %s, not %s\n", frame.opcode, frame.payload, text);
        exit(1);
    }
}

/* Reads messages up to the Close of the server, and returns its code; 0 if it has none. */
static UNUSED int hear_close(int fd)
{
    static _Thread_local struct frame frame;
    do
        CHECK(hear_frame(fd, &frame));
    while (frame.opcode != CLOSE);
    return frame.length < 2 ? 0 : (uint8_t)frame.payload[0] << 8 | (uint8_t)frame.payload[1];
}

/* Reads the Close of the server, answers it, and reads the end. */
static UNUSED void end_websocket(int fd, int code)
{
    int got = hear_close(fd);
    char byte;
    if (got != code) {
        fprintf(stderr, "closed with %d, not %d\n", got, code);
        exit(1);
    }
    say_close(fd, (uint16_t)code);
    CHECK(receive(fd, &byte, 1, 0) <= 0);
    close(fd);
}

#endif
