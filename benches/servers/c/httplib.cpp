/*
 * cpp-httplib: a pool of threads, each of which serves a connection to its end.
 *
 *     httplib --port 8080 --file FILE
 */
#include <httplib.h>

#include <csignal>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>

#include "common.h"
#include "events.h"

namespace {

constexpr size_t THREADS = 1100;
constexpr const char *TEXT = "text/plain", *OCTETS = "application/octet-stream";

/* A body of `length` bytes, written in pieces. */
void octets(httplib::Response &response, const char *bytes, size_t length, size_t piece)
{
    response.set_content_provider(length, OCTETS, [=](size_t, size_t left, httplib::DataSink &sink) {
        return sink.write(bytes, std::min(left, piece));
    });
}

void upload(const httplib::Request &, httplib::Response &response, const httplib::ContentReader &read)
{
    size_t total = 0;
    read([&](const char *, size_t length) {
        total += length;
        return true;
    });
    response.set_content(std::to_string(total), TEXT);
}

void events(const httplib::Request &, httplib::Response &response)
{
    auto count = std::make_shared<uint64_t>(events_count());
    response.set_chunked_content_provider("text/event-stream", [=](size_t, httplib::DataSink &sink) {
        char event[EVENT_SIZE];
        events_await((*count)++, event);
        return sink.write(event, sizeof event);
    });
}

void send_file(const char *path, httplib::Response &response)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) != 0)
        return;
    auto provide = [=](size_t at, size_t left, httplib::DataSink &sink) {
        static thread_local char piece[PIECE];
        ssize_t length = pread(file, piece, std::min(left, PIECE), static_cast<off_t>(at));
        return length > 0 && sink.write(piece, static_cast<size_t>(length));
    };
    response.set_content_provider(static_cast<size_t>(status.st_size), OCTETS, provide,
                                  [=](bool) { close(file); });
}

} // namespace

int main(int argc, char **argv)
{
    const char *bytes = reinterpret_cast<const char *>(xs(MIB));
    const char *file = option(argc, argv, "--file");
    httplib::Server server;
    int listener = -1;

    signal(SIGPIPE, SIG_IGN);
    server.new_task_queue = [] { return new httplib::ThreadPool(THREADS); };
    server.set_keep_alive_max_count(SIZE_MAX);
    server.set_keep_alive_timeout(60);
    server.set_tcp_nodelay(true);
    server.set_socket_options([&](int socket) {
        httplib::default_socket_options(socket);
        listener = socket;
    });
    server.Get("/plain", [](const httplib::Request &, httplib::Response &response) {
        response.set_content("hello", 5, TEXT);
    });
    server.Get("/wait", [](const httplib::Request &, httplib::Response &response) {
        std::this_thread::sleep_for(std::chrono::milliseconds(WAIT_MS));
        response.set_content("waited", 6, TEXT);
    });
    server.Get("/bytes/1m", [=](const httplib::Request &, httplib::Response &response) {
        octets(response, bytes, MIB, MIB);
    });
    server.Get("/bytes/100m", [=](const httplib::Request &, httplib::Response &response) {
        octets(response, bytes, 100 * MIB, PIECE);
    });
    server.Post("/upload", upload);
    server.Get("/events", events);
    server.Get("/file", [=](const httplib::Request &, httplib::Response &response) {
        send_file(file, response);
    });
    /* Its own backlog, of 5, is built into the library. */
    if (events_start(events_publish) != 0 || !server.bind_to_port("127.0.0.1", option_port(argc, argv)) ||
        listen(listener, BACKLOG) != 0) {
        perror("httplib");
        return 1;
    }
    return server.listen_after_bind() ? 0 : 1;
}
