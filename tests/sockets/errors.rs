//! What a handler's error becomes.

use std::io;

use transom::{
    HttpError, HttpResult, Method, OrStatus, Request, Response, Route, Router, StatusCode, blocking,
};

use crate::common::{Client, Logs, start};

#[test]
fn an_error_is_a_500_that_says_nothing_and_a_line_that_says_all() {
    #[derive(Debug)]
    struct Wrapped(io::Error);
    impl std::fmt::Display for Wrapped {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("cannot save")
        }
    }
    impl std::error::Error for Wrapped {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let app = Router::new()
        .get("/errors/io", async |_: Request| Err::<(), _>(io::Error::other("no disk").into()))
        .get("/errors/source", async |_: Request| {
            Err(Wrapped(io::Error::other("no space")))?;
            Ok("saved")
        })
        .get("/errors/text", async |_: Request| {
            Err("a plain text")?;
            Ok("never")
        })
        .get("/errors/boxed", async |_: Request| {
            Err(Box::<dyn std::error::Error + Send + Sync>::from("a box"))?;
            Ok(())
        })
        .get(
            "/errors/blocking",
            blocking(|_: Request| {
                std::fs::read("/no/such/file")?;
                Ok("read")
            }),
        );
    let server = start(app);
    let mut client = Client::connect(&server);
    for (path, line) in [
        ("/errors/io", "500: no disk (GET /errors/io"),
        ("/errors/source", "500: cannot save: no space (GET /errors/source"),
        ("/errors/text", "500: a plain text (GET /errors/text"),
        ("/errors/boxed", "500: a box (GET /errors/boxed"),
        ("/errors/blocking", "500: No such file or directory (os error 2) (GET /errors/blocking"),
    ] {
        client.get(path).expect(500, "500 Internal Server Error\n");
        Logs::expect(&format!("ERROR a handler answered {line}"));
    }
}

#[test]
fn a_handler_chooses_the_status_and_the_sentence_of_an_error() {
    let app = Router::new()
        .get("/status/{id}", async |req: Request| {
            let id: u8 = req.param("id").parse().or_bad_request("an id is a small number")?;
            ["zero", "one"].get(usize::from(id)).copied().or_not_found("no such id")
        })
        .get("/status-conflict", async |_: Request| Err::<(), _>(HttpError::conflict("it is there\n")))
        .get("/status-own", async |_: Request| -> HttpResult<()> {
            Err(HttpError::respond(Response::json("{}").status(StatusCode::UNAUTHORIZED).header("x-a", "1")))
        })
        .get("/status-502", async |_: Request| {
            Err::<(), _>(io::Error::other("no route to it")).or_status(StatusCode::BAD_GATEWAY, "try again")
        });
    let server = start(app);
    let mut client = Client::connect(&server);
    client.get("/status/1").expect(200, "one");
    client.get("/status/2").expect(404, "no such id\n");
    client.get("/status/many").expect(400, "an id is a small number\n");
    Logs::expect("DEBUG a handler answered 400: invalid digit found in string (GET /status/many");
    client.get("/status-conflict").expect(409, "it is there\n");
    let own = client.get("/status-own");
    own.expect(401, "{}");
    assert_eq!(own.header("x-a"), Some("1"));
    client.get("/status-502").expect(502, "try again\n");
    Logs::expect("ERROR a handler answered 502: no route to it (GET /status-502");
}

#[test]
fn the_error_of_a_body_is_answered_as_the_refusal_it_is() {
    let count = async |mut req: Request| {
        let mut total = 0;
        while let Some(chunk) = req.body_mut().chunk().await {
            total += chunk?.len();
        }
        Ok(total.to_string())
    };
    let app = Router::new().route(Route::new(Method::POST, "/", count).streaming().body_limit(10));
    let server = start(app);
    Client::connect(&server).post("/", "ten bytes.").expect(200, "10");
    let mut client = Client::connect(&server);
    client.send("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n20\r\n");
    client.send("x".repeat(32));
    assert_eq!(client.answer().status, 413);
}
