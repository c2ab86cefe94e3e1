//! The status page: who may see it, and that its numbers are those of the load, in each model.

mod common;

const MODEL: Model = Model::EventDriven;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;
use transom::{
    Handle, Limits, Metrics, Model, Request, Router, Server, StatusCode, StatusPage, Timeouts, blocking,
};

use common::{Answer, Client, SHORT, Signal, configured, eventually, own_address, socket_path, start_unix};

/// `ada:sesame`
const PASSWORD: &str = "Authorization: Basic YWRhOnNlc2FtZQ==";

fn page(metrics: &Metrics) -> StatusPage {
    StatusPage::new(metrics).password("ada", "sesame")
}

fn app(metrics: &Metrics, release: &Signal) -> Router {
    let release = release.clone();
    Router::new()
        .get("/hello/{name}", async |_: Request| "hello")
        .get("/fails", async |_: Request| StatusCode::INTERNAL_SERVER_ERROR)
        .get(
            "/stuck/{id}",
            blocking(move |_: Request| {
                release.wait();
                "done"
            }),
        )
        .nest("/status", page(metrics).router())
}

fn serve(
    model: Model,
    metrics: &Metrics,
    release: &Signal,
    set: impl FnOnce(&mut Limits, &mut Timeouts),
) -> Handle {
    let server: Server = configured(app(metrics, release), set).model(model).workers(2).metrics(metrics);
    server.bind(&own_address()).unwrap().start().unwrap()
}

fn ask(server: &Handle, path: &str, fields: &[&str]) -> Answer {
    let mut client = Client::connect(server);
    let first = format!("GET {path} HTTP/1.1");
    client.send([&[&*first], fields, &["Connection: close\r\n\r\n"]].concat().join("\r\n"));
    client.answer()
}

/// An open page.
struct Viewer {
    client: Client,
    /// The bytes that came and are no whole event yet.
    text: String,
}

impl Viewer {
    fn open(server: &Handle) -> Self {
        let mut client = Client::connect(server);
        client.send(format!("GET /status/events HTTP/1.1\r\nHost: h\r\n{PASSWORD}\r\n\r\n"));
        let head = client.head();
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        Self { client, text: String::new() }
    }

    /// The data of the next event, with its name; `None` is the end of the stream.
    fn next(&mut self) -> Option<(String, String)> {
        while !self.text.contains("\n\n") {
            self.text += &String::from_utf8(self.client.try_chunk().unwrap()?).unwrap();
        }
        let (event, rest) = self.text.split_once("\n\n").unwrap();
        let field = |name: &str| {
            event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
        };
        let event = (field("event: "), field("data: "));
        self.text = rest.to_owned();
        Some(event)
    }

    /// The state in the next event that has one.
    fn state(&mut self) -> Value {
        loop {
            let (name, data) = self.next().expect("the stream goes on");
            let data = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {data}"));
            if name.is_empty() {
                return data;
            }
        }
    }
}

/// The script and style have the hashes of the policy, and the page is a few KB. Python counts.
#[test]
fn the_page_is_small_and_its_policy_names_its_script_and_style() {
    let metrics = Metrics::new();
    let server = serve(Model::EventDriven, &metrics, &Signal::new(), |_, _| ());
    let answer = ask(&server, "/status", &["Host: h", PASSWORD]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let text = answer.text();
    for outside in ["http://", "https://", "onclick=", "style=", "innerHTML", "<link rel=\"stylesheet"] {
        let found = text.replace("http://www.w3.org/2000/svg", "").contains(outside);
        assert!(!found, "{outside} in the page");
    }
    let script = "
import base64, gzip, hashlib, re, sys
page = sys.stdin.buffer.read()
for name in (b'script', b'style'):
    inside, = re.findall(b'<' + name + b'>(.*?)</' + name + b'>', page, re.S)
    print('%s-src \\'sha256-%s\\';' % (name.decode(), base64.b64encode(hashlib.sha256(inside).digest()).decode()))
print(len(gzip.compress(page, 9)))
";
    let mut python = Command::new("python3");
    let mut python =
        python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap();
    let lines: Vec<_> = output.lines().collect();
    let policy = answer.header("content-security-policy").unwrap();
    for source in &lines[..2] {
        assert!(policy.contains(source), "the policy must have {source}, and is {policy}");
    }
    let size: usize = lines[2].parse().unwrap();
    assert!(size <= 8192, "{size} bytes");
}

#[test]
fn without_a_check_the_page_answers_only_clients_on_this_machine() {
    let metrics = Metrics::new();
    let app = || Router::new().nest("/status", StatusPage::new(&metrics).router());
    let server = configured(app(), |_, _| ()).bind(&own_address()).unwrap().start().unwrap();
    for (fields, status) in [
        (&["Host: localhost:80"][..], 200),
        (&["Host: 127.0.0.1"], 200),
        (&["Host: [::1]:8080"], 200),
        // A name of another's that leads here.
        (&["Host: evil.example"], 403),
        (&["Host: 127.0.0.1.evil.example"], 403),
        // A proxy on this machine, for a client elsewhere.
        (&["Host: localhost", "X-Forwarded-For: 203.0.113.9"], 403),
        (&["Host: localhost", "Forwarded: for=203.0.113.9"], 403),
        (&["Host: localhost", "Via: 1.1 proxy"], 403),
    ] {
        for path in ["/status", "/status/nothing"] {
            let answer = ask(&server, path, fields);
            let expected = if status == 200 && path != "/status" { 404 } else { status };
            assert_eq!(answer.status, expected, "{path} {fields:?}");
        }
    }
    // A client that a trusted proxy names is not here, though the proxy is.
    let loopback = ["127.0.0.0/8"].map(|network| network.parse().unwrap());
    let server = configured(app(), |_, _| ()).trust_forwarded(transom::Forwarded::x_forwarded(), loopback);
    let server = server.bind(&own_address()).unwrap().start().unwrap();
    for (client, status) in [("203.0.113.9", 403), ("127.0.0.1", 200)] {
        let answer = ask(&server, "/status", &["Host: localhost", &format!("X-Forwarded-For: {client}")]);
        assert_eq!(answer.status, status, "{client}");
    }
    let server = start_unix(app(), |_, _| ());
    assert_eq!(ask(&server, "/status", &["Host: any.example"]).status, 200);
}

#[test]
fn a_password_opens_the_page() {
    let metrics = Metrics::new();
    let server = serve(Model::EventDriven, &metrics, &Signal::new(), |_, _| ());
    for path in ["/status", "/status/events"] {
        for wrong in [
            "X: y",
            "Authorization: Basic",
            "Authorization: Basic ",
            "Authorization: Basic YWRhOnNlc2FtZA==",
            "Authorization: Basic YWRhOnNlc2FtZQ",
            "Authorization: Basicé YWRhOnNlc2FtZQ==",
            "Authorization: Bearer YWRhOnNlc2FtZQ==",
            "Authorization: Basic YWRhOnNlc2FtZQ==\r\nAuthorization: Basic YWRhOnNlc2FtZQ==",
        ] {
            let answer = ask(&server, path, &["Host: h", wrong]);
            assert_eq!(answer.status, 401, "{path} {wrong}");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some(r#"Basic realm="status", charset="UTF-8""#));
            assert!(answer.text().ends_with(".\n"), "a sentence: {}", answer.text());
        }
    }
    assert_eq!(ask(&server, "/status", &["Host: h", &PASSWORD.replace("Basic", "bASIC")]).status, 200);
}

#[test]
fn an_empty_password_opens_nothing() {
    // "ada:" and "ada:b:c": with a colon in the name, two pairs would be the same.
    for (user, password, token) in [("ada", "", "YWRhOg=="), ("ada:b", "c", "YWRhOmI6Yw==")] {
        let page = StatusPage::new(&Metrics::new()).password(user, password);
        let server = configured(Router::new().nest("/status", page.router()), |_, _| ());
        let server = server.bind(&own_address()).unwrap().start().unwrap();
        for given in [&format!("Authorization: Basic {token}"), "Authorization: Basic ", "X: y"] {
            assert_eq!(ask(&server, "/status", &["Host: localhost", given]).status, 401, "{user}, {given}");
        }
    }
}

#[test]
fn a_check_of_the_program_opens_the_page() {
    let metrics = Metrics::new();
    let check = |request: &Request| request.header("x-key") == Some("right") || panic_at(request);
    let app = Router::new().nest("/a", StatusPage::new(&metrics).check(check).router());
    let app = app.nest("/b", page(&metrics).check(check).router());
    let server = configured(app, |_, _| ()).bind(&own_address()).unwrap().start().unwrap();
    assert_eq!(ask(&server, "/a", &["Host: h"]).status, 403);
    assert_eq!(ask(&server, "/a", &["Host: h", "X-Key: right"]).status, 200);
    assert_eq!(ask(&server, "/a", &["Host: h", "X-Key: panic"]).status, 500);
    assert_eq!(ask(&server, "/b", &["Host: h", PASSWORD]).status, 403);
    assert_eq!(ask(&server, "/b", &["Host: h", "X-Key: right"]).status, 401);
    assert_eq!(ask(&server, "/b", &["Host: h", "X-Key: right", PASSWORD]).status, 200);
}

fn panic_at(request: &Request) -> bool {
    assert!(request.header("x-key") != Some("panic"), "the check panics");
    false
}

#[test]
fn the_numbers_are_those_of_the_load() {
    for model in [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven] {
        let metrics = Metrics::new();
        let server = serve(model, &metrics, &Signal::new(), |_, _| ());
        for _ in 0..5 {
            assert_eq!(ask(&server, "/hello/you", &["Host: h"]).status, 200);
            assert_eq!(ask(&server, "/fails", &["Host: h"]).status, 500);
            // A request without a host is refused.
            assert_eq!(ask(&server, "/hello/you", &[]).status, 400);
        }
        // An exchange counts shortly after its client has the answer.
        let counted = || metrics.snapshot().series.iter().map(transom::ExchangeSeries::count).sum::<u64>();
        eventually("all is counted, and the connections are gone", || {
            counted() == 15 && server.stats().connections == 0
        });
        let mut viewer = Viewer::open(&server);
        let (name, start) = viewer.next().unwrap();
        assert_eq!((&*name, &*start), ("start", r#"{"points":[]}"#));
        let state = viewer.state();
        assert_eq!(state["state"], "running", "{model}");
        assert_eq!(state["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!((&state["requests"], &state["errors"]), (&15.into(), &10.into()), "{model}: {state}");
        let routes: BTreeMap<_, _> = state["routes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row[0].as_str().unwrap(), (&row[1], &row[2])))
            .collect();
        assert_eq!(routes["/hello/{name}"], (&5.into(), &0.into()), "{model}");
        assert_eq!(routes["/fails"], (&5.into(), &5.into()), "{model}");
        let refused: u64 =
            state["refusals"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(refused, 5, "{model}: {state}");
        let statuses = &state["statuses"];
        let by_class = ["2xx", "4xx", "5xx"].map(|class| statuses[class].as_u64().unwrap());
        assert_eq!(by_class, [5, 5, 5], "{model}");
        assert_eq!((&state["servers"], &state["pages"]), (&1.into(), &1.into()), "{model}");
        assert_eq!(state["slowest"], Value::Array(Vec::new()), "the page itself is not shown: {state}");
        if model == Model::Sequential {
            continue;
        }
        // What comes while the page is open adds up in the points. The rates are measured by another
        // clock than the times, which are far apart if the machine is busy.
        let mut before = state["time"].as_f64().unwrap();
        let adds_up = (1..=10).any(|round| {
            for _ in 0..7 {
                assert_eq!(ask(&server, "/hello/you", &["Host: h"]).status, 200);
            }
            let mut seen = 0.0;
            loop {
                let state = viewer.state();
                let time = state["point"][0].as_f64().unwrap();
                seen += state["point"][1].as_f64().unwrap() * (time - before);
                before = time;
                if state["requests"] == 15 + 7 * round {
                    break (5.0..9.0).contains(&seen);
                }
            }
        });
        assert!(adds_up, "{model}");
        // A page that is opened later begins with those points.
        let (_, start) = Viewer::open(&server).next().unwrap();
        let start: Value = serde_json::from_str(&start).unwrap();
        assert!(!start["points"].as_array().unwrap().is_empty());
    }
}

#[test]
fn all_pages_get_the_same_bytes_each_second() {
    let metrics = Metrics::new();
    let server = serve(Model::EventDriven, &metrics, &Signal::new(), |_, _| ());
    let mut viewers: Vec<_> = (0..200).map(|_| Viewer::open(&server)).collect();
    let mut events = BTreeMap::<String, usize>::new();
    for viewer in &mut viewers {
        viewer.next().unwrap();
        for _ in 0..3 {
            *events.entry(viewer.next().unwrap().1).or_default() += 1;
        }
    }
    assert_eq!(events.values().sum::<usize>(), 600);
    let times: BTreeMap<_, _> = events
        .keys()
        .map(|event| {
            let state: Value = serde_json::from_str(event).unwrap();
            (state["time"].to_string(), state["pages"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(times.len(), events.len(), "one encoding of each second");
    assert!(times.values().any(|pages| *pages == 200), "{times:?}");
    // Each of them leaves.
    drop(viewers);
    eventually("all pages are closed", || server.stats().connections == 0);
    // The streams of pages count neither as requests nor as errors.
    let mut viewer = Viewer::open(&server);
    let mut state = viewer.state();
    while state["pages"] != 1 {
        state = viewer.state();
    }
    assert_eq!((&state["requests"], &state["errors"]), (&0.into(), &0.into()));
}

/// Set in the process that may have enough descriptors.
const INSIDE: &str = "TRANSOM_TEST_MANY_PAGES";

#[test]
fn a_thousand_pages_cost_one_encoding_each_second_and_no_request() {
    if std::env::var_os(INSIDE).is_some() {
        return a_thousand_pages();
    }
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 4096 && exec \"$0\" --nocapture --exact \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg("a_thousand_pages_cost_one_encoding_each_second_and_no_request")
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

fn a_thousand_pages() {
    const PAGES: usize = 1000;
    let metrics = Metrics::new();
    let server = serve(Model::EventDriven, &metrics, &Signal::new(), |_, _| ());
    let mut viewers: Vec<_> = (0..PAGES).map(|_| Viewer::open(&server)).collect();
    for viewer in &mut viewers {
        assert_eq!(viewer.next().unwrap().0, "start");
    }
    let (is_done, mut events) = (AtomicBool::new(false), BTreeMap::<String, usize>::new());
    let asked = thread::scope(|scope| {
        let ask = || {
            let (mut client, mut asked) = (Client::connect(&server), 0);
            while asked < 200 || !is_done.load(Ordering::Relaxed) {
                client.get("/hello/you").expect(200, "hello");
                asked += 1;
            }
            asked
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        for viewer in &mut viewers {
            for _ in 0..3 {
                *events.entry(viewer.next().unwrap().1).or_default() += 1;
            }
        }
        is_done.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum::<u64>()
    });
    let states: Vec<Value> = events.keys().map(|event| serde_json::from_str(event).unwrap()).collect();
    let times: BTreeSet<_> = states.iter().map(|state| state["time"].to_string()).collect();
    assert_eq!(times.len(), events.len(), "one encoding of each second");
    assert_eq!(events.values().sum::<usize>(), 3 * PAGES);
    assert!(states.iter().any(|state| state["pages"] == PAGES));
    eventually("all requests are counted", || {
        let series = metrics.snapshot().series;
        let of_requests = series.iter().filter(|series| series.route.as_deref() == Some("/hello/{name}"));
        of_requests.map(transom::ExchangeSeries::count).sum::<u64>() == asked
    });
    drop(viewers);
    eventually("all pages are closed", || server.stats().connections == 0);
}

#[test]
fn the_page_shows_handlers_that_hold_the_whole_pool() {
    for model in [Model::ThreadPerConnection, Model::EventDriven] {
        let (metrics, release) = (Metrics::new(), Signal::new());
        let server = serve(model, &metrics, &release, |limits, _| limits.pool_threads = 2);
        let mut stuck: Vec<_> = (0..5).map(|_| Client::connect(&server)).collect();
        for (number, client) in stuck.iter_mut().enumerate() {
            client.request(&format!("/stuck/{number}"));
        }
        eventually("all are stuck", || server.stats().pending == 5);
        let mut viewer = Viewer::open(&server);
        let first = viewer.state();
        let second = viewer.state();
        for state in [&first, &second] {
            let shown = state["slowest"].as_array().unwrap();
            assert_eq!(shown.len(), 5, "{model}: {state}");
            for one in shown {
                assert_eq!((&one["route"], &one["state"]), (&"/stuck/{id}".into(), &"handling".into()));
            }
        }
        assert_eq!(second["connections"]["handling"], 5, "{model}");
        assert_eq!(ask(&server, "/status", &["Host: h", PASSWORD]).status, 200);
        release.set();
        for client in &mut stuck {
            client.answer().expect(200, "done");
        }
    }
}

#[test]
fn the_last_event_says_that_the_server_stops() {
    for model in [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven] {
        let metrics = Metrics::new();
        let server = serve(model, &metrics, &Signal::new(), |_, _| ());
        let mut viewer = Viewer::open(&server);
        assert_eq!(viewer.state()["state"], "running");
        let report = server.stop(common::PATIENCE);
        assert_eq!(report.cut, 0, "{model}");
        let mut last = Value::Null;
        while let Some((_, data)) = viewer.next() {
            last = serde_json::from_str(&data).unwrap();
        }
        assert_eq!(last["state"], "stopping", "{model}");
    }
}

#[test]
fn a_page_that_does_not_read_is_cut() {
    let metrics = Metrics::new();
    // Long names of routes make long events.
    let paths: Vec<_> = (0..20).map(|number| format!("/{number}/{}", "x".repeat(6000))).collect();
    let app = Router::new().nest("/status", page(&metrics).router());
    let app = paths.iter().fold(app, |app, path| app.get(path, async |_: Request| "hello"));
    let short = |_: &mut Limits, timeouts: &mut Timeouts| timeouts.write = Some(SHORT * 10);
    let path = socket_path();
    let server = configured(app, short).workers(1).metrics(&metrics);
    let server = server.bind(&format!("unix:{}", path.display())).unwrap().start().unwrap();
    let mut client = Client::connect(&server);
    for path in &paths {
        client.get(path).expect(200, "hello");
    }
    drop(client);
    let reads = Viewer::open(&server);
    let silent = Viewer::open(&server);
    let mut reads = reads;
    let mut pages = Vec::new();
    eventually("the page that does not read is cut", || {
        pages.push(reads.state()["pages"].as_u64().unwrap());
        pages.contains(&2) && pages.ends_with(&[1])
    });
    drop(silent);
    let _ = fs::remove_file(path);
}

#[test]
fn the_router_can_be_mounted_twice() {
    let metrics = Metrics::new();
    let page = page(&metrics);
    let app = Router::new().nest("/a", page.clone().router()).nest("/b/c", page.router());
    let server = configured(app, |_, _| ()).metrics(&metrics).bind(&own_address()).unwrap().start().unwrap();
    for path in ["/a", "/b/c"] {
        assert_eq!(ask(&server, path, &["Host: h", PASSWORD]).status, 200);
    }
}
