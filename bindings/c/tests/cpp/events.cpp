/* A host without callbacks: pull routes, events and log messages, on its own thread. */
#include "common.hpp"

using std::chrono::milliseconds;

static bool is_stuck(const transom::Server &server, std::string_view name)
{
    for (const transom::Stuck &stuck : server.stuck())
        if (stuck.name == name)
            return true;
    return false;
}

/* A watchdog that watches the thread that takes the events, and a queue. */
static void watchdog()
{
    transom::Server server;
    transom::Events events;
    server.timeout("watchdog", milliseconds(100)).add_liveness("/alive").start("127.0.0.1:0");
    server.watch(events, "the loop", "it prints");
    server.set_load("the printer", 1, 1);
    EVENTUALLY(is_stuck(server, "the loop") && is_stuck(server, "the printer"));
    CHECK(get(server, "/alive").status == 503);
    server.set_load("the printer", 0, 1);
    bool turned = false;
    EVENTUALLY(turned = turned || [&] {
        const auto event = events.next(milliseconds(0));
        if (event && event->kind == TRANSOM_EVENT_WATCHDOG)
            events.answer(*event);
        return !is_stuck(server, "the loop") && !is_stuck(server, "the printer");
    }());
    server.stop();
    check_throws(TRANSOM_NOT_STARTED, "", [] { static_cast<void>(transom::Server().stuck()); });
}

int main()
{
    watchdog();
    transom::Server server;
    transom::Events events;
    server.add(transom::Route::pull("GET", "/pull/{id}", 7));
    server.add(transom::Route::pull("*", "/any", 8));
    server.start("127.0.0.1:0");
    CHECK(server.event_fd() >= 0 && events.fd() >= 0 && events.handle() != nullptr);
    CHECK(!server.next(milliseconds(0)) && !events.next(milliseconds(0)));

    Client client(server);
    client.ask("GET", "/pull/x");
    auto pulled = server.next(patience);
    CHECK(pulled && pulled->route_id == 7 && pulled->request.param("id") == "x");
    CHECK(pulled->responder.text("pulled"));
    CHECK(client.hear().body == "pulled");

    /* A client that leaves. */
    Client leaves(server);
    leaves.ask("PUT", "/any");
    pulled = server.next();
    CHECK(pulled && pulled->route_id == 8);
    events.watch(pulled->responder);
    leaves.leave();
    auto event = events.next(patience);
    CHECK(event && event->kind == TRANSOM_EVENT_GONE && event->token == pulled->responder.token());
    pulled.reset();

    /* A writer that is full, and then of a client that has left. */
    Client slow(server);
    slow.ask("GET", "/any");
    pulled = server.next();
    auto writer = pulled->responder.start(200);
    std::size_t written = 0;
    const std::string piece(60000, 'p');
    while (writer.try_write(piece) == TRANSOM_OK)
        written += piece.size();
    events.await_room(writer);
    events.watch(writer);
    for (std::size_t got = 0; got < written;)
        got += slow.some().size();
    event = events.next(patience);
    CHECK(event && event->kind == TRANSOM_EVENT_WRITABLE);
    CHECK(event->token == reinterpret_cast<std::uintptr_t>(writer.handle()));
    slow.leave();
    transom::Event two[2];
    CHECK(events.next(two, 2, patience) == 1 && two[0].kind == TRANSOM_EVENT_WRITER_GONE);
    writer = transom::Writer();
    check_throws(TRANSOM_NULL_ARGUMENT, "", [&] { events.await_room(writer); });

    /* Log messages. */
    CHECK(!transom::next_log_message());
    events.log(transom::Level::warning);
    transom::log(transom::Level::info, "not kept");
    transom::log(transom::Level::warning, "kept");
    event = events.next(patience);
    CHECK(event && event->kind == TRANSOM_EVENT_LOG);
    const auto message = transom::next_log_message();
    CHECK(message && message->level == transom::Level::warning && message->text == "kept");
    CHECK(!transom::next_log_message());
    check_throws(TRANSOM_NOT_UTF8, "", [] { transom::log(transom::Level::error, "\xff"); });

    std::thread waits([&] { CHECK(!events.next()); });
    events.close();
    waits.join();
    server.stop();
    CHECK(!server.next());
    return 0;
}
