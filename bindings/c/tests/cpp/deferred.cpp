/* Responses from another thread, late, never, and after the server is gone. */
#include "common.hpp"

using transom::Request;
using transom::Responder;

/* Responders that wait for another thread. */
class Waiting {
public:
    void push(Responder responder)
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        waiting_.push_back(std::move(responder));
        changed_.notify_one();
    }

    Responder pop()
    {
        std::unique_lock<std::mutex> lock(mutex_);
        CHECK(changed_.wait_for(lock, patience, [&] { return !waiting_.empty(); }));
        Responder first = std::move(waiting_.front());
        waiting_.erase(waiting_.begin());
        return first;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Responder> waiting_;
};

int main()
{
    Waiting waiting;
    std::atomic<int> left{0};
    auto server = std::make_unique<transom::Server>();
    server->get("/later/{id}", [&](const Request &, Responder responder) {
        responder.on_gone([&] { left++; });
        waiting.push(std::move(responder));
        CHECK(!responder);
    });
    server->add(transom::Route("GET", "/late", [&](const Request &, Responder responder) {
                    waiting.push(std::move(responder));
                })
                    .timeout(std::chrono::milliseconds(50))
                    /* On the pool, it might begin only after its deadline, and then never. */
                    .run_inline());
    server->start("127.0.0.1:0");

    std::thread worker([&] {
        for (int i = 0; i < 20; i++)
            CHECK(waiting.pop().text("answer " + std::to_string(i)));
    });
    for (int i = 0; i < 20; i++)
        CHECK(get(*server, "/later/" + std::to_string(i)).body == "answer " + std::to_string(i));
    worker.join();
    CHECK(left == 0);

    /* Never: the destructor sends a 500, also when another responder takes its place. */
    Client client(*server);
    client.ask("GET", "/later/never");
    {
        const Responder dropped = waiting.pop();
    }
    CHECK(client.hear().status == 500);
    Client other(*server);
    other.ask("GET", "/later/replaced");
    Responder responder = waiting.pop();
    responder = Responder();
    CHECK(other.hear().status == 500);

    /* Late: the client got a 503. */
    CHECK(get(*server, "/late").status == 503);
    responder = waiting.pop();
    CHECK(responder.is_gone() && !responder.text("late") && !responder);
    /* Late, and as a stream: the writer is empty, and harmless. */
    CHECK(get(*server, "/late").status == 503);
    transom::Writer writer = waiting.pop().start(200);
    CHECK(!writer && !writer.write("x") && writer.try_write("x") == TRANSOM_GONE && writer.is_gone() && !writer.finish());

    /* A client that leaves. */
    Client third(*server);
    third.ask("GET", "/later/left");
    responder = waiting.pop();
    third.leave();
    EVENTUALLY(left == 1);
    CHECK(responder.is_gone());
    responder.text("to nobody");

    /* After the server: the request was cut off. */
    Client last(*server);
    last.ask("GET", "/later/after");
    responder = waiting.pop();
    /* The connection of the client that left may take a moment to end. */
    EVENTUALLY(server->report().pending == 1);
    server->stop(std::chrono::milliseconds(0));
    CHECK(server->wait(patience));
    CHECK(server->report().cut == 1 && server->report().finished == 0 && server->report().pending == 0);
    server.reset();
    CHECK(!responder.text("after the server"));
    return 0;
}
