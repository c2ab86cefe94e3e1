/* The files of a folder under a path, and one file as a response. */
#include "common.hpp"

#include <fstream>
#include <sys/stat.h>

using transom::Request;
using transom::Responder;

int main()
{
    CHECK(mkdir("public", 0700) == 0);
    std::ofstream("public/a.txt") << "0123456789";
    std::ofstream("public/start.htm") << "start";

    check_throws(TRANSOM_IO, "none: No such file", [] { transom::Files("./none"); });
    transom::Files files("public");
    check_throws(TRANSOM_INVALID_ARGUMENT, "precompressed", [&] { files.set("fast", 1); });
    check_throws(TRANSOM_BAD_HEADER, "", [&] { files.cache_control("*", "a\nb"); });
    files.set("precompressed", 1).cache_control("*.txt", "max-age=60").content_type("txt", "text/x-own");
    files.index(nullptr).charset(nullptr).charset("utf-8").single_page("a.txt").index("start.htm");
    transom::Files moved(std::move(files));
    files = std::move(moved);

    transom::Server server;
    server.files("/static", files);
    check_throws(TRANSOM_BAD_ROUTE, "static", [&] { server.files("/static", files); });
    server.get("/one", [](const Request &request, Responder responder) {
        check_throws(TRANSOM_IO, "", [&] { responder.send_path(request, "none"); });
        CHECK(responder.send_path(request, "public/a.txt", {{"x-a", "1"}}, "b.txt"));
    });
    server.start("127.0.0.1:0");

    CHECK(get(server, "/static/").body == "start" && get(server, "/static/none").body == "0123456789");
    const Reply part = get(server, "/static/a.txt", "Range: bytes=1-2\r\n");
    CHECK(part.status == 206 && part.body == "12" && part.has("content-type: text/x-own\r\n"));
    CHECK(part.has("cache-control: max-age=60\r\n"));
    const Reply one = get(server, "/one", "Range: bytes=-1\r\n");
    CHECK(one.status == 206 && one.body == "9" && one.has("x-a: 1\r\n") && one.has("filename=\"b.txt\""));
    return 0;
}
