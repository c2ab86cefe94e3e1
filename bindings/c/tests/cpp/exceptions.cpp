/* An exception becomes a 500 and a line in the log, and goes no further. */
#include "common.hpp"

using transom::Request;
using transom::Responder;

/* Throws when it is copied to be sent, which is after the handler has returned. */
struct Unsendable {
    operator transom::Response() const { throw std::runtime_error("cannot be converted"); }
};

int main()
{
    Log log;
    std::mutex mutex;
    Responder kept;
    std::atomic<int> called{0}, hooks{0};
    transom::Server server;

    server.get("/value/{id}", [](const Request &) -> std::string { throw std::runtime_error("no value"); });
    server.get("/responder", [](const Request &, Responder) { throw std::logic_error("no response"); });
    server.get("/int", []() -> const char * { throw 7; });
    server.get("/convert", [] { return Unsendable(); });
    server.get("/param", [](const Request &request) { return request.param("id"); });
    server.get("/header", [] { return transom::Response("x").header("bad name", "x"); });
    server.get("/code", [] { return transom::Response(99); });
    server.get("/answered", [](const Request &, Responder responder) {
        responder.text("answered");
        throw std::runtime_error("after the response");
    });
    server.get("/kept", [&](const Request &, Responder responder) {
        const std::lock_guard<std::mutex> lock(mutex);
        kept = std::move(responder);
        throw std::runtime_error("after the responder was kept");
    });
    server.get("/stream", [](const Request &, Responder responder) {
        auto writer = responder.start(200);
        writer.write("a part");
        throw std::runtime_error("in the middle");
    });
    server.get("/callback", [&](const Request &, Responder responder) {
        auto writer = responder.start(200);
        writer.on_writable([&] {
            called++;
            throw std::runtime_error("from a callback");
        });
        writer.write("whole");
        writer.finish();
    });
    server.thread_hooks(
        [&] {
            hooks++;
            throw std::runtime_error("from a hook");
        },
        [&] { hooks--; });
    server.fallback([]() -> transom::Response { throw std::runtime_error("from the fallback"); });
    server.start("127.0.0.1:0");

    CHECK(get(server, "/value/3").status == 500);
    EVENTUALLY(log.has("1: the handler of GET /value/3 threw: no value\n"));
    CHECK(get(server, "/responder").status == 500);
    EVENTUALLY(log.has("1: the handler of GET /responder threw: no response\n"));
    CHECK(get(server, "/int").status == 500);
    EVENTUALLY(log.has("1: the handler of GET /int threw: an exception that is no std::exception\n"));
    CHECK(get(server, "/convert").status == 500);
    EVENTUALLY(log.has("threw: cannot be converted\n"));
    CHECK(get(server, "/param").status == 500);
    EVENTUALLY(log.has("threw: the pattern of the route has no {id}\n"));
    CHECK(get(server, "/header").status == 500);
    EVENTUALLY(log.has("the handler of GET /header threw: "));
    CHECK(get(server, "/code").status == 500);
    EVENTUALLY(log.has("the handler of GET /code threw: "));
    CHECK(get(server, "/nowhere").status == 500);
    EVENTUALLY(log.has("threw: from the fallback\n"));

    Reply reply = get(server, "/answered");
    CHECK(reply.status == 200 && reply.body == "answered");
    EVENTUALLY(log.has("threw: after the response\n"));
    Client client(server);
    client.ask("GET", "/kept");
    EVENTUALLY(log.has("threw: after the responder was kept\n"));
    {
        const std::lock_guard<std::mutex> lock(mutex);
        CHECK(kept.text("later"));
    }
    CHECK(client.hear().body == "later");
    /* The client notices that the last chunk is missing. */
    reply = get(server, "/stream");
    CHECK(reply.status == 200 && reply.body.find("0\r\n\r\n") == std::string::npos);
    EVENTUALLY(log.has("threw: in the middle\n"));
    CHECK(get(server, "/callback").body.find("whole") != std::string::npos && called == 1);
    EVENTUALLY(log.has("1: a callback threw: from a callback\n"));
    EVENTUALLY(hooks > 0 && log.has("1: a hook threw: from a hook\n"));
    server.stop();
    CHECK(server.wait());
    EVENTUALLY(hooks == 0);
    return 0;
}
