//! Ready middleware: what it lets through, what it adds, and where its tables end.
#![cfg(feature = "middleware")]

use std::net::SocketAddr;
use std::time::Duration;

use futures_lite::future::{poll_once, yield_now};
use smol::block_on;
use transom::{
    BasicAuth, BearerAuth, CacheControl, CanonicalHost, ConcurrencyLimit, Cors, HttpError, Method, RateLimit,
    Request, RequestIds, Response, Route, Router, SecurityHeaders, Server, Tester, TrailingSlash, Wrap,
};

fn app(wrap: impl Wrap) -> Tester {
    Router::new()
        .wrap(wrap)
        .get("/", async |req: Request| req.user().unwrap_or("nobody").to_owned())
        .get("/users", async |_: Request| "users")
        .get("/image", async |_: Request| Response::bytes("image/png", "png"))
        .get("/own", async |_: Request| {
            Response::text("own").header("cache-control", "no-store").header("x-frame-options", "DENY")
        })
        .get("/error", async |_: Request| Err::<&str, _>(HttpError::conflict("no")))
        .get("/panic", async |req: Request| if req.path() == "/panic" { panic!("on purpose") } else { "" })
        .get("/ids", async |req: Request| {
            format!("{} {}", req.header("x-request-id").unwrap(), req.header("traceparent").unwrap())
        })
        .tester()
        .unwrap()
}

fn ask(app: &Tester, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
    let mut request = Request::new(Method::from_bytes(method.as_bytes()).unwrap(), target).unwrap();
    for (name, value) in fields {
        request.headers_mut().append(name, value).unwrap();
    }
    block_on(app.answer(request))
}

fn text(response: &Response) -> &str {
    std::str::from_utf8(response.body_ref().as_bytes().unwrap()).unwrap()
}

#[track_caller]
fn has(response: &Response, status: u16, fields: &[(&str, Option<&str>)]) {
    assert_eq!(response.status_code().as_u16(), status, "{response:?}");
    for (name, value) in fields {
        assert_eq!(response.headers().get(name), *value, "{name} of {response:?}");
    }
}

const A: &str = "https://a.example";

#[test]
fn pages_of_allowed_origins_read_answers_and_errors() {
    let app = app(Cors::new().origin(A).origin("https://b.example:8443").credentials(true).expose("X-Sum"));
    for (path, status) in [("/", 200), ("/error", 409), ("/panic", 500), ("/none", 404)] {
        let fields = [
            ("access-control-allow-origin", Some(A)),
            ("access-control-allow-credentials", Some("true")),
            ("access-control-expose-headers", Some("x-sum")),
            ("vary", Some("origin")),
        ];
        has(&ask(&app, "GET", path, &[("origin", A)]), status, &fields);
    }
    has(&ask(&app, "POST", "/", &[("origin", A)]), 405, &[("access-control-allow-origin", Some(A))]);
    for origin in ["https://c.example", "http://a.example", "https://a.example.evil", "null", ""] {
        let none = [("access-control-allow-origin", None), ("access-control-allow-credentials", None)];
        has(&ask(&app, "GET", "/", &[("origin", origin)]), 200, &none);
    }
    has(&ask(&app, "GET", "/", &[]), 200, &[("access-control-allow-origin", None), ("vary", Some("origin"))]);
}

#[test]
fn a_preflight_request_is_answered() {
    let cors = Cors::new().origin(A).request_header("X-Token").max_age(Duration::from_secs(60)).expose("x");
    let one = app(cors.clone().method(&Method::PUT));
    let asked = [("origin", A), ("access-control-request-method", "PUT")];
    let vary = "origin, access-control-request-method, access-control-request-headers";
    for path in ["/", "/none"] {
        let fields = [
            ("access-control-allow-origin", Some(A)),
            ("access-control-allow-methods", Some("PUT")),
            ("access-control-allow-headers", Some("x-token")),
            ("access-control-max-age", Some("60")),
            ("access-control-expose-headers", None),
            ("vary", Some(vary)),
        ];
        has(&ask(&one, "OPTIONS", path, &asked), 204, &fields);
    }
    let refused = [("origin", "https://c.example"), asked[1]];
    let none =
        [("access-control-allow-origin", None), ("access-control-allow-methods", None), ("vary", Some(vary))];
    has(&ask(&one, "OPTIONS", "/", &refused), 204, &none);
    // An OPTIONS request that is no preflight goes on.
    has(&ask(&one, "OPTIONS", "/", &[("origin", A)]), 405, &[("access-control-allow-origin", Some(A))]);
    let any = app(Cors::new().any_origin().credentials(true));
    let fields = [
        ("access-control-allow-origin", Some("*")),
        ("access-control-allow-credentials", None),
        ("access-control-allow-methods", Some("GET, HEAD, POST, PUT, PATCH, DELETE")),
    ];
    has(&ask(&any, "OPTIONS", "/", &asked), 204, &fields);
    has(
        &ask(&any, "GET", "/", &asked[..1]),
        200,
        &[("access-control-allow-origin", Some("*")), ("vary", None)],
    );
}

#[test]
fn the_server_s_own_answers_have_the_fields_too() {
    use std::io::{Read as _, Write as _};
    let cors = Cors::new().origin(A);
    let app = Router::new()
        .route(Route::new(Method::POST, "/", async |_: Request| "").body_limit(3))
        .wrap(cors.clone());
    let server = Server::new(app).own_answers(move |answer| cors.own_answer(Response::text(answer.text())));
    let handle = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    let mut client =
        std::net::TcpStream::connect(handle.local_addr().to_string().parse::<SocketAddr>().unwrap()).unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4\r\n\r\nabcd")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("access-control-allow-origin: https://a.example\r\n"), "{answer}");
    handle.stop(Duration::from_secs(10));
}

#[test]
fn only_users_with_their_password_get_through() {
    let auth = BasicAuth::new("the \"place\"")
        .user("ada", "secret: 1")
        .user("bob", "")
        .check(|name, password| name == "eve" && password == "e");
    let app = app(auth);
    let basic = |text: &str| format!("Basic {text}");
    for (credentials, name) in
        [("YWRhOnNlY3JldDogMQ==", "ada"), ("Ym9iOg==", "bob"), ("ZXZlOmU=", "eve"), ("ZXZlOmU", "eve")]
    {
        let answer = ask(&app, "GET", "/", &[("authorization", &basic(credentials))]);
        assert_eq!((answer.status_code().as_u16(), text(&answer)), (200, name));
    }
    assert_eq!(ask(&app, "GET", "/", &[("authorization", "bASIC  ZXZlOmU= ")]).status_code(), 200);
    let challenge = [("www-authenticate", Some("Basic realm=\"the \\\"place\\\"\", charset=\"UTF-8\""))];
    // A wrong password, an unknown name, no colon, no Base64, no UTF-8, another scheme.
    for credentials in ["YWRhOnNlY3JldDogMg==", "eHg6", "YWRh", "YWRhOnNl=", "!!!!", "//86", "", "Y", "===="]
    {
        has(&ask(&app, "GET", "/", &[("authorization", &basic(credentials))]), 401, &challenge);
    }
    has(&ask(&app, "GET", "/none", &[("authorization", "Bearer YWRhOnNlY3JldDogMQ==")]), 401, &challenge);
    has(&ask(&app, "GET", "/", &[]), 401, &challenge);
    let twice = [("authorization", "Basic Ym9iOg=="), ("authorization", "Basic Ym9iOg==")];
    has(&ask(&app, "GET", "/", &twice), 401, &challenge);
}

#[test]
fn only_known_tokens_get_through() {
    let auth = BearerAuth::new("api")
        .token("ada", "t0ken")
        .token("bob", "other")
        .check(|token| (token == "made").then(|| "eve".to_owned()));
    let app = app(auth);
    for (token, name) in [("t0ken", "ada"), ("other", "bob"), ("made", "eve")] {
        let answer = ask(&app, "GET", "/", &[("authorization", &format!("Bearer {token}"))]);
        assert_eq!((answer.status_code().as_u16(), text(&answer)), (200, name));
    }
    let invalid = [("www-authenticate", Some("Bearer realm=\"api\", error=\"invalid_token\""))];
    for token in ["t0kem", "t0ken2", "ada"] {
        has(&ask(&app, "GET", "/", &[("authorization", &format!("Bearer {token} "))]), 401, &invalid);
    }
    has(&ask(&app, "GET", "/", &[]), 401, &[("www-authenticate", Some("Bearer realm=\"api\""))]);
}

#[test]
fn browsers_are_told_to_be_strict() {
    let headers = SecurityHeaders::new().field("Content-Security-Policy", "default-src 'self'");
    let app = app(headers.field("referrer-policy", "").hsts(Duration::from_secs(60)));
    let fields = [
        ("x-content-type-options", Some("nosniff")),
        ("x-frame-options", Some("SAMEORIGIN")),
        ("content-security-policy", Some("default-src 'self'")),
        ("cross-origin-opener-policy", Some("same-origin")),
        ("referrer-policy", None),
        // The connection has no TLS.
        ("strict-transport-security", None),
    ];
    has(&ask(&app, "GET", "/", &[]), 200, &fields);
    has(&ask(&app, "GET", "/none", &[]), 404, &fields);
    has(&ask(&app, "GET", "/own", &[]), 200, &[("x-frame-options", Some("DENY"))]);
}

#[test]
fn each_request_has_an_identifier_of_its_own() {
    let own = app(RequestIds::new());
    let sent = [
        ("x-request-id", "mine"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let (first, second) = (ask(&own, "GET", "/ids", &sent), ask(&own, "GET", "/ids", &[]));
    let ids = [&first, &second].map(|it| it.headers().get("x-request-id").unwrap().to_owned());
    assert_ne!(ids[0], ids[1]);
    assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    assert_eq!(text(&first), format!("{} {}", ids[0], sent[1].1));
    let made = text(&second).split_once(' ').unwrap().1.to_owned();
    assert!(made.starts_with("00-") && made.ends_with("-00") && made.len() == 55, "{made}");
    has(&ask(&own, "GET", "/panic", &[]), 500, &[]);
    assert!(ask(&own, "GET", "/panic", &[]).headers().contains("x-request-id"));
    let trusting = app(RequestIds::new().trust_client(true));
    has(&ask(&trusting, "GET", "/ids", &sent), 200, &[("x-request-id", Some("mine"))]);
    for bad in ["", "a b", "a,b", "\u{e9}", &"a".repeat(129)] {
        assert_ne!(
            ask(&trusting, "GET", "/ids", &[("x-request-id", bad)]).headers().get("x-request-id"),
            Some(bad)
        );
    }
    for bad in [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "\u{e9}\u{e9}-",
    ] {
        assert!(!text(&ask(&own, "GET", "/ids", &[("traceparent", bad)])).contains(bad), "{bad}");
    }
    let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x";
    assert!(text(&ask(&own, "GET", "/ids", &[("traceparent", later)])).ends_with(later));
}

#[test]
fn a_request_under_another_name_is_sent_to_the_name_of_the_site() {
    let plain = app(CanonicalHost::new("www.example.org"));
    let go = |app: &Tester, host: &str, target: &str, location: Option<&str>| {
        let status = if location.is_some() { 308 } else { 200 };
        has(&ask(app, "GET", target, &[("host", host)]), status, &[("location", location)]);
    };
    go(&plain, "WWW.example.org", "/users", None);
    go(&plain, "example.org", "/users?a=b", Some("http://www.example.org/users?a=b"));
    go(&plain, "www.example.org:80", "/", Some("http://www.example.org/"));
    go(&plain, "evil", "//evil/x", Some("http://www.example.org//evil/x"));
    let secure = app(CanonicalHost::new("www.example.org").https());
    go(&secure, "www.example.org", "/users", Some("https://www.example.org/users"));
}

#[test]
fn a_slash_at_the_end_is_removed_or_added_and_never_leads_to_another_host() {
    let remove = app(TrailingSlash::remove());
    let to = |app: &Tester, target: &str, location: Option<&str>| {
        let answer = ask(app, "GET", target, &[]);
        assert_eq!(answer.headers().get("location"), location, "{target}");
        answer.status_code().as_u16()
    };
    assert_eq!(to(&remove, "/users/?a=/", Some("/users?a=/")), 308);
    assert_eq!(to(&remove, "/users", None), 200);
    assert_eq!(to(&remove, "/", None), 200);
    for evil in ["//evil/", "///evil/", "/\\evil/", "/\\/evil/", "////evil//"] {
        if let Ok(request) = Request::new(Method::GET, evil) {
            let answer = block_on(remove.answer(request));
            assert_eq!(answer.headers().get("location"), Some("/evil"), "{evil}");
        }
    }
    to(&remove, "//", None);
    let add = app(TrailingSlash::add());
    assert_eq!(to(&add, "/none?x", Some("/none/?x")), 308);
    assert_eq!(to(&add, "/users", None), 200);
    assert_eq!(to(&add, "//evil", Some("/evil/")), 308);
    assert_eq!(ask(&add, "OPTIONS", "*", &[]).headers().get("location"), None);
}

/// A tester has no address, so that this asks over sockets of the loopback network, each an address.
#[cfg(target_os = "linux")]
fn status_from(address: SocketAddr, source: [u8; 4]) -> u16 {
    use std::io::{Read as _, Write as _};
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut client: std::net::TcpStream = socket.into();
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer[9..12].parse().unwrap()
}

#[test]
fn so_many_requests_get_through_in_a_time() {
    let minute = Duration::from_secs(60);
    let together = app(RateLimit::new(3, minute).for_all_clients());
    let statuses: Vec<_> = (0..5).map(|_| ask(&together, "GET", "/", &[]).status_code().as_u16()).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let refused = ask(&together, "GET", "/", &[]);
    let wait: u64 = refused.headers().get("retry-after").unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    // The requests come back.
    let quick = app(RateLimit::new(1, Duration::from_millis(50)));
    assert_eq!(ask(&quick, "GET", "/", &[]).status_code(), 200);
    while ask(&quick, "GET", "/", &[]).status_code() == 429 {
        std::thread::yield_now();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn each_address_has_a_rate_of_its_own_and_the_table_of_addresses_ends() {
    let minute = Duration::from_secs(60);
    let limit = RateLimit::new(1, minute).addresses(16);
    let server = Server::new(Router::new().wrap(limit).get("/", async |_: Request| "hello"));
    let handle = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    let address = handle.local_addr().to_string().parse::<SocketAddr>().unwrap();
    assert_eq!([1, 1, 2, 2].map(|last| status_from(address, [127, 0, 0, last])), [200, 429, 200, 429]);
    // There is room for one address in each of the 16 parts of the table: most are forgotten.
    assert!((3..=100).all(|last| status_from(address, [127, 0, 0, last]) == 200));
    handle.stop(Duration::from_secs(10));
}

#[test]
fn so_many_requests_are_handled_at_once() {
    let limit = ConcurrencyLimit::new(2);
    let app = Router::new()
        .wrap(limit)
        .get("/slow", async |_: Request| futures_lite::future::pending::<Response>().await)
        .get("/", async |_: Request| {
            yield_now().await;
            "quick"
        })
        .tester()
        .unwrap();
    let slow = || app.answer(Request::new(Method::GET, "/slow").unwrap());
    block_on(async {
        let (mut first, mut second) = (Box::pin(slow()), Box::pin(slow()));
        assert!(poll_once(&mut first).await.is_none() && poll_once(&mut second).await.is_none());
        has(&app.answer(Request::new(Method::GET, "/").unwrap()).await, 503, &[("retry-after", Some("1"))]);
        // A request that ends, or is dropped, makes room.
        drop(first);
        for _ in 0..3 {
            has(&app.answer(Request::new(Method::GET, "/").unwrap()).await, 200, &[]);
        }
        drop(second);
    });
}

#[test]
fn caches_are_told_how_long_they_keep_what() {
    let app = app(CacheControl::new("no-cache").for_type("image/", "max-age=60").for_type("image/png", "no"));
    for (path, status, value) in [
        ("/", 200, Some("no-cache")),
        ("/image", 200, Some("max-age=60")),
        ("/own", 200, Some("no-store")),
        ("/error", 409, None),
        ("/none", 404, None),
    ] {
        has(&ask(&app, "GET", path, &[]), status, &[("cache-control", value)]);
    }
    has(&ask(&app, "HEAD", "/", &[]), 200, &[("cache-control", Some("no-cache"))]);
    has(&ask(&app, "POST", "/", &[]), 405, &[("cache-control", None)]);
}
