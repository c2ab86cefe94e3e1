/* Request bodies that are read piece by piece while they come. */
#include "common.hpp"

using transom::Request;
using transom::Responder;
using transom::Response;
using transom::Route;

/* Reads a body to its end, and returns its length and its trailer. */
static Response measure(const Request &request)
{
    char buffer[4096];
    std::size_t length = 0;
    while (const std::size_t count = request.read(buffer, sizeof buffer))
        length += count;
    std::string text = std::to_string(length);
    for (const auto [name, value] : request.trailers())
        text.append(" ").append(name).append("=").append(value);
    CHECK(request.trailer("x-sum") == (request.trailers().empty() ? std::nullopt : std::optional("1")));
    return text;
}

int main()
{
    Log log;
    std::mutex mutex;
    std::condition_variable changed;
    Responder kept;
    const transom_request *asked = nullptr;
    std::atomic<int> readable{0};
    transom::Events events;
    transom::Server server;
    server.add(Route("POST", "/measure", measure).streaming().body_limit(1000000));
    server.post("/whole", measure);
    const transom::SigningKeys keys("0123456789abcdef0123456789abcdef");
    server.get("/cookie", [&](const Request &request) {
        CHECK(!request.signed_cookie("none", keys));
        return Response(std::string(request.signed_cookie("user", keys).value_or("nobody")));
    });
    server.post("/form", [](const Request &request) {
        transom::Multipart form(request);
        std::string text;
        char buffer[64];
        form.limit("parts", 2);
        while (const auto part = form.next()) {
            const std::size_t length = form.read(buffer, sizeof buffer);
            text.append(part->name).append(part->filename.value_or("-")).append("=").append(buffer, length).append(";");
        }
        return Response(text);
    });
    server.add(Route("POST", "/kept", [&](const Request &request, Responder responder) {
                   const std::lock_guard<std::mutex> lock(mutex);
                   asked = request.handle();
                   kept = std::move(responder);
                   changed.notify_all();
               }).streaming());
    /* A client that is slow to send what nobody reads gets its answer all the same. */
    server.timeout("linger", patience).timeout("linger_idle", patience).start("127.0.0.1:0");

    const std::string body(500000, 'b');
    CHECK(ask(server, "POST", "/measure", body).body == "500000" && ask(server, "POST", "/whole", body).body == "500000");
    const std::string kind = "Content-Type: multipart/form-data; boundary=x\r\n";
    const std::string part = "--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n\r\nc\r\n";
    CHECK(ask(server, "POST", "/form", part + "--x--\r\n", kind).body == "ab=c;");
    CHECK(ask(server, "POST", "/form", part + part + part + "--x--\r\n", kind).status == 413);
    CHECK(ask(server, "POST", "/form", part, kind).status == 400 && ask(server, "POST", "/form", part).status == 500);
    const std::string signature = transom::set_cookie("user", "ada", "Path=; SameSite=; HttpOnly=no", &keys);
    CHECK(ask(server, "GET", "/cookie", "", "Cookie: " + signature + "\r\n").body == "ada");
    CHECK(ask(server, "GET", "/cookie", "", "Cookie: user=ada\r\n").body == "nobody");
    CHECK(transom::set_cookie("a", std::string(400, 'b'), "Secure").size() == 442);
    check_throws(TRANSOM_INVALID_ARGUMENT, "needs Secure because of its name", [] { (void)transom::set_cookie("__Host-a", "b"); });
    Client chunked(server);
    chunked.say("POST /measure HTTP/1.1\r\nHost: test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    chunked.say("3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n");
    CHECK(chunked.hear().body == "3 x-sum=1");

    /* A body that breaks off: the client gets what is wrong, and the log says it at level 4. */
    Client bad(server);
    bad.say("POST /measure HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n");
    CHECK(bad.hear().status == 400);
    EVENTUALLY(log.has("4: the handler of POST /measure threw: "));
    Client large(server);
    large.say("POST /measure HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nf4241\r\n");
    large.say(std::string(1000001, 'l'));
    CHECK(large.hear().status == 413);

    /* A host that never blocks. */
    Client slow(server);
    slow.say("POST /kept HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 4\r\n\r\n");
    Responder responder;
    {
        std::unique_lock<std::mutex> lock(mutex);
        CHECK(changed.wait_for(lock, patience, [&] { return bool(kept); }));
        responder = std::move(kept);
    }
    const Request request(asked);
    char buffer[8];
    std::size_t length = 1;
    CHECK(request.read(buffer, sizeof buffer, length, std::chrono::milliseconds(0)) == TRANSOM_WOULD_BLOCK && length == 0);
    CHECK(request.read(buffer, sizeof buffer, length, std::chrono::milliseconds(1)) == TRANSOM_TIMEOUT);
    check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { request.read(buffer, 0); });
    request.on_readable([&] { readable++; });
    CHECK(readable == 0);
    slow.say("ab");
    EVENTUALLY(readable == 1);
    CHECK(request.read(buffer, sizeof buffer, length, std::chrono::milliseconds(0)) == TRANSOM_OK && length == 2);
    events.await_body(responder);
    slow.say("cd");
    const auto event = events.next(patience);
    CHECK(event && event->kind == TRANSOM_EVENT_READABLE && event->token == responder.token());
    CHECK(request.read(buffer, sizeof buffer) == 2 && request.read(buffer, sizeof buffer) == 0);
    CHECK(responder.text("read"));
    CHECK(slow.hear().body == "read");

    /* A client that leaves in the middle. */
    Client leaves(server);
    leaves.say("POST /kept HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nab");
    {
        std::unique_lock<std::mutex> lock(mutex);
        CHECK(changed.wait_for(lock, patience, [&] { return bool(kept); }));
        responder = std::move(kept);
    }
    leaves.leave();
    try {
        while (Request(asked).read(buffer, sizeof buffer) != 0) {
        }
        CHECK(false);
    } catch (const transom::BodyError &error) {
        CHECK(error.code() == TRANSOM_GONE && error.status_code() == 500);
    }
    responder.send(transom::BodyError(TRANSOM_TOO_SLOW).status_code());
    return 0;
}
