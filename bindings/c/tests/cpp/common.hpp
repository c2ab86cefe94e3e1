/*
 * Shared by the test programs in C++: checks, and a small blocking HTTP client.
 */
#ifndef COMMON_HPP
#define COMMON_HPP

#include <arpa/inet.h>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <netinet/in.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <sys/time.h>
#include <thread>
#include <transom.hpp>
#include <unistd.h>
#include <vector>

/* The longest that anything may take. */
constexpr std::chrono::seconds patience{60};

#define CHECK(...)                                                                                                     \
    do {                                                                                                               \
        if (!(__VA_ARGS__)) {                                                                                          \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #__VA_ARGS__);                             \
            std::exit(1);                                                                                              \
        }                                                                                                              \
    } while (0)

/* Waits until the condition holds. */
#define EVENTUALLY(...)                                                                                                \
    do {                                                                                                               \
        const auto deadline_ = std::chrono::steady_clock::now() + patience;                                            \
        while (!(__VA_ARGS__) && std::chrono::steady_clock::now() < deadline_)                                         \
            std::this_thread::sleep_for(std::chrono::milliseconds(5));                                                 \
        CHECK(__VA_ARGS__);                                                                                            \
    } while (0)

/* The call throws a transom::Error with this code, whose sentence contains `text`. */
inline void check_throws(transom_status code, const std::string &text, const std::function<void()> &call)
{
    try {
        call();
    } catch (const transom::Error &error) {
        if (error.code() != code || std::string(error.what()).find(text) == std::string::npos) {
            std::fprintf(stderr, "%d, \"%s\", and not %d, \"%s\"\n", error.code(), error.what(), code, text.c_str());
            std::exit(1);
        }
        return;
    }
    std::fprintf(stderr, "no error %d, \"%s\"\n", code, text.c_str());
    std::exit(1);
}

/* The lines of the library's log. */
class Log {
public:
    Log()
    {
        transom::set_logger([this](transom::Level level, std::string_view message) {
            const std::lock_guard<std::mutex> lock(mutex_);
            lines_.append(std::to_string(static_cast<int>(level))).append(": ").append(message).append("\n");
        });
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

/* A response, up to the end of the connection. */
struct Reply {
    int status = 0;
    std::string head, body;

    bool has(const std::string &text) const { return head.find(text) != std::string::npos; }
};

class Client {
public:
    explicit Client(const transom::Server &server) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_in address{};
        const timeval time{patience.count(), 0};
        CHECK(fd_ >= 0);
        address.sin_family = AF_INET;
        address.sin_port = htons(server.port());
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        CHECK(connect(fd_, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0);
        setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
        setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
    }
    Client(const Client &) = delete;
    Client &operator=(const Client &) = delete;
    ~Client() { leave(); }

    void leave()
    {
        if (fd_ >= 0)
            close(fd_);
        fd_ = -1;
    }

    void ask(const std::string &method, const std::string &target, const std::string &body = "",
             const std::string &fields = "")
    {
        say(method + " " + target + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: " +
            std::to_string(body.size()) + "\r\n" + fields + "\r\n" + body);
    }

    void say(const std::string &text) { CHECK(send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == ssize_t(text.size())); }

    /* Reads at least one byte, or returns an empty text at the end. */
    std::string some()
    {
        char bytes[65536];
        ssize_t count;
        do
            count = recv(fd_, bytes, sizeof bytes, 0);
        while (count < 0 && errno == EINTR);
        return std::string(bytes, count > 0 ? std::size_t(count) : 0);
    }

    Reply hear()
    {
        Reply reply;
        std::string text;
        for (std::string more = some(); !more.empty(); more = some())
            text += more;
        const auto end = text.find("\r\n\r\n");
        CHECK(text.compare(0, 9, "HTTP/1.1 ") == 0 && end != std::string::npos);
        reply.status = std::stoi(text.substr(9, 3));
        reply.head = text.substr(0, end + 2);
        reply.body = text.substr(end + 4);
        return reply;
    }

private:
    int fd_;
};

inline Reply ask(const transom::Server &server, const std::string &method, const std::string &target,
                 const std::string &body = "", const std::string &fields = "")
{
    Client client(server);
    client.ask(method, target, body, fields);
    return client.hear();
}

inline Reply get(const transom::Server &server, const std::string &target, const std::string &fields = "")
{
    return ask(server, "GET", target, "", fields);
}

#endif
