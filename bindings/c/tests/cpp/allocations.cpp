/* What the wrapper allocates: nothing for a request, and one object for each callable. */
#include "common.hpp"

#include <cstdlib>
#include <new>

using transom::Request;
using transom::Responder;
using transom::Response;

static std::atomic<int> allocations{0};

void *operator new(std::size_t size)
{
    allocations++;
    if (void *memory = std::malloc(size))
        return memory;
    throw std::bad_alloc();
}

void operator delete(void *memory) noexcept
{
    std::free(memory);
}

void operator delete(void *memory, std::size_t) noexcept
{
    std::free(memory);
}

/* Returns the allocations of C++ while the call runs. */
template <class F> static int counted(F call)
{
    const int before = allocations;
    call();
    return allocations - before;
}

/* Sends a request and waits for the whole response, without an allocation. */
static void exchange(int fd, const char *request, const char *expected)
{
    char bytes[4096] = "";
    std::size_t length = 0;
    const std::size_t size = std::strlen(request);
    CHECK(send(fd, request, size, MSG_NOSIGNAL) == ssize_t(size));
    do {
        const ssize_t count = recv(fd, bytes + length, sizeof bytes - 1 - length, 0);
        if (count < 0 && errno == EINTR)
            continue;
        CHECK(count > 0);
        length += std::size_t(count);
        bytes[length] = '\0';
    } while (std::strstr(bytes, expected) == nullptr);
}

static int connect_to(const transom::Server &server)
{
    sockaddr_in address{};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval time{patience.count(), 0};
    address.sin_family = AF_INET;
    address.sin_port = htons(server.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && connect(fd, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    return fd;
}

int main()
{
    /* A memory checker puts operators of its own in the place of those above. */
    if (counted([] { ::operator delete(::operator new(1)); }) == 0) {
        std::puts("skipped: the allocations cannot be counted");
        return 0;
    }
    transom::Server server;
    CHECK(counted([&] { server.get("/literal", [] { return "literal"; }); }) == 1);
    server.get("/view/{id}", [](const Request &request) { return request.param("id"); });
    server.get("/send", [](const Request &request, Responder responder) {
        responder.send(200, "sent", {{"x-one", request.header("host").value_or("")}, {"x-two", "2"}});
    });
    server.get("/stream", [](const Request &request, Responder responder) {
        auto writer = responder.start(200);
        for (const auto [name, value] : request.headers())
            writer.write(value);
        writer.write("stream");
        writer.finish();
    });
    /* The text of this one is a std::string. */
    server.get("/value", [] { return Response(std::string(100, 'v')).header("x-name", "value"); });
    server.start("127.0.0.1:0");
    const int fd = connect_to(server);
    for (const auto &[request, expected] : {std::pair("GET /literal HTTP/1.1\r\nHost: h\r\n\r\n", "literal"),
                                            std::pair("GET /view/id HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n\r\nid"),
                                            std::pair("GET /send HTTP/1.1\r\nHost: h\r\n\r\n", "sent"),
                                            std::pair("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n0\r\n\r\n")})
        CHECK(counted([&, &request = request, &expected = expected] { exchange(fd, request, expected); }) == 0);
    CHECK(counted([&] { exchange(fd, "GET /value HTTP/1.1\r\nHost: h\r\n\r\n", "vvv"); }) > 0);
    close(fd);
    return 0;
}
