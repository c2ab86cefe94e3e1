//! What a program shares with its handlers, routers in routers, and settings for many routes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use transom::{Error, HttpError, Next, Request, Response, Router, Server, StatusCode, shared};

use crate::common::{Client, Logs, SHORT, start};

struct Db(Vec<&'static str>);

async fn second(req: Request) -> &'static str {
    req.state::<Db>().0[1]
}

#[test]
fn a_handler_owns_what_it_captures() {
    let names = Arc::new(vec!["ada", "grace"]);
    let hits = AtomicUsize::new(0);
    let app = Router::new()
        .get("/capture/{id}", async move |req: Request| {
            names.get(req.param("id").parse::<usize>()?).copied().ok_or(HttpError::not_found("nobody"))
        })
        .get(
            "/shared",
            shared(move |_: Request| {
                let hit = hits.fetch_add(1, Ordering::Relaxed);
                async move { hit.to_string() }
            }),
        );
    let server = start(app);
    let mut client = Client::connect(&server);
    client.get("/capture/1").expect(200, "grace");
    client.get("/capture/2").expect(404, "nobody\n");
    for hit in ["0", "1", "2"] {
        client.get("/shared").expect(200, hit);
    }
}

#[test]
fn the_state_of_a_router_is_there_in_handlers_and_wraps() {
    let app = Router::new()
        .wrap(async |req: Request, next: Next| {
            let first = req.state::<Db>().0[0];
            next.run(req).await.header("x-first", first)
        })
        .get("/", second)
        .state(Db(vec!["a", "b"]))
        .state(7_u8);
    let server = start(app);
    let answer = Client::connect(&server).get("/");
    answer.expect(200, "b");
    assert_eq!(answer.header("x-first"), Some("a"));
    assert_eq!(Client::connect(&server).get("/nowhere").header("x-first"), Some("a"));
}

#[test]
fn a_state_that_is_not_there_is_a_500_and_a_line_that_names_type_and_place() {
    let server = start(Router::new().state(1_u8).get("/no-state", second));
    assert_eq!(Client::connect(&server).get("/no-state").status, 500);
    Logs::expect("no state of type ");
    Logs::expect("state::Db was given to the router, and tests/sockets/state.rs:");
}

#[test]
fn a_state_that_is_given_twice_is_an_error_at_start() {
    for app in [
        Router::new().state(1_u8).state(2_u8),
        Router::new().state(1_u8).nest("/a", Router::new().state(2_u8)),
        Router::new().group(Router::new().state(1_u8)).state(2_u8),
    ] {
        let error = Server::new(app).service().unwrap_err();
        assert!(matches!(error, Error::DuplicateState { type_name: "u8" }), "{error}");
    }
}

/// Adds the name to the response.
fn named(router: Router, name: &'static str) -> Router {
    router.wrap(async move |req: Request, next: Next| {
        let route = next.route().unwrap_or("none").to_owned();
        next.run(req).await.append_header("x-in", format!("{name}:{route}"))
    })
}

#[test]
fn a_nested_router_keeps_its_wraps_and_whole_paths() {
    let users = Router::new()
        .get("/", async |req: Request| format!("all {}", req.path()))
        .get("/{id}", async |req: Request| format!("{} of {}", req.param("id"), req.param("tenant")));
    let api = named(Router::new(), "api")
        .nest("/{tenant}/users", named(users, "users"))
        .get("/version", async |_: Request| "1");
    let app = named(Router::new(), "app").nest("/api", api).get("/", async |_: Request| "index");
    let server = start(app);
    let mut client = Client::connect(&server);
    for (path, status, text, inside) in [
        ("/", 200, "index", vec!["app:/"]),
        ("/api/version", 200, "1", vec!["api:/api/version", "app:/api/version"]),
        (
            "/api/acme/users/7",
            200,
            "7 of acme",
            vec![
                "users:/api/{tenant}/users/{id}",
                "api:/api/{tenant}/users/{id}",
                "app:/api/{tenant}/users/{id}",
            ],
        ),
        (
            "/api/acme/users",
            200,
            "all /api/acme/users",
            vec!["users:/api/{tenant}/users", "api:/api/{tenant}/users", "app:/api/{tenant}/users"],
        ),
        ("/nowhere", 404, "404 Not Found\n", vec!["app:none"]),
        ("/api/nowhere", 404, "404 Not Found\n", vec!["api:none", "app:none"]),
        ("/api", 404, "404 Not Found\n", vec!["api:none", "app:none"]),
        ("/api/acme/users/7/x", 404, "404 Not Found\n", vec!["users:none", "api:none", "app:none"]),
        ("/apis", 404, "404 Not Found\n", vec!["app:none"]),
    ] {
        let answer = client.get(path);
        answer.expect(status, text);
        let found: Vec<_> = answer.head.lines().filter_map(|line| line.strip_prefix("x-in: ")).collect();
        assert_eq!(found, inside, "{path}");
    }
    let refused = client.post("/api/acme/users/7", "");
    let found: Vec<_> = refused.head.lines().filter_map(|line| line.strip_prefix("x-in: ")).collect();
    assert_eq!((refused.status, found), (405, vec!["users:none", "api:none", "app:none"]));
}

#[test]
fn the_root_of_a_nested_router_answers_with_and_without_a_slash_at_its_end() {
    fn router(name: &'static str) -> Router {
        Router::new().get("/", async move |req: Request| {
            let tenant = req.params().get("tenant").unwrap_or("-");
            format!("{name} {} {tenant}", req.path())
        })
    }
    let app = Router::new()
        .nest("/one", router("one"))
        // Routes with the slash go first, whether they are added before or after.
        .get("/two/", async |_: Request| "own")
        .nest("/two", router("two"))
        .nest("/three", router("three"))
        .get("/three/", async |_: Request| "own")
        .nest("/four", router("four").get("/{*rest}", async |req: Request| format!("rest {}", req.path())))
        .nest("/outer", Router::new().nest("/{tenant}", router("inner")))
        // A pattern that is no root is matched as it is.
        .get("/plain", async |_: Request| "plain");
    let server = start(app);
    let mut client = Client::connect(&server);
    for (path, text) in [
        ("/one", "one /one -"),
        ("/one/", "one /one/ -"),
        ("/two", "two /two -"),
        ("/two/", "own"),
        ("/three", "three /three -"),
        ("/three/", "own"),
        ("/four", "four /four -"),
        ("/four/", "rest /four/"),
        ("/four/x", "rest /four/x"),
        ("/outer/a", "inner /outer/a a"),
        ("/outer/a/", "inner /outer/a/ a"),
        ("/plain", "plain"),
    ] {
        client.get(path).expect(200, text);
    }
    for path in ["/one//", "/plain/", "/outer/", "/one/x"] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
    let refused = client.post("/one/", "");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn a_path_under_a_prefix_goes_to_the_nearest_fallback() {
    let inner = Router::new().get("/a", async |_: Request| "a").fallback(async |_: Request| "inner");
    let plain = Router::new()
        .get("/a", async |_: Request| "a")
        .wrap(async |req: Request, next: Next| next.run(req).await.header("x-plain", "1"));
    let app = Router::new()
        .nest("/inner", inner)
        .nest("/plain", plain)
        .fallback(async |_: Request| (StatusCode::NOT_FOUND, "outer"));
    let server = start(app);
    let mut client = Client::connect(&server);
    client.get("/inner/a").expect(200, "a");
    client.get("/inner/b").expect(200, "inner");
    client.get("/inner").expect(200, "inner");
    client.get("/b").expect(404, "outer");
    let plain = client.get("/plain/b");
    plain.expect(404, "outer");
    assert_eq!(plain.header("x-plain"), Some("1"));
    // A router in the middle that has a fallback, with and without a wrap of the inner one.
    let users = Router::new()
        .get("/a", async |_: Request| "a")
        .wrap(async |req: Request, next: Next| next.run(req).await.header("x-users", "1"));
    let api = Router::new().fallback(async |_: Request| "api").nest("/users", users);
    let app = Router::new().nest("/api", api).fallback(async |_: Request| "outer");
    let server = start(app);
    let mut client = Client::connect(&server);
    let missing = client.get("/api/users/b");
    missing.expect(200, "api");
    assert_eq!(missing.header("x-users"), Some("1"));
    client.get("/api/b").expect(200, "api");
    client.get("/b").expect(200, "outer");
}

#[test]
fn a_wrap_sees_the_parameters_of_its_prefix_without_a_route_too() {
    let named = async |req: Request, next: Next| {
        let tenant = req.param("tenant").to_owned();
        next.run(req).await.header("x-tenant", tenant)
    };
    let inner = Router::new().get("/a/{id}", async |_: Request| "a").wrap(named);
    let with_fallback = Router::new().fallback(async |req: Request| req.param("tenant").to_owned());
    let app = Router::new().nest("/{tenant}", inner).nest("/x/{tenant}", with_fallback);
    let server = start(app);
    let mut client = Client::connect(&server);
    let answers =
        [(client.get("/acme/a/1"), 200), (client.get("/acme/b"), 404), (client.post("/acme/a/1", ""), 405)];
    for (answer, status) in answers {
        assert_eq!((answer.status, answer.header("x-tenant")), (status, Some("acme")));
    }
    client.get("/x/acme/nowhere/at/all").expect(200, "acme");
    client.get("/x/acme").expect(200, "acme");
}

#[test]
fn a_prefix_that_cannot_be_is_an_error_at_start() {
    for (prefix, form) in [
        ("", "`/api`"),
        ("/", "`/api`"),
        ("/a/", "`/api`"),
        ("a", "starts with `/`"),
        ("/{*rest}", "`{*name}`"),
    ] {
        let app = Router::new().nest(prefix, Router::new());
        let error = Server::new(app).service().unwrap_err().to_string();
        assert!(error.contains(form), "{prefix:?}: {error}");
    }
    let twice = Router::new().get("/a/b", second).nest("/a", Router::new().get("/b", second));
    let error = Server::new(twice).service().unwrap_err().to_string();
    assert_eq!(error, "bad route GET \"/a/b\": there is a handler for this already");
}

#[test]
fn a_group_gives_its_settings_to_routes_without_their_own() {
    let size = async |req: Request| req.bytes().len().to_string();
    let small = Router::new()
        .body_limit(10)
        .post("/small", size)
        .route(transom::Route::new(transom::Method::POST, "/own", size).body_limit(1000));
    let slow =
        Router::new().timeout(SHORT).get("/slow", async |_: Request| std::future::pending::<&str>().await);
    let streams = Router::new().streaming().post("/stream", size);
    let server = start(Router::new().group(small).group(slow).group(streams).post("/usual", size));
    for (path, status, text) in [
        ("/small", 413, None),
        ("/own", 200, Some("100")),
        ("/usual", 200, Some("100")),
        ("/stream", 200, Some("0")),
    ] {
        let answer = Client::connect(&server).post(path, "x".repeat(100));
        assert_eq!(answer.status, status, "{path}");
        assert!(text.is_none_or(|text| answer.text() == text), "{path}");
    }
    assert_eq!(Client::connect(&server).get("/slow").status, 503);
    let error = Server::new(Router::new().timeout(std::time::Duration::ZERO)).service().unwrap_err();
    assert!(error.to_string().contains("a timeout of 0"), "{error}");
}

#[derive(Debug)]
enum Failure {
    Missing,
    Broken,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "failure {self:?}")
    }
}

impl std::error::Error for Failure {}

#[test]
fn a_hook_answers_the_errors_of_its_type() {
    let answer = |failure: &Failure| match failure {
        Failure::Missing => (StatusCode::NOT_FOUND, "missing"),
        Failure::Broken => (StatusCode::BAD_GATEWAY, "broken"),
    };
    let inner = Router::new()
        .on_error(|error: &std::num::ParseIntError| (StatusCode::BAD_REQUEST, error.to_string()))
        .wrap(async |req: Request, next: Next| {
            let response = next.run(req).await;
            let status = response.status_code().as_u16();
            response.header("x-seen", status.to_string())
        })
        .get("/hook/number/{n}", async |req: Request| Ok(req.param("n").parse::<u8>()?.to_string()))
        .get("/hook/missing", async |_: Request| {
            Err(Failure::Missing)?;
            Ok(())
        })
        .get("/hook/broken", async |_: Request| Err::<(), _>(Failure::Broken.into()))
        .get("/hook/chosen", async |_: Request| {
            Err::<(), _>(HttpError::conflict("chosen").because(Failure::Missing))
        });
    let app = Router::new()
        .on_error(answer)
        .wrap(async |req: Request, next: Next| {
            if req.query().is_some() {
                return Err(Failure::Missing.into());
            }
            Ok::<Response, HttpError>(next.run(req).await)
        })
        .group(inner);
    let server = start(app);
    let mut client = Client::connect(&server);
    for (path, status, text, seen) in [
        ("/hook/number/7", 200, "7", Some("200")),
        ("/hook/number/x", 400, "invalid digit found in string", Some("400")),
        ("/hook/missing", 404, "missing", Some("404")),
        ("/hook/broken", 502, "broken", Some("502")),
        ("/hook/chosen", 409, "chosen\n", Some("409")),
        ("/hook/missing?wrap", 404, "missing", None),
    ] {
        let answer = client.get(path);
        answer.expect(status, text);
        assert_eq!(answer.header("x-seen"), seen, "{path}");
    }
    Logs::expect("failure Broken (GET /hook/broken");
    assert_eq!(Logs::count("failure Missing (GET /hook/missing"), 0, "an answered error is no line");
}
