/* Functions before and after handlers, and the values that they give a request. */
#include "common.hpp"

using transom::IncomingRequest;
using transom::OutgoingResponse;
using transom::Request;

struct User {
    std::string name;
};

static std::atomic<int> alive{0};

/* Counts how many of its kind there are. It can only be moved. */
class Counted {
public:
    explicit Counted(int number) : number_(number) { ++alive; }
    Counted(Counted &&other) noexcept : number_(other.number_) { ++alive; }
    ~Counted() { --alive; }
    int number() const { return number_; }

private:
    int number_;
};

static bool authenticate(IncomingRequest &request, OutgoingResponse &response)
{
    if (request.query() == "throw")
        throw std::runtime_error("no entry");
    if (request.header("authorization") == "Bearer secret") {
        request.set_value(Counted(1));
        request.set_value(User{"ada"});
        CHECK(request.value<User>()->name == "ada" && request.value<Counted>() == nullptr);
        return true;
    }
    CHECK(request.value<User>() == nullptr);
    response.set_status_code(401);
    response.set_body("who?");
    return false;
}

int main()
{
    Log log;
    {
        transom::Server server;
        server.wrap(
            [kept = std::make_unique<int>(7)](IncomingRequest &request, OutgoingResponse &) {
                request.set_value(Counted(*kept));
                return true;
            },
            [](const Request &request, OutgoingResponse &response) {
                if (request.query() == "after")
                    throw std::runtime_error("too late");
                response.set_header("x-number", std::to_string(request.value<Counted>()->number()));
                response.set_header("x-path", request.path());
            });
        server.wrap(nullptr, [](const Request &, OutgoingResponse &response) { response.add_header("x-inner", "1"); });
        server.add(transom::Route("GET", "/me", [](const Request &request) {
                       return request.value<User>()->name;
                   }).wrap(authenticate, nullptr));
        server.get("/open", [] { return "open"; });
        check_throws(TRANSOM_NULL_ARGUMENT, "", [&] { server.wrap(nullptr, nullptr); });
        server.start("127.0.0.1:0");
        check_throws(TRANSOM_ALREADY_STARTED, "", [&] { server.wrap(authenticate, nullptr); });

        Reply reply = get(server, "/open");
        CHECK(reply.status == 200 && reply.body == "open");
        CHECK(reply.has("x-number: 7\r\n") && reply.has("x-path: /open\r\n") && reply.has("x-inner: 1\r\n"));
        reply = get(server, "/me");
        CHECK(reply.status == 401 && reply.body == "who?" && reply.has("x-inner: 1\r\n"));
        reply = get(server, "/me", "Authorization: Bearer secret\r\n");
        CHECK(reply.status == 200 && reply.body == "ada" && reply.has("x-number: 7\r\n"));
        reply = get(server, "/none");
        CHECK(reply.status == 404 && reply.has("x-number: 7\r\n"));
        CHECK(get(server, "/me?throw").status == 500);
        EVENTUALLY(log.has("1: a function before a handler threw: no entry\n"));
        reply = get(server, "/open?after");
        CHECK(reply.status == 200 && reply.body == "open" && !reply.has("x-number"));
        EVENTUALLY(log.has("1: a function after a handler threw: too late\n"));
    }
    CHECK(alive == 0);
    return 0;
}
