/*
 * GET /hello/{name} on port 8080.
 *
 *     c++ -std=c++17 bindings/c/examples/hello.cpp $(pkg-config --cflags --libs transom) -o hello
 */
#include <transom.hpp>

int main()
{
    transom::Server server;
    server.get("/hello/{name}", [](const transom::Request &request) {
        return "hello, " + std::string(request.param("name")) + "\n";
    });
    server.run("127.0.0.1:8080");
}
