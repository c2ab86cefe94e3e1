/* The hooks of a server, its own answers, and who may ask it. */
#include "common.hpp"

#include <algorithm>
#include <sys/un.h>

using transom::Exchange;
using transom::OutgoingResponse;
using transom::OwnAnswer;
using transom::Request;
using transom::Response;

/* What on_exchange was told. */
class Told {
public:
    void add(const Exchange &exchange)
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        CHECK(exchange.handle() != nullptr && exchange.peer().find("127.0.0.1:") == 0);
        CHECK(exchange.local_address().value_or("127.0.0.1:").find("127.0.0.1:") == 0);
        CHECK(exchange.scheme() == "http");
        CHECK(exchange.bytes_out() > 0);
        /* A head that is refused is not measured. */
        CHECK(exchange.reject() != 0 || (exchange.bytes_in() > 0 && exchange.duration().count() > 0));
        lines_.append(exchange.method().value_or("-")).append(" ").append(exchange.target().value_or("-"));
        lines_.append(" ").append(exchange.route().value_or("-")).append(" ");
        lines_.append(std::to_string(exchange.status_code())).append(" ").append(exchange.reject_name());
        lines_.append(exchange.ended() == TRANSOM_ENDED_ANSWERED ? " answered " : " ");
        lines_.append(std::to_string(exchange.version())).append(exchange.reject() != 0 ? " refused\n" : "\n");
    }

    bool has(const std::string &text)
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        return lines_.find(text) != std::string::npos;
    }

private:
    std::mutex mutex_;
    std::string lines_;
};

static void word(const OwnAnswer &answer, OutgoingResponse &response)
{
    CHECK(answer.handle() != nullptr && response.handle() != nullptr && answer.peer().find("127.0.0.1:") == 0);
    CHECK(response.status_code() == answer.status_code() && response.body());
    if (answer.target() == "/teapot")
        throw std::runtime_error("no words");
    if (answer.reject() == TRANSOM_REJECT_BAD_HEADER)
        CHECK(!answer.method() && answer.reject_name() == "bad-header");
    const std::string text(*response.body());
    check_throws(TRANSOM_BAD_HEADER, "", [&] { response.set_header("a b", "x"); });
    check_throws(TRANSOM_BAD_HEADER, "", [&] { response.add_header("a", "\n"); });
    check_throws(TRANSOM_BAD_STATUS_CODE, "", [&] { response.set_status_code(600); });
    response.set_header("content-type", "application/json");
    response.add_header("x-a", "1");
    response.add_header("x-a", "2");
    response.add_header("x-b", "3");
    response.remove_header("X-B");
    CHECK(response.header("x-A") == "1" && !response.header("x-b"));
    std::string names;
    for (const auto [name, value] : response.headers())
        names.append(name).append(",");
    CHECK(names.find("x-a,x-a,") != std::string::npos);
    if (answer.status_code() == 405)
        response.set_status_code(404);
    response.set_body("{\"error\":\"" + text + "\"}");
}

/* A request over a Unix socket: the process at the other end is known. */
static std::string ask_unix(const char *path)
{
    sockaddr_un address{};
    char bytes[4096];
    std::string reply;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    CHECK(connect(fd, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0);
    const std::string request = "GET /who HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    CHECK(send(fd, request.data(), request.size(), MSG_NOSIGNAL) == ssize_t(request.size()));
    for (ssize_t count = 0; (count = recv(fd, bytes, sizeof bytes, 0)) > 0;)
        reply.append(bytes, std::size_t(count));
    close(fd);
    return reply.substr(reply.find("\r\n\r\n") + 4);
}

/* Metrics of a server, as values and as text. */
static void count_responses()
{
    transom::Metrics metrics;
    transom::Server server;
    server.add_metrics(metrics).add_metrics_route("/metrics", metrics);
    server.get("/hello/{name}", [](const Request &request) { return request.param("name"); });
    check_throws(TRANSOM_BAD_ROUTE, "/metrics", [&] { server.add_metrics_route("/metrics", metrics); });
    server.add_status("/a", metrics).add_status("/b", metrics, "ada", "sesame");
    server.add_status("/c", metrics, [](const transom::Request &request) { return request.path() == "/c"; });
    check_throws(TRANSOM_BAD_ROUTE, "/c", [&] { server.add_status("/c", metrics); });
    server.start("127.0.0.1:0");
    CHECK(get(server, "/hello/you").body == "you");
    EVENTUALLY(metrics.snapshot().series.size() == 1);
    std::size_t in_shards = 0;
    for (const transom::MetricsSnapshot &shard : metrics.shards())
        in_shards += shard.series.size();
    CHECK(in_shards == 1);
    const transom::MetricSeries series = metrics.snapshot().series[0];
    CHECK(series.method == "GET" && series.route == "/hello/{name}" && series.status_code == 200);
    CHECK(series.scheme == "http" && series.error.empty() && series.version == 11 && !series.is_overflow);
    CHECK(series.count() == 1 && series.buckets.size() == transom::Metrics::bounds().size() + 1);
    CHECK(series.sum.count() > 0 && series.bytes_in > 0 && series.bytes_out > 0);
    const auto values = metrics.snapshot().values;
    const auto accepted = std::find_if(values.begin(), values.end(), [](const auto &value) {
        return value.name == "transom.connections.accepted" && value.kind == TRANSOM_METRIC_COUNTER;
    });
    CHECK(accepted != values.end() && accepted->value == 1 && accepted->unit == "{connection}");
    CHECK(accepted->label.empty() && accepted->label_value.empty() && !accepted->description.empty());
    CHECK(get(server, "/a").status == 403 && get(server, "/b").status == 401);
    CHECK(get(server, "/c").status == 200 && get(server, "/c/events").status == 403);
    CHECK(get(server, "/metrics").body.find("# TYPE ") == 0 && metrics.text().find("# TYPE ") == 0);
    transom::Metrics other(std::move(metrics));
    CHECK(other.handle() != nullptr);
}

int main()
{
    count_responses();
    Log log;
    Told told;
    {
        transom::Server server;
        server.on_exchange([&told](const Exchange &exchange) { told.add(exchange); }).own_answers(word);
        server.get("/hello/{name}", [](const Request &request) { return request.param("name"); });
        server.get("/throws", []() -> Response { throw std::runtime_error("thrown"); });
        server.start("127.0.0.1:0");
        CHECK(!server.is_stopping());
        CHECK(get(server, "/hello/you?x=1").body == "you");
        EVENTUALLY(told.has("GET /hello/you?x=1 /hello/{name} 200  answered 11\n"));
        Reply reply = get(server, "/nowhere");
        CHECK(reply.status == 404 && reply.body.find("{\"error\":") == 0 && reply.has("x-a: 2\r\n"));
        EVENTUALLY(told.has("GET /nowhere - 404  answered 11\n"));
        CHECK(ask(server, "POST", "/hello/you").status == 404);
        reply = get(server, "/throws");
        CHECK(reply.status == 500 && reply.body.find("{\"error\":") == 0 && reply.has("application/json"));
        reply = get(server, "/hello/you", "bad field: x\r\n");
        CHECK(reply.status == 400 && reply.has("application/json"));
        EVENTUALLY(told.has("- - - 400 bad-header answered 0 refused\n"));
        CHECK(get(server, "/teapot").status == 404);
        EVENTUALLY(log.has("1: the function of own_answers threw: no words\n"));
        EVENTUALLY(server.stats().requests == 5);
        EVENTUALLY(server.stats().accepted == 6 && server.stats().refused == 1);
        CHECK(server.refused(TRANSOM_REJECT_BAD_HEADER) == 1);
        server.stop();
        CHECK(server.is_stopping());
    }

    check_throws(TRANSOM_NOT_STARTED, "", [] { static_cast<void>(transom::Server().stats()); });

    /* An access log in two formats. */
    {
        std::mutex mutex;
        std::string lines;
        const auto holds = [&](const char *text) {
            const std::lock_guard<std::mutex> lock(mutex);
            return lines.find(text) != std::string::npos;
        };
        transom::AccessLog access([&](std::string_view more) {
            const std::lock_guard<std::mutex> lock(mutex);
            if (more.find("/lost") != std::string_view::npos)
                throw std::runtime_error("no room");
            lines.append(more);
        });
        check_throws(TRANSOM_INVALID_ARGUMENT, "common, combined or json", [&] { access.format("xml"); });
        check_throws(TRANSOM_IO, "did not open", [&] { access.reopen(); });
        check_throws(TRANSOM_IO, "cannot open", [] { transom::AccessLog("./none/access.log"); });
        transom::Server server;
        server.access_log(access.buffer(1 << 20).format("json"));
        server.access_log(access.own_format([](const Exchange &exchange) -> std::string {
            if (exchange.target() == "/throws")
                throw std::runtime_error("no line");
            return "own " + std::string(exchange.target().value_or("-")) + std::string(1000, '.');
        }));
        server.start("127.0.0.1:0");
        CHECK(get(server, "/throws").status == 404);
        CHECK(get(server, "/a").status == 404);
        EVENTUALLY(holds("\"url.path\":\"/throws\"") && holds("\"url.path\":\"/a\"") && holds("own /a...") && holds("...\n"));
        CHECK(!holds("own /throws"));
        EVENTUALLY(log.has("1: the format of an access log threw: no line\n"));
        CHECK(get(server, "/lost").status == 404);
        EVENTUALLY(access.lost() == 2);
        EVENTUALLY(log.has("1: the function of an access log threw: no room\n"));
        CHECK(access.flush(std::chrono::seconds(20)));
    }

    /* Hosts and Unix sockets. */
    transom::set_log_level(transom::Level::off);
    transom::log(transom::Level::error, "not logged");
    CHECK(!log.has("not logged"));
    transom::Server server;
    check_throws(TRANSOM_INVALID_ARGUMENT, "", [&] { server.allow_host("http://x"); });
    server.allow_host("example.com").allow_loopback_hosts();
    server.on_exchange([](const Exchange &) { throw 1; });
    server.get("/who", [](const Request &request) {
        const auto peer = request.peer_credentials();
        CHECK(request.connection_peer() == request.peer());
        CHECK(request.scheme() == "http" && !request.host().empty());
        if (!peer)
            return std::string(request.local_address());
        CHECK(peer->pid == std::uint32_t(getpid()) && peer->uid == getuid() && peer->gid == getgid());
        return std::string(request.peer());
    });
    server.bind("unix:./socket").start("127.0.0.1:0");
    CHECK(ask_unix("./socket") == "unix");
    const int copy = server.listener(1);
    CHECK(copy >= 0 && close(copy) == 0);
    check_throws(TRANSOM_OUT_OF_RANGE, "no such", [&] { static_cast<void>(server.listener(2)); });
    CHECK(get(server, "/who").status == 421);
    Client client(server);
    client.say("GET /who HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
    CHECK(client.hear().body == server.address(1));
    return 0;
}
