/* WebSocket connections: by handlers, callbacks and events. */
#include "common.hpp"

using transom::Request;
using transom::Responder;
using transom::WebSocket;

/* The handshake of a client, with more lines of the head. */
static std::string handshake(const std::string &path, const std::string &more = "")
{
    return "GET " + path + " HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + more +
           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
}

/* A short frame of a client, masked with zeros. */
static std::string frame(unsigned char opcode, const std::string &payload)
{
    return std::string{static_cast<char>(0x80 | opcode), static_cast<char>(0x80 | payload.size())} +
           std::string(4, '\0') + payload;
}

/* Sends `said`, reads `expected`, sends a Close with 4000, and reads that too. */
static void talk(const transom::Server &server, const std::string &said, std::string expected)
{
    Client client(server);
    std::string heard;
    const auto hear = [&] {
        const std::string some = client.some();
        heard += some;
        return !some.empty();
    };
    client.say(said);
    for (std::size_t end = 0; (end = heard.find("\r\n\r\n")) == std::string::npos || heard.size() < end + 4 + expected.size();)
        CHECK(hear());
    client.say(frame(8, "\x0f\xa0" "enough"));
    while (hear())
        ;
    if (expected.find("\x88") == std::string::npos)
        expected += "\x88\x02\x0f\xa0";
    CHECK(heard.compare(0, 13, "HTTP/1.1 101 ") == 0);
    CHECK(heard.substr(heard.find("\r\n\r\n") + 4) == expected);
}

int main()
{
    std::mutex mutex;
    WebSocket kept;
    std::atomic<int> calls{0}, refused{0};
    transom::WebSocketUpgrade settings, moved;
    settings.message_limit(1000).frame_limit(1000).queue_limit(1000).compression(true).context_takeover(true);
    settings.compress_from(0).ping_interval(transom::forever).ping_timeout(std::chrono::seconds(1));
    settings.close_timeout(std::chrono::seconds(1)).message_rate(1).message_timeout(transom::forever).in_pieces(true).any_origin(true).any_origin(false);
    settings.subprotocol("chat.v2").subprotocol("chat.v1").origin("https://app.example");
    check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { settings.message_limit(0); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { settings.subprotocol("no token"); });
    moved = std::move(settings);
    settings = std::move(moved);

    transom::Server server;
    server.get("/echo", [](const Request &, Responder responder) {
        WebSocket first = responder.accept_websocket({{"x-accept", "1"}}), socket(std::move(first));
        CHECK(!responder && socket && !first && !socket.is_closed() && socket.close_code() == 0);
        CHECK(first.is_closed() && first.close_code() == 0 && !first.receive() && first.queued() == 0);
        CHECK(first.send_text("x") == TRANSOM_GONE);
        check_throws(TRANSOM_ALREADY_ANSWERED, "", [&] { first.on_message([] {}); });
        CHECK(first.feed_text("x") == TRANSOM_GONE);
        first.flush();
        while (auto message = socket.receive()) {
            CHECK(message->is_last() && *message);
            if (message->data() == "copy") {
                CHECK(socket.send(*message) == TRANSOM_OK && *message);
                continue;
            }
            CHECK(first.send(std::move(*message)) == TRANSOM_GONE && *message);
            CHECK(socket.send(std::move(*message)) == TRANSOM_OK && !*message);
            check_throws(TRANSOM_NULL_ARGUMENT, "", [&] { static_cast<void>(socket.send(std::move(*message))); });
            CHECK(socket.feed_text("fed") == TRANSOM_OK && socket.feed_binary("fed too") == TRANSOM_OK);
            socket.flush();
        }
        CHECK(socket.close_code() == 4000 && socket.close_reason() == "enough" && socket.is_closed());
        CHECK(socket.subprotocol().empty() && !socket.is_compressed());
    });
    server.get("/set", [&](const Request &, Responder responder) {
        check_throws(TRANSOM_BAD_HEADER, "x y", [&] { static_cast<void>(responder.accept_websocket({{"x y", ""}})); });
        WebSocket socket = responder.accept_websocket(settings);
        CHECK(!responder && !socket == (refused > 0));
        if (!socket)
            return;
        CHECK(socket.subprotocol() == "chat.v1" && socket.is_compressed());
        check_throws(TRANSOM_NOT_UTF8, "", [&] { static_cast<void>(socket.send_text("\xff")); });
        check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { socket.close(1005); });
        CHECK(socket.send_binary_piece("a", false) == TRANSOM_OK);
        check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { static_cast<void>(socket.send_text_piece("b", true)); });
        CHECK(socket.send_binary_piece("b", true) == TRANSOM_OK);
        socket.ping("p");
        socket.close(3000, "done");
    });
    server.get("/events", [&](const Request &, Responder responder) {
        WebSocket socket = responder.accept_websocket();
        transom::Events events;
        char buffer[4];
        std::size_t length = 0;
        bool is_text = false, is_last = false;
        events.watch_closed(socket);
        events.await_message(socket);
        CHECK(events.next(patience)->kind == TRANSOM_EVENT_WEBSOCKET_MESSAGE);
        CHECK(events.receive_or_await(socket, buffer, 1, length, is_text, is_last) == TRANSOM_BUFFER_TOO_SMALL);
        check_throws(TRANSOM_NULL_ARGUMENT, "", [&] {
            static_cast<void>(events.receive_or_await(WebSocket(), buffer, 1, length, is_text, is_last));
        });
        CHECK(socket.receive_into(buffer, 1, length, is_text, is_last) == TRANSOM_BUFFER_TOO_SMALL && length == 4);
        CHECK(socket.receive_into(buffer, 4, length, is_text, is_last) == TRANSOM_OK && is_text && is_last);
        CHECK(std::string_view(buffer, length) == "news");
        events.await_writable(socket);
        CHECK(events.next(patience)->kind == TRANSOM_EVENT_WEBSOCKET_WRITABLE);
        CHECK(socket.send_binary("bytes") == TRANSOM_OK);
        CHECK(events.next(patience)->kind == TRANSOM_EVENT_WEBSOCKET_CLOSED);
        CHECK(socket.receive_into(buffer, 4, length, is_text, is_last) == TRANSOM_GONE);
    });
    transom::Broadcast first(TRANSOM_SLOW_READER_CLOSE), room(std::move(first));
    first = transom::Broadcast();
    server.get("/room", [&](const Request &, Responder responder) {
        WebSocket socket = responder.accept_websocket();
        room.add(socket);
        CHECK(room.count() == 1 && room.send_text("all") == 1 && room.send_binary("bytes") == 1);
        room.remove(socket);
        CHECK(room.count() == 0 && room.send_text("none") == 0);
        check_throws(TRANSOM_NOT_UTF8, "", [&] { room.send_text("\xff"); });
        while (socket.receive())
            ;
    });
    server.get("/callbacks", [&](const Request &, Responder responder) {
        const std::lock_guard<std::mutex> lock(mutex);
        kept = responder.accept_websocket();
        kept.on_message([&] { calls++; });
        kept.on_closed([&] { calls++; });
        kept.on_writable([&] { calls++; });
    });
    server.start("127.0.0.1:0");

    talk(server, handshake("/echo") + frame(1, "copy") + frame(1, "hello"),
         "\x81\4copy\x81\5hello\x81\3" "fed\x82\7" "fed too");
    const std::string lines = "Origin: https://app.example\r\nSec-WebSocket-Protocol: chat.v1\r\n"
                              "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    talk(server, handshake("/set", lines), std::string("\2\1a\x80\1b", 6) + "\x89\x01p\x88\x06\x0b\xb8" "done");
    talk(server, handshake("/events") + frame(1, "news"), "\x82\x05" "bytes");
    talk(server, handshake("/room"), "\x81\3all\x82\5" "bytes");
    talk(server, handshake("/callbacks") + frame(1, "news"), "");
    EVENTUALLY(calls == 3);
    kept = WebSocket(kept.release());
    CHECK(kept.handle() != nullptr && kept.receive(std::chrono::milliseconds(0))->data() == "news");
    refused = 1;
    Client client(server);
    client.ask("GET", "/set");
    CHECK(client.hear().status == 426);
    server.stop();
    server.wait();
    return 0;
}
