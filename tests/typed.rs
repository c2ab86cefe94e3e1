//! Typed input and output: what fits, and how what does not fit is answered.
#![cfg(feature = "serde")]

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use smol::block_on;
use transom::{Json, JsonLimits, Method, Request, Response, Route, Router, Tester};

#[derive(Debug, Deserialize, Serialize)]
struct User {
    name: String,
    age: u8,
    #[serde(default)]
    tags: Vec<String>,
}

fn tester() -> Tester {
    Router::new()
        .post("/json", async |req: Request| req.json::<User>().map(Json))
        .route(
            Route::new(Method::POST, "/stream", async |req: Request| req.json::<User>().map(Json))
                .streaming(),
        )
        .post("/form", async |req: Request| req.form::<User>().map(Json))
        .post("/limited", async |req: Request| {
            let mut limits = JsonLimits::default();
            (limits.depth, limits.size) = (2, Some(20));
            let lists: Vec<Vec<serde::de::IgnoredAny>> = req.json_within(limits)?;
            Ok(format!("{}\n", lists.iter().map(Vec::len).sum::<usize>()))
        })
        .get("/query", async |req: Request| req.query_as::<User>().map(Json))
        .get("/{name}/{age}", async |req: Request| req.params_as::<User>().map(Json))
        .get("/broken", async |_: Request| Json(HashMap::from([((1, 2), 3)])))
        .tester()
        .unwrap()
}

fn ask(method: Method, target: &str, kind: Option<&str>, body: &'static str) -> Response {
    let mut request = Request::new(method, target).unwrap();
    if let Some(kind) = kind {
        request.headers_mut().append("content-type", kind).unwrap();
    }
    *request.body_mut() = body.into();
    block_on(tester().answer(request))
}

#[track_caller]
fn expect(response: &Response, status: u16, text: &str) {
    let body = std::str::from_utf8(response.body_ref().as_bytes().unwrap()).unwrap();
    assert_eq!(response.status_code().as_u16(), status, "{body}");
    assert!(body.starts_with(text), "{body} does not start with {text}");
}

const ADA: &str = r#"{"name":"ada","age":36,"tags":[]}"#;

#[test]
fn json_is_read_and_written() {
    for kind in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"] {
        let answer = ask(Method::POST, "/json", Some(kind), r#"{"name": "ada", "age": 36}"#);
        expect(&answer, 200, ADA);
        assert_eq!(answer.headers().get("content-type"), Some("application/json"));
    }
}

#[test]
fn json_that_does_not_fit_is_answered_with_a_sentence() {
    let json = Some("application/json");
    for (kind, body, status, text) in [
        (json, "{\"name\": ", 400, "the body is not JSON: EOF while parsing"),
        (json, "", 400, "the body is not JSON: "),
        (json, "{'name': 1}", 400, "the body is not JSON: key must be a string"),
        (json, r#"{"name": "ada"}"#, 422, "the JSON is not as expected: missing field `age`"),
        (json, r#"{"name": "ada", "age": 300}"#, 422, "the JSON is not as expected: invalid value"),
        (Some("text/plain"), ADA, 415, "the content type of the body is not application/json\n"),
        (None, ADA, 415, "the content type of the body is not application/json\n"),
    ] {
        expect(&ask(Method::POST, "/json", kind, body), status, text);
    }
}

#[test]
fn json_beyond_a_limit_ends_there() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    // More than the stack of any thread would bear.
    let bomb = "[".repeat(5_000_000);
    let deep = "the JSON is nested more than 100 levels deep\n";
    for (body, status, told) in [
        (nested(100), 422, "the JSON is not as expected"),
        (nested(101), 400, deep),
        (bomb, 400, deep),
        (r#"{"a":"#.repeat(1_000_000), 400, deep),
    ] {
        expect(&ask(Method::POST, "/json", Some("application/json"), body.leak()), status, told);
    }
    for (body, status, told) in [
        ("[[1, 2]]", 200, "2\n"),
        ("[[[], [], []]]", 400, "the JSON is nested more than 2 levels deep\n"),
        ("[[1, 2, 3, 4, 5, 6, 7]]", 413, "the JSON is larger than 20 bytes\n"),
    ] {
        expect(&ask(Method::POST, "/limited", Some("application/json"), body), status, told);
    }
}

#[test]
fn ten_thousand_fields_end_at_the_limit() {
    let kind = Some("application/x-www-form-urlencoded");
    let fields = |count: usize| "name=ada&age=1".to_owned() + &"&tags=x".repeat(count - 2);
    expect(&ask(Method::POST, "/form", kind, fields(1000).leak()), 200, "{");
    for count in [1001, 10_000] {
        let told = "the form has more than 1000 fields\n";
        expect(&ask(Method::POST, "/form", kind, fields(count).leak()), 413, told);
        let told = "the query has more than 1000 fields\n";
        expect(&ask(Method::GET, &format!("/query?{}", fields(count)), None, ""), 400, told);
    }
}

#[test]
fn the_sentence_about_a_long_value_is_short() {
    let body = format!(r#"{{"name": "ada", "age": "{}"}}"#, r"\u0001é".repeat(50_000));
    let answer = ask(Method::POST, "/json", Some("application/json"), body.leak());
    expect(&answer, 422, "the JSON is not as expected: invalid type: string \"");
    let text = std::str::from_utf8(answer.body_ref().as_bytes().unwrap()).unwrap();
    assert!(text.len() < 512, "{} bytes", text.len());
    assert!(text.contains(" ... ") && text.ends_with("expected u8 at line 1 column 400025\n"), "{text}");
}

#[test]
fn json_on_a_route_that_streams_is_a_mistake_of_the_program() {
    expect(&ask(Method::POST, "/stream", Some("application/json"), ADA), 500, "500 Internal Server Error\n");
}

#[test]
fn a_form_is_read() {
    let kind = Some("application/x-www-form-urlencoded");
    let answer = ask(Method::POST, "/form", kind, "name=a+d%61&age=1&tags=x&tags=y");
    expect(&answer, 200, r#"{"name":"a da","age":1,"tags":["x","y"]}"#);
    expect(&ask(Method::POST, "/form", kind, "name=ada&age=old"), 422, "the form is not as expected: ");
    expect(
        &ask(Method::POST, "/form", Some("application/json"), ADA),
        415,
        "the content type of the body is not ",
    );
}

#[test]
fn a_query_and_the_parameters_of_a_path_are_read() {
    expect(&ask(Method::GET, "/query?name=ada&age=36", None, ""), 200, ADA);
    expect(
        &ask(Method::GET, "/query?name=ada", None, ""),
        400,
        "the query is not as expected: missing field `age`",
    );
    expect(&ask(Method::GET, "/query", None, ""), 400, "the query is not as expected: missing field `name`");
    expect(&ask(Method::GET, "/a%26b%3Dc%20+/36", None, ""), 200, r#"{"name":"a&b=c +","age":36"#);
    expect(&ask(Method::GET, "/ada/old", None, ""), 404, "the path is not as expected: invalid digit");
}

#[test]
fn a_value_that_json_cannot_hold_is_a_500() {
    expect(&ask(Method::GET, "/broken", None, ""), 500, "500 Internal Server Error\n");
}
