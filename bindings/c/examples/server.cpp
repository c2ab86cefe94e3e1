/*
 * cpp-httplib's example server, with the same routes: a redirection, a text, a slow answer, the
 * header fields of the request, a stop, a page for errors, and a log of each request and its
 * response.
 *
 *     curl -L http://127.0.0.1:8080/
 *     curl http://127.0.0.1:8080/dump
 *     curl http://127.0.0.1:8080/stop
 */
#include <iostream>
#include <thread>
#include <transom.hpp>

using namespace transom;

template <class Headers> static std::string dump(const Headers &headers)
{
    std::string text;
    for (auto [name, value] : headers)
        text.append(name).append(": ").append(value).append("\n");
    return text;
}

static void log_exchange(const Request &request, OutgoingResponse &response)
{
    std::string text = "================================\n";
    text.append(request.method()).append(" ").append(request.target()).append("\n");
    text.append(dump(request.headers())).append("--------------------------------\n");
    text.append(std::to_string(response.status_code())).append("\n").append(dump(response.headers()));
    std::cerr << text.append("\n").append(response.body().value_or("")).append("\n");
}

int main(int argc, char **argv) try {
    Server server;

    server.get("/", [] { return Response::redirect("/hi"); });

    server.get("/hi", [] { return "Hello World!\n"; });

    server.get("/slow", [] {
        std::this_thread::sleep_for(std::chrono::seconds(2));
        return "Slow...\n";
    });

    server.get("/dump", [](const Request &request) { return dump(request.headers()); });

    server.get("/stop", [&] { server.stop(); });

    server.own_answers([](const OwnAnswer &answer, OutgoingResponse &response) {
        const std::string status = std::to_string(answer.status_code());
        response.set_header("content-type", "text/html");
        response.set_body("<p>Error Status: <span style='color:red;'>" + status + "</span></p>");
    });

    server.wrap(nullptr, log_exchange);

    server.start(argc > 1 ? argv[1] : "localhost:8080");
    std::cout << "listening on http://" << server.address() << std::endl;
    server.wait();
} catch (const Error &error) {
    std::cerr << argv[0] << ": " << error.what() << "\n";
    return 1;
}
