/* What is captured is destroyed exactly once, on success and after every error. */
#include "common.hpp"

using transom::Request;
using transom::Responder;
using transom::Route;

static std::atomic<int> made{0}, destroyed{0};

/* Can only be moved, and is destroyed while it holds something. */
class Held {
public:
    Held() : number_(new int(++made)) {}
    Held(Held &&) = default;
    Held &operator=(Held &&) = default;
    ~Held()
    {
        if (number_)
            destroyed++;
    }
    int number() const { return *number_; }

private:
    std::unique_ptr<int> number_;
};

/* Bytes that count as well. */
struct Body {
    Held held;
    std::string text;
    const char *data() const { return text.data(); }
    std::size_t size() const { return text.size(); }
};

static auto holding()
{
    return [held = Held()](const Request &) { return std::to_string(held.number()); };
}

static void refused()
{
    transom::Server server;
    check_throws(TRANSOM_BAD_ROUTE, "bad", [&] { server.get("bad", holding()); });
    CHECK(made == 1 && destroyed == 1);
    check_throws(TRANSOM_INVALID_ARGUMENT, "NUL", [&] { server.get({"/a\0b", 4}, holding()); });
    CHECK(made == 2 && destroyed == 2);
    server.get("/a", holding());
    check_throws(TRANSOM_BAD_ROUTE, "/a", [&] { server.get("/a", holding()); });
    CHECK(made == 4 && destroyed == 3);
    /* A second fallback replaces the first. */
    server.fallback(holding());
    server.fallback(holding());
    CHECK(made == 6 && destroyed == 4);
    server.thread_hooks([held = Held()] {}, [held = Held()] {});
    CHECK(made == 8 && destroyed == 4);
    /* Routes that are moved, replaced, and not added. */
    Route route("GET", "/b", holding());
    Route moved(std::move(route));
    CHECK(route.handle() == nullptr && moved.handle() != nullptr && destroyed == 4);
    moved = Route("GET", "/c", holding());
    CHECK(made == 10 && destroyed == 5);
    transom_route_free(moved.release());
    CHECK(destroyed == 6);
    /* The empty responder and the empty writer refuse, and destroy what they got. */
    check_throws(TRANSOM_ALREADY_ANSWERED, "", [] { Responder().on_gone([held = Held()] {}); });
    check_throws(TRANSOM_ALREADY_ANSWERED, "", [] { transom::Writer().on_gone([held = Held()] {}); });
    check_throws(TRANSOM_ALREADY_ANSWERED, "", [] { transom::Writer().on_writable([held = Held()] {}); });
    {
        Body body{Held(), "x"};
        check_throws(TRANSOM_ALREADY_ANSWERED, "", [&] { Responder().send_owned(200, std::move(body)); });
        CHECK(body.text == "x" && destroyed == 9); /* not even moved */
    }
    CHECK(made == 14 && destroyed == 10);
}

int main()
{
    refused();
    CHECK(made == 14 && destroyed == 14);
    made = destroyed = 0;

    transom::Server first;
    first.get("/number", holding());
    first.get("/owned", [](const Request &, Responder responder) {
        responder.on_gone([held = Held()] {});
        CHECK(responder.send_owned(200, Body{Held(), std::string(200000, 'b')}));
    });
    first.get("/refused", [](const Request &, Responder responder) {
        check_throws(TRANSOM_BAD_STATUS_CODE, "", [&] { responder.send_owned(7, Body{Held(), "x"}); });
        responder.text("refused");
    });
    first.get("/stream", [](const Request &, Responder responder) {
        auto writer = responder.start(200);
        writer.on_gone([held = Held()] {});
        writer.on_writable([held = Held()] {});
        writer.write("stream");
        writer.finish();
        CHECK(!writer && writer.is_gone() && !writer.finish() && !writer.write("more"));
    });
    first.start("127.0.0.1:0");
    /* A server that was started is moved. */
    transom::Server server(std::move(first));
    CHECK(first.handle() == nullptr && server.handle() != nullptr);
    for (int i = 0; i < 3; i++)
        CHECK(get(server, "/number").body == "1");
    CHECK(made == 1 && destroyed == 0);
    CHECK(get(server, "/owned").body == std::string(200000, 'b'));
    EVENTUALLY(made == 3 && destroyed == 2);
    CHECK(get(server, "/refused").body == "refused");
    CHECK(made == 4 && destroyed == 3);
    CHECK(get(server, "/stream").status == 200);
    EVENTUALLY(made == 6 && destroyed == 5);
    server = transom::Server();
    EVENTUALLY(made == 6 && destroyed == 6);
    return 0;
}
