/* The second translation unit of two_units.cpp. */
#include <transom.hpp>

void add_other(transom::Server &server);
bool is_error_of_other(const std::exception &exception);

void add_other(transom::Server &server)
{
    server.get("/two", [](const transom::Request &) { return "two"; });
}

bool is_error_of_other(const std::exception &exception)
{
    const auto *error = dynamic_cast<const transom::Error *>(&exception);
    return error != nullptr && error->code() == TRANSOM_ALREADY_STARTED;
}
