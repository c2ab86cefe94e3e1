/* Bodies that are written piece by piece: by the handler, and by a thread that waits for room. */
#include "common.hpp"

using transom::Request;
using transom::Responder;
using transom::Writer;

int main()
{
    std::mutex mutex;
    std::condition_variable changed;
    Writer kept;
    int room = 0;
    std::atomic<int> gone{0};
    transom::Server server;
    server.get("/pieces", [](const Request &, Responder responder) {
        auto writer = responder.start(200, {{"content-type", "text/csv"}});
        CHECK(!responder && writer && !writer.is_gone());
        for (int i = 0; i < 1000; i++)
            CHECK(writer.write(std::to_string(i) + ",1234567890123456789012345678901234567890\n"));
        CHECK(writer.write("", patience) == TRANSOM_OK);
        CHECK(writer.finish() && !writer);
    });
    server.get("/sized", [](const Request &, Responder responder) {
        auto writer = responder.start(200, {{"content-length", "5"}});
        check_throws(TRANSOM_BODY_TOO_LONG, "", [&] { writer.write("too long"); });
        CHECK(writer.write("12345") && writer.finish());
    });
    server.get("/known", [](const Request &, Responder responder) {
        CHECK(responder.early_hints({{"x-hint", "1"}}));
        check_throws(TRANSOM_BAD_HEADER, "x y", [&] { responder.early_hints({{"x y", "1"}}); });
        auto writer = responder.start_sized(200, 5);
        CHECK(writer.write("12345") && writer.finish());
    });
    server.get("/trailers", [](const Request &, Responder responder) {
        auto writer = responder.start(200, {{"trailer", "x-sum"}});
        check_throws(TRANSOM_BAD_HEADER, "x y", [&] { writer.finish_with({{"x y", "1"}}); });
        CHECK(writer.write("12345") && writer.finish_with({{"x-sum", "15"}}) && !writer);
    });
    server.get("/short", [](const Request &, Responder responder) {
        auto writer = responder.start(200, {{"content-length", "5"}});
        CHECK(writer.write("123"));
        check_throws(TRANSOM_BODY_TOO_SHORT, "", [&] { writer.finish(); });
        CHECK(!writer);
    });
    server.get("/cut", [](const Request &, Responder responder) {
        Writer first = responder.start_with(200, "cut");
        Writer second(std::move(first));
        CHECK(!first && second);
        first = std::move(second);
        CHECK(first && !second && first.handle() != nullptr);
    });
    server.get("/upgrade", [](const Request &, Responder responder) {
        auto first = responder.upgrade("chat", {{"x-accept", "1"}});
        transom::Upgraded upgraded(std::move(first));
        char byte = 0;
        std::size_t length = 9;
        CHECK(!responder && upgraded && !first && first.is_stopping() && !upgraded.is_stopping());
        CHECK(first.read(&byte, 1, length) == TRANSOM_GONE && first.write("x") == TRANSOM_GONE);
        check_throws(TRANSOM_ALREADY_ANSWERED, "", [&] { first.on_readable([] {}); });
        std::atomic<int> calls{0};
        upgraded.on_writable([&] { calls++; });
        upgraded.on_stopping([] {});
        CHECK(calls == 1 && upgraded.write("hi ") == TRANSOM_OK);
        CHECK(upgraded.read(&byte, 1, length) == TRANSOM_OK && length == 1 && byte == 'y');
        CHECK(upgraded.read(&byte, 1, length, std::chrono::milliseconds(0)) == TRANSOM_WOULD_BLOCK);
        transom::Events events;
        events.await_writable(upgraded);
        events.watch_stopping(upgraded);
        CHECK(events.next(patience)->kind == TRANSOM_EVENT_UPGRADED_WRITABLE);
        upgraded.on_readable([] {});
        events.await_readable(upgraded);
        CHECK(upgraded.write("bye") == TRANSOM_OK);
    });
    server.get("/kept", [&](const Request &, Responder responder) {
        const std::lock_guard<std::mutex> lock(mutex);
        kept = responder.start(200);
        kept.on_gone([&] { gone++; });
        changed.notify_all();
    });
    server.start("127.0.0.1:0");

    const Reply pieces = get(server, "/pieces");
    CHECK(pieces.has("content-type: text/csv\r\n") && pieces.body.find("999,1234567890") != std::string::npos);
    CHECK(get(server, "/sized").body == "12345");
    const Reply hinted = get(server, "/known");
    CHECK(hinted.status == 103 && hinted.has("x-hint: 1\r\n") && hinted.body.find("HTTP/1.1 200") == 0);
    CHECK(get(server, "/trailers").body.find("0\r\nx-sum: 15\r\n\r\n") != std::string::npos);
    CHECK(get(server, "/short").body == "123");
    Client chat(server);
    chat.say("GET /upgrade HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\ny");
    const Reply upgraded = chat.hear();
    CHECK(upgraded.status == 101 && upgraded.has("x-accept: 1\r\n") && upgraded.body == "hi bye");
    CHECK(get(server, "/cut").body.find("0\r\n\r\n") == std::string::npos);

    /* A producer that never blocks: it fills the buffers, is told of room, and of the end. */
    Client client(server);
    client.ask("GET", "/kept");
    Writer writer;
    {
        std::unique_lock<std::mutex> lock(mutex);
        CHECK(changed.wait_for(lock, patience, [&] { return bool(kept); }));
        writer = std::move(kept);
    }
    const std::string piece(60000, 'p');
    std::size_t written = 0;
    /* Both the buffers of the server and those of the kernel are full if there is no room so often. One long wait
       would not be enough: on a busy machine the server's thread may only not have had its turn. */
    for (int rounds = 0; rounds < 30;) {
        const transom_status status = writer.write(piece, std::chrono::milliseconds(10));
        CHECK(status == TRANSOM_OK || status == TRANSOM_TIMEOUT);
        rounds = status == TRANSOM_OK ? 0 : rounds + 1;
        written += status == TRANSOM_OK ? piece.size() : 0;
    }
    CHECK(written > 0 && writer.try_write(piece) == TRANSOM_WOULD_BLOCK);
    writer.on_writable([&] {
        const std::lock_guard<std::mutex> lock(mutex);
        room++;
        changed.notify_all();
    });
    for (std::size_t got = 0; got < written;) {
        const std::size_t count = client.some().size();
        CHECK(count > 0);
        got += count;
    }
    {
        std::unique_lock<std::mutex> lock(mutex);
        CHECK(changed.wait_for(lock, patience, [&] { return room == 1; }));
    }
    CHECK(writer.try_write(piece) == TRANSOM_OK && gone == 0);
    client.leave();
    EVENTUALLY(gone == 1);
    EVENTUALLY(writer.is_gone());
    CHECK(!writer.write("to nobody") && !writer.finish());

    /* A stream that would not end by itself ends in order when the server stops. */
    Client last(server);
    last.ask("GET", "/kept");
    {
        std::unique_lock<std::mutex> lock(mutex);
        CHECK(changed.wait_for(lock, patience, [&] { return bool(kept); }));
        writer = std::move(kept);
    }
    transom::Events events;
    events.watch_stopping(writer);
    writer.on_stopping([&] { CHECK(writer.is_stopping() && writer.write("bye") && writer.finish()); });
    server.stop(patience);
    CHECK(last.hear().body == "3\r\nbye\r\n0\r\n\r\n");
    const auto event = events.next(patience);
    CHECK(event && event->kind == TRANSOM_EVENT_WRITER_STOPPING);
    return 0;
}
