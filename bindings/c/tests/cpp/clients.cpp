/* Clients in memory, without a socket. */
#include "common.hpp"

int main()
{
    transom::Server server;
    server.get("/", [](const transom::Request &request) { return "hello " + std::string(request.peer()); });
    check_throws(TRANSOM_NOT_STARTED, "", [&] { (void)server.connect(); });
    server.unbound().start();
    CHECK(server.port() == 0);
    check_throws(TRANSOM_BAD_ADDRESS, "'localhost'", [&] { (void)server.connect("localhost"); });

    char buffer[1000];
    std::size_t length = 1;
    std::string all;
    transom::Client none, client = server.connect("127.0.0.1:50000");
    CHECK(client && !none && none.read(buffer, sizeof buffer, length) == TRANSOM_GONE && length == 0);
    CHECK(none.write("x") == TRANSOM_GONE);
    CHECK(client.read(buffer, sizeof buffer, length, std::chrono::milliseconds(0)) == TRANSOM_WOULD_BLOCK);
    CHECK(client.write("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") == TRANSOM_OK);
    while (client.read(buffer, sizeof buffer, length) == TRANSOM_OK && length > 0)
        all.append(buffer, length);
    CHECK(all.find("\r\n\r\nhello 127.0.0.1:50000") != std::string::npos);
    none = std::move(client);
    CHECK(none && !client && client.handle() == nullptr);
    client.finish();
    none.finish();
    CHECK(none.write("x") == TRANSOM_GONE);
    transom_client_free(none.release());
    CHECK(!none);
    return 0;
}
