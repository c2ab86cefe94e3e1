//! Which route a request takes, and with which parameters.

use transom::{Method, Request, Route, Router};

use crate::common::{Client, start};

/// A handler that says which route it is of, and with what.
macro_rules! says {
    ($name:literal) => {
        async |req: Request| {
            let params: Vec<_> =
                req.params().iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            format!("{} {}", $name, params.join(" "))
        }
    };
}

#[test]
fn the_rest_of_a_path_may_be_empty() {
    let app = Router::new()
        .get("/files/{*path}", says!("files"))
        .get("/of/{user}/{*path}", says!("of"))
        .get("/own/{*path}", says!("rest"))
        .get("/own/", says!("own"))
        .get("/before/", says!("before"))
        .get("/before/{*path}", says!("rest"))
        .get("/{*rest}", says!("all"));
    let server = start(app);
    let mut client = Client::connect(&server);
    for (path, answer) in [
        ("/files/", "files path=\"\""),
        ("/files/a/b", "files path=\"a/b\""),
        ("/files//", "files path=\"/\""),
        ("/files", "all rest=\"files\""),
        ("/of/me/", "of user=\"me\" path=\"\""),
        ("/of/me/a", "of user=\"me\" path=\"a\""),
        ("/own/", "own "),
        ("/own/a", "rest path=\"a\""),
        ("/before/", "before "),
        ("/before/a", "rest path=\"a\""),
        ("/", "all rest=\"\""),
        ("/x/y", "all rest=\"x/y\""),
    ] {
        client.get(path).expect(200, answer);
    }
}

#[test]
fn an_empty_rest_has_the_methods_of_its_route() {
    let app = Router::new()
        .get("/files/{*path}", says!("get"))
        .put("/files/{*name}", says!("put"))
        .post("/fixed/", says!("post"))
        .get("/fixed/{*path}", says!("rest"));
    let server = start(app);
    let mut client = Client::connect(&server);
    client.send("PUT /files/ HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    client.answer().expect(200, "put name=\"\"");
    client.send("HEAD /files/ HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head().status, 200);
    client.send("DELETE /files/ HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.answer().header("allow"), Some("GET, HEAD, PUT"));
    // A fixed path wins over a rest, whatever the method.
    assert_eq!(client.get("/fixed/").header("allow"), Some("POST"));
}

#[test]
fn each_method_has_its_own_names() {
    let app = Router::new()
        .get("/one/{id}", says!("get"))
        .post("/one/{other}", says!("post"))
        .route(Route::any("/one/{any}", says!("any")))
        .get("/two/{a}/{b}", says!("ab"))
        .route(Route::new(Method::PUT, "/two/{b}/{a}", says!("ba")))
        .get("/two/{x}/{y}/{z}", says!("xyz"));
    let server = start(app);
    let mut client = Client::connect(&server);
    client.get("/one/7").expect(200, "get id=\"7\"");
    for (method, path, answer) in [
        ("POST", "/one/7", "post other=\"7\""),
        ("PATCH", "/one/7", "any any=\"7\""),
        ("PUT", "/two/1/2", "ba b=\"1\" a=\"2\""),
        ("GET", "/two/1/2", "ab a=\"1\" b=\"2\""),
        ("GET", "/two/1/2/3", "xyz x=\"1\" y=\"2\" z=\"3\""),
    ] {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"));
        client.answer().expect(200, answer);
    }
    client.send("DELETE /two/1/2 HTTP/1.1\r\nHost: h\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, PUT")));
}

#[test]
fn a_pattern_is_the_same_written_decoded_or_encoded() {
    let app = Router::new()
        .get("/café", says!("plain"))
        .get("/th%C3%A9", says!("encoded"))
        .get("/a%20b", says!("space"))
        .get("/c d", says!("space"))
        .get("/e%2ff", says!("slash"))
        .get("/100%25", says!("percent"))
        .get("/%3Aid", says!("colon"))
        .get("/q%3Fx", says!("question"))
        .get("/{{a}}", says!("braces"));
    let server = start(app);
    let mut client = Client::connect(&server);
    for (path, answer) in [
        ("/caf%C3%A9", "plain "),
        ("/caf%c3%a9", "plain "),
        ("/th%C3%A9", "encoded "),
        ("/a%20b", "space "),
        ("/c%20d", "space "),
        ("/e%2Ff", "slash "),
        ("/e%2ff", "slash "),
        ("/100%25", "percent "),
        ("/:id", "colon "),
        ("/%3aid", "colon "),
        ("/q%3fx", "question "),
        ("/%7Ba%7D", "braces "),
    ] {
        client.get(path).expect(200, answer);
    }
    assert_eq!(client.get("/e/f").status, 404);
    assert_eq!(client.get("/q?x").status, 404);
}

#[test]
fn a_parameter_that_is_not_utf8_has_its_bytes() {
    let app = Router::new().get("/caf\u{e9}/{name}/{*rest}", async |req: Request| {
        let (params, text) = (req.params(), req.param("name").to_owned());
        let bytes = |name| params.get_bytes(name).unwrap().escape_ascii();
        format!("{} {} {text}", bytes("name"), bytes("rest"))
    });
    let server = start(app);
    let mut client = Client::connect(&server);
    for (path, answer) in [
        ("/caf%C3%A9/%FF/%FE/", "\\xff \\xfe/ \u{fffd}"),
        ("/caf%c3%a9/%fe/", "\\xfe  \u{fffd}"),
        ("/caf%C3%A9/%25FF%FF/%2f%C3", "%FF\\xff /\\xc3 %FF\u{fffd}"),
        ("/caf%C3%A9/plain/%C3%A9", "plain \\xc3\\xa9 plain"),
    ] {
        client.get(path).expect(200, answer);
    }
    client.get("/caf%C3/a/").expect(404, "404 Not Found\n");
}
