/* Server-sent events: to one client, and to many. */
#include "common.hpp"

using transom::Request;
using transom::Responder;
using transom::ServerSentEvent;

int main()
{
    transom::SseBroadcast news(TRANSOM_SLOW_READER_CLOSE, 1);
    std::atomic<int> gone{0};
    transom::Server server;
    server.get("/some", [](const Request &, Responder responder) {
        check_throws(TRANSOM_BAD_HEADER, "x y", [&] { static_cast<void>(responder.start_sse({{"x y", "1"}})); });
        transom::SseSettings settings;
        settings.at_stop = ServerSentEvent("a");
        settings.at_stop->id = std::string_view("\n");
        check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { static_cast<void>(responder.start_sse({}, settings)); });
        auto first = responder.start_sse({{"x-a", "1"}});
        transom::SseSender sender(std::move(first));
        CHECK(!responder && sender && !first && first.is_gone() && !sender.is_gone() && first.queued() == 0);
        ServerSentEvent event("a\nb");
        event.event = "news";
        event.id = "7";
        event.retry = std::chrono::seconds(1);
        CHECK(first.send(event) == TRANSOM_GONE && sender.send(event) == TRANSOM_OK);
        CHECK(sender.send(std::string("c"), std::chrono::milliseconds(0)) == TRANSOM_OK);
        event.event = "x\n";
        check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { static_cast<void>(sender.send(event)); });
        check_throws(TRANSOM_ALREADY_ANSWERED, "", [&] { first.on_writable([] {}); });
        std::atomic<int> calls{0};
        sender.on_writable([&] { calls++; });
        CHECK(calls == 1);
        first = std::move(sender);
        CHECK(first && !sender && first.handle() != nullptr);
    });
    server.get("/gone", [&](const Request &, Responder responder) {
        auto sender = responder.start_sse();
        sender.on_gone([&gone] { gone++; });
        CHECK(sender.send("first") == TRANSOM_OK);
        /* A sender that is destroyed calls nothing, so it lives until the call has come. */
        while (gone == 0) {
            static_cast<void>(sender.send("more", std::chrono::milliseconds(10)));
            std::this_thread::yield();
        }
        CHECK(sender.is_gone());
    });
    server.get("/news", [&](const Request &request, Responder responder) {
        CHECK(responder.subscribe(news, request.header("last-event-id")) && !responder);
    });
    server.start("127.0.0.1:0");
    Client first(server);
    first.ask("GET", "/some");
    auto reply = first.hear();
    CHECK(reply.body.find("event: news\nid: 7\nretry: 1000\ndata: a\ndata: b\n\n") != std::string::npos);
    CHECK(reply.body.find("data: c\n\n") != std::string::npos && reply.has("x-a: 1\r\n"));

    Client second(server);
    second.ask("GET", "/news");
    EVENTUALLY(news.count() == 1);
    CHECK(news.send("all") == 1);
    check_throws(TRANSOM_NOT_UTF8, "", [&] { news.send("\xff"); });
    news.close();
    reply = second.hear();
    CHECK(reply.body.find("data: all\n\n") != std::string::npos && news.count() == 0 && news.handle() != nullptr);

    Client third(server);
    third.ask("GET", "/gone");
    CHECK(!third.some().empty());
    third.leave();
    EVENTUALLY(gone == 1);
    return 0;
}
