/* Settings, and what is refused before and after the start. */
#include "common.hpp"

#include <sys/stat.h>

using std::chrono::milliseconds;
using std::chrono::seconds;
using transom::Request;
using transom::Route;

static void refused()
{
    transom::Server server;
    check_throws(TRANSOM_INVALID_ARGUMENT, "nonsense", [&] { server.limit("nonsense", 1); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { server.limit("pool_threads", 0); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "nonsense", [&] { server.timeout("nonsense", seconds(1)); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { server.timeout("head", seconds(0)); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "forking", [&] { server.model("forking"); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { server.workers(0); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { server.unix_mode(01000); });
    check_throws(TRANSOM_BAD_ADDRESS, "nowhere", [&] { server.bind("nowhere"); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { server.listen_fd(0); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { server.start(); });
    check_throws(TRANSOM_BAD_ADDRESS, "300.0.0.1", [&] { server.start("300.0.0.1:1"); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { server.add(Route("GET", "/", [] {}).timeout(milliseconds(0))); });
    check_throws(TRANSOM_BAD_ROUTE, "", [&] { server.route("G T", "/", [] {}); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "zip", [] { transom::Compression().codings("zip"); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "zip", [] { transom::Compression().level("zip", 1); });
    check_throws(TRANSOM_NOT_STARTED, "", [&] { server.wait(); });
    check_throws(TRANSOM_NOT_STARTED, "", [&] { static_cast<void>(server.report()); });
    check_throws(TRANSOM_NOT_STARTED, "", [&] { server.hand_over({"true"}); });
    check_throws(TRANSOM_NOT_STARTED, "", [&] { server.notify_reloading(); });
    check_throws(TRANSOM_NOT_STARTED, "", [&] { server.notify_ready(); });
    check_throws(TRANSOM_NOT_STARTED, "", [&] { server.notify_status("well"); });
    CHECK(server.listen_inherited() == 0 && server.listener_name().empty());
    check_throws(TRANSOM_INVALID_ARGUMENT, "", [] { static_cast<void>(transom::limit_range("nonsense")); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "", [] { static_cast<void>(transom::timeout_range("nonsense")); });
    server.stop();
    CHECK(server.port() == 0 && server.address().empty());

    transom::Server other;
    other.start("127.0.0.1:0");
    try {
        server.start(other.address());
        CHECK(false);
    } catch (const std::exception &exception) {
        /* An Error is a std::exception, with a sentence and an errno. */
        const auto &error = dynamic_cast<const transom::Error &>(exception);
        CHECK(error.code() == TRANSOM_ADDRESS_IN_USE && error.error_number() == EADDRINUSE);
        CHECK(std::string(error.what()).find(other.address()) != std::string::npos);
    }
    /* After a failure, the server may be started again. */
    server.get("/", [] { return "after all"; });
    server.notify_systemd().add_readiness("/ready");
    server.start("127.0.0.1:0");
    CHECK(get(server, "/").body == "after all");
    CHECK(get(server, "/ready").body == "ready\n");
    check_throws(TRANSOM_IO, "exit status: 1", [&] { server.hand_over({"false"}); });
    check_throws(TRANSOM_ALREADY_STARTED, "", [&] { server.start("127.0.0.1:0"); });
    check_throws(TRANSOM_ALREADY_STARTED, "", [&] { server.get("/late", [] {}); });
    check_throws(TRANSOM_ALREADY_STARTED, "", [&] { server.fallback([] {}); });
    check_throws(TRANSOM_ALREADY_STARTED, "", [&] { server.thread_hooks([] {}, [] {}); });
}

static transom::Server make(transom::Model model)
{
    transom::Server server;
    server.model(model).workers(2).limit("body", 4).timeout("idle", patience).timeout("write", transom::forever);
    server.post("/", [](const Request &request) { return request.body(); });
    server.add(Route("POST", "/more", [](const Request &request) { return request.body(); })
                   .body_limit(6)
                   .timeout(seconds(9))
                   .run_inline());
    Route lvalue("POST", "/most", [](const Request &request) { return request.body(); });
    lvalue.body_limit(8).timeout(transom::forever).run_inline(false);
    server.add(std::move(lvalue));
    server.fallback(Route("", "", [] { return transom::Response(404, "fallback"); }).run_inline());
    transom::Compression settings;
    settings.codings("gzip").level("gzip", 9).min_size(1).types("text/plain").max_streams(1);
    server.compression().compression(settings);
    server.get("/long", [] { return std::string(5000, 'x'); });
    server.add(Route("POST", "/coded", [](const Request &request) { return request.body(); }).decompression(100));
    return server;
}

int main()
{
    CHECK(transom::version() == transom_version() && transom::has_feature("pull") && !transom::has_feature("x"));
    CHECK(transom::status_text(TRANSOM_GONE) == transom_status_text(TRANSOM_GONE));
    CHECK(transom::limit_range("body").most > transom::limit_range("body").least);
    CHECK(transom::timeout_range("head").most > seconds(1));
    refused();

    for (const auto model : {transom::Model::event, transom::Model::threads, transom::Model::sequential}) {
        transom::Server server = make(model);
        server.start("127.0.0.1:0");
        CHECK(server.address() == "127.0.0.1:" + std::to_string(server.port()) && server.address(1).empty());
        CHECK(ask(server, "POST", "/", "1234").body == "1234" && ask(server, "POST", "/", "12345").status == 413);
        CHECK(ask(server, "POST", "/more", "123456").body == "123456");
        CHECK(ask(server, "POST", "/more", "1234567").status == 413);
        CHECK(ask(server, "POST", "/most", "12345678").body == "12345678");
        CHECK(get(server, "/else").body == "fallback");
        CHECK(ask(server, "GET", "/long", "", "Accept-Encoding: gzip\r\n").body.size() < 100);
        CHECK(ask(server, "POST", "/coded", "x", "Content-Encoding: gzip\r\n").status == 400);
        CHECK(!server.wait(milliseconds(1)));
    }

    /* A Unix socket with a mode, and run, which a handler ends. */
    struct stat status;
    transom::Server server;
    check_throws(TRANSOM_BAD_ADDRESS, "", [&] { server.proxy_protocol("nobody"); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { server.trust_forwarded("via", "unix"); });
    server.trust_forwarded("forwarded", "10.0.0.0/8, unix", true);
    server.proxy_protocol("127.0.0.0/8, unix").no_proxy_protocol();
    server.unix_mode(0600).bind("unix:./socket").reuse_port().bind("127.0.0.1:0");
    CHECK(stat("socket", &status) == 0 && (status.st_mode & 0777) == 0600);
    server.get("/stop", [&] { server.stop(); });
    std::thread runner([&] { server.run("127.0.0.1:0"); });
    EVENTUALLY(server.port() != 0);
    CHECK(server.address() == "unix:./socket" && !server.address(2).empty());
    CHECK(get(server, "/stop").status == 204);
    runner.join();
    CHECK(server.wait() && server.report().pending == 0);
    return 0;
}
