/* Each form of a handler, what it reads of a request, and each way to answer. */
#include "common.hpp"

using transom::Request;
using transom::Responder;
using transom::Response;

static Response plain_function(const Request &request)
{
    return {201, std::string(request.method())};
}

struct Counter {
    mutable std::atomic<int> calls{0};
    std::string operator()() const { return std::to_string(++calls); }
};

static void add_forms(transom::Server &server)
{
    server.get("/literal", [] { return "a literal"; })
        .get("/view", [](const Request &request) { return request.path(); })
        .get("/string", [](const Request &request) { return std::string(request.path()); })
        .get("/nothing", [] {})
        .get("/function", plain_function)
        .get("/responder", [](const Request &, Responder responder) { responder.text("by hand", 202); })
        .get("/reference", [](const Request &, Responder &&responder) { responder.text("by reference"); })
        .get("/json", [] { return Response::json("{}", 203); })
        .get("/html", [] { return Response::html("<p>"); })
        .get("/bytes", [] { return Response::bytes("image/png", std::string(3, '\0')); })
        .get("/away", [] { return Response::redirect("/here"); })
        .get("/csv", [] { return Response("a,b").header("Content-Type", "text/csv"); })
        .get("/large", [] { return Response(std::string(100000, 'x')); })
        .get("/fields", [] {
            Response response(200, "fields");
            for (int i = 0; i < 40; i++)
                response.header("x-field-" + std::to_string(i), std::to_string(i));
            return response;
        });
}

static void check_forms(const transom::Server &server)
{
    Reply reply = get(server, "/literal");
    CHECK(reply.status == 200 && reply.body == "a literal" && reply.has("content-type: text/plain; charset=utf-8\r\n"));
    CHECK(get(server, "/view").body == "/view");
    CHECK(get(server, "/string").body == "/string");
    CHECK(get(server, "/nothing").status == 204);
    reply = get(server, "/function");
    CHECK(reply.status == 201 && reply.body == "GET");
    reply = get(server, "/responder");
    CHECK(reply.status == 202 && reply.body == "by hand");
    CHECK(get(server, "/reference").body == "by reference");
    reply = get(server, "/json");
    CHECK(reply.status == 203 && reply.body == "{}" && reply.has("content-type: application/json\r\n"));
    CHECK(get(server, "/html").has("content-type: text/html; charset=utf-8\r\n"));
    reply = get(server, "/bytes");
    CHECK(reply.body == std::string(3, '\0') && reply.has("content-type: image/png\r\n"));
    reply = get(server, "/csv");
    CHECK(reply.has("text/csv\r\n") && !reply.has("text/plain"));
    reply = get(server, "/away");
    CHECK(reply.status == 302 && reply.body.empty() && reply.has("location: /here\r\n"));
    CHECK(get(server, "/large").body == std::string(100000, 'x'));
    reply = get(server, "/fields");
    CHECK(reply.has("x-field-0: 0\r\n") && reply.has("x-field-39: 39\r\n") && reply.has("content-type: text/plain"));
}

static void read_request(const Request &request, Responder responder)
{
    const std::string long_name(200, 'n');
    CHECK(request.method() == "POST" && request.path() == "/read/a%20b/c/d" && request.query() == "q=1");
    CHECK(request.target() == "/read/a%20b/c/d?q=1" && request.body() == "body" && request.version() == 11);
    CHECK(request.peer().substr(0, 10) == "127.0.0.1:" && request.raw_headers().find("Host: test\r\n") == 0);
    CHECK(request.header("x-ONE") == "1" && !request.header("x-two") && request.header("x-empty") == "");
    CHECK(request.header(long_name) == "long");
    CHECK(request.header(std::string_view("x-one and more", 5)) == "1");
    CHECK(request.param("name") == "a b" && request.param("rest") == "c/d");
    CHECK(request.params().size() == 2 && request.params()[1].name == "rest" && !request.headers().empty());
    check_throws(TRANSOM_OUT_OF_RANGE, "{other}", [&] { static_cast<void>(request.param("other")); });
    check_throws(TRANSOM_INVALID_ARGUMENT, "NUL", [&] { static_cast<void>(request.header({"a\0b", 3})); });
    std::string names;
    for (const auto [name, value] : request.headers())
        names.append(name).append(value.empty() ? ";" : ",");
    CHECK(names.find("Host,Connection,Content-Length,X-One,X-Empty;") == 0);
    CHECK(std::distance(request.headers().begin(), request.headers().end()) == 6);
    CHECK(request.headers()[99].name.empty());
    /* A copy is the same request. */
    const Request copy = request;
    CHECK(copy.handle() == request.handle());
    responder.send(200, "read", {{"x-back", *request.header("x-one")}});
}

static void read_form(const Request &request, Responder responder)
{
    CHECK(request.query_value("q") == "a b" && request.query_value("q", 1) == "" && !request.query_value("Q"));
    CHECK(request.query_fields().size() == 2 && request.query_fields()[0].value() == "a b");
    CHECK(request.form_value("x") == "&" && !request.form_value("q"));
    CHECK(request.form_fields().size() == 1 && request.form_fields()[0].name() == "x");
    CHECK(request.cookie("session") == "1" && !request.cookie("other") && request.trailers().empty());
    CHECK(transom::percent_decode("%41+%4") == "A+%4" && transom::percent_decode("").empty());
    responder.text("form");
}

static void answer(const Request &request, Responder responder)
{
    const std::string_view how = request.param("how");
    const std::vector<transom::Field> fields{{"x-a", "1"}, {"x-b", "2"}};
    CHECK(responder && responder.token() != 0 && responder.handle() != nullptr && !responder.is_gone());
    if (how == "fields")
        CHECK(responder.send(200, "some", fields));
    else if (how == "empty")
        CHECK(responder.send(204));
    else if (how == "html")
        CHECK(responder.html("<p>", 404));
    else if (how == "json")
        CHECK(responder.json("[]"));
    else if (how == "bytes")
        CHECK(responder.bytes("image/png", "png"));
    else if (how == "redirect")
        CHECK(responder.redirect("/there", 308));
    else if (how == "vector")
        CHECK(responder.send_owned(200, std::vector<unsigned char>(70000, 'v'), fields));
    else if (how == "file")
        CHECK(responder.send_file(206, __FILE__, {{"x-file", "yes"}}, 0, 10));
    /* What was refused leaves the responder as it was; what was sent leaves it empty. */
    if (responder) {
        check_throws(TRANSOM_BAD_HEADER, "transfer-encoding", [&] { responder.send(200, "", {{"transfer-encoding", "x"}}); });
        check_throws(TRANSOM_BAD_STATUS_CODE, "", [&] { responder.send(-200); });
        check_throws(TRANSOM_BAD_STATUS_CODE, "", [&] { responder.send(65736); });
        check_throws(TRANSOM_IO, "cannot open /nowhere: No such file", [&] { responder.send_file(200, "/nowhere"); });
        check_throws(TRANSOM_BAD_HEADER, "", [&] { responder.send_owned(200, std::string("x"), {{"a b", "x"}}); });
        check_throws(TRANSOM_BAD_HEADER, "", [&] { static_cast<void>(responder.start(200, {{"a", "\n"}})); });
        CHECK(responder.text("after all"));
    }
    CHECK(!responder && responder.is_gone());
    check_throws(TRANSOM_ALREADY_ANSWERED, "", [&] { responder.text("twice"); });
    check_throws(TRANSOM_ALREADY_ANSWERED, "", [&] { responder.on_gone([] {}); });
}

int main()
{
    transom::Server server;
    add_forms(server);
    Counter counter;
    server.get("/object", std::ref(counter));
    server.post("/read/{name}/{*rest}", read_request);
    server.post("/form", read_form);
    server.get("/answer/{how}", answer);
    for (const auto add : {&transom::Server::put<std::string (*)()>, &transom::Server::patch<std::string (*)()>,
                           &transom::Server::del<std::string (*)()>, &transom::Server::any<std::string (*)()>})
        (server.*add)("/method", [] { return std::string("method"); });
    server.route("BREW", "/method", [](const Request &request) { return request.method(); });
    server.fallback([] { return Response::html("nowhere", 404); });
    server.start("127.0.0.1:0");

    check_forms(server);
    CHECK(get(server, "/object").body == "1" && get(server, "/object").body == "2" && counter.calls == 2);
    const std::string fields = "X-One: 1\r\nX-Empty:\r\n" + std::string(200, 'n') + ": long\r\n";
    const Reply reply = ask(server, "POST", "/read/a%20b/c/d?q=1", "body", fields);
    CHECK(reply.body == "read" && reply.has("x-back: 1\r\n"));
    const std::string form_head = "Content-Type: application/x-www-form-urlencoded\r\nCookie: session=1\r\n";
    CHECK(ask(server, "POST", "/form?q=a+b&q", "x=%26", form_head).body == "form");
    CHECK(get(server, "/answer/fields").has("x-a: 1\r\nx-b: 2\r\n"));
    CHECK(get(server, "/answer/empty").status == 204);
    CHECK(get(server, "/answer/html").status == 404);
    CHECK(get(server, "/answer/json").has("content-type: application/json\r\n"));
    CHECK(get(server, "/answer/bytes").body == "png");
    CHECK(get(server, "/answer/redirect").has("location: /there\r\n"));
    CHECK(get(server, "/answer/vector").body == std::string(70000, 'v'));
    CHECK(get(server, "/answer/file").body == "/* Each fo");
    CHECK(get(server, "/answer/refused").body == "after all");
    for (const char *method : {"PUT", "PATCH", "DELETE", "GET"})
        CHECK(ask(server, method, "/method").body == "method");
    CHECK(ask(server, "BREW", "/method").body == "BREW");
    CHECK(get(server, "/else").body == "nowhere" && get(server, "/else").status == 404);
    return 0;
}
