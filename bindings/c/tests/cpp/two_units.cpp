/* Two translation units include the header: this one, and two_units_other.cc. */
#include "common.hpp"

void add_other(transom::Server &server);
bool is_error_of_other(const std::exception &exception);

int main()
{
    transom::Server server;
    server.get("/one", [](const transom::Request &) { return "one"; });
    add_other(server);
    server.start("127.0.0.1:0");
    CHECK(get(server, "/one").body == "one" && get(server, "/two").body == "two");
    try {
        server.start("127.0.0.1:0");
        CHECK(false);
    } catch (const std::exception &exception) {
        CHECK(is_error_of_other(exception));
    }
    return 0;
}
