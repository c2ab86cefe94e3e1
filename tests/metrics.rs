//! Metrics: the sums are those of the load that was sent, in each model.

mod common;

const MODEL: Model = Model::EventDriven;

use std::collections::BTreeMap;
use std::thread;

use futures_lite::stream;
use transom::{
    Body, Bytes, Handle, HttpError, Metrics, MetricsSnapshot, Model, Request, Response, Router, Server,
    StatusCode,
};

use common::{Client, PATIENCE, configured, eventually, own_address};

const MODELS: [Model; 3] = [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];

fn start(model: Model, server: Server) -> Handle {
    server.model(model).workers(2).bind(&own_address()).unwrap().start().unwrap()
}

/// The exchanges of a snapshot: method, route, status, error.
fn counted(snapshot: &MetricsSnapshot) -> BTreeMap<String, u64> {
    let line = |series: &transom::ExchangeSeries| {
        let status = series.status.map_or("-".to_owned(), |status| status.as_str().to_owned());
        let (route, error) =
            (series.route.as_deref().unwrap_or("-"), series.error_type.as_deref().unwrap_or("-"));
        (format!("{} {route} {status} {error}", series.method), series.count())
    };
    let lines: BTreeMap<_, _> = snapshot.series.iter().map(line).collect();
    assert_eq!(lines.len(), snapshot.series.len(), "each series has labels of its own");
    lines
}

#[track_caller]
fn total(metrics: &Metrics) -> u64 {
    metrics.snapshot().series.iter().map(transom::ExchangeSeries::count).sum()
}

/// Sends requests of each kind, so many times, and returns how often each was sent.
fn load(server: &Handle, times: u64) -> Vec<(&'static str, u64)> {
    for _ in 0..times {
        let mut client = Client::connect(server);
        client.get("/users/7").expect(200, "7");
        client.get("/users/8?x=1").expect(200, "8");
        assert_eq!(client.get("/fails").status, 500);
        assert_eq!(client.get("/busy").status, 503);
        assert_eq!(client.get("/nowhere").status, 404);
        assert_eq!(client.post("/users/7", "").status, 405);
        client.send("BREW /any HTTP/1.1\r\nHost: h\r\n\r\n");
        client.answer().expect(200, "any");
        client.send("GET /users/1 HTTP/1.1\r\nHost: h\r\n\r\nHEAD /users/2 HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        assert_eq!(client.head().status, 200);
        assert_eq!(client.post("/upload", "more than ten bytes").status, 413);
        drop(client);
        let mut client = Client::connect(server);
        client.send("GET /users/7 HTTP/1.0\r\n\r\n");
        client.answer().expect(200, "7");
        drop(client);
        let mut client = Client::connect(server);
        client.send("GET / HTTP/1.1\r\nno field\r\n\r\n");
        assert_eq!(client.answer().status, 400);
        drop(client);
        let mut client = Client::connect(server);
        client.request("/forever");
        assert_eq!(client.head().status, 200);
        client.reset();
    }
    vec![
        ("GET /users/{id} 200 -", 4 * times),
        ("HEAD /users/{id} 200 -", times),
        ("GET /fails 500 500", times),
        ("GET /busy 503 503", times),
        ("GET - 404 -", times),
        ("POST - 405 -", times),
        ("_OTHER /any 200 -", times),
        ("POST /upload 413 body-too-large", times),
        ("_OTHER - 400 bad-header", times),
        ("GET /forever 200 left", times),
    ]
}

fn app() -> Router {
    Router::new()
        .get("/users/{id}", async |req: Request| Response::text(req.param("id")))
        .get("/fails", async |_: Request| -> Result<(), HttpError> { Err("on purpose".into()) })
        .get("/busy", async |_: Request| StatusCode::SERVICE_UNAVAILABLE)
        .any("/any", async |_: Request| "any")
        .post("/upload", async |_: Request| "taken")
        .get("/forever", async |_: Request| {
            let chunks = stream::repeat_with(|| Ok(Bytes::from(vec![b'a'; 65536])));
            Response::new(StatusCode::OK).body(Body::stream(chunks))
        })
}

#[test]
fn the_sums_are_those_of_the_load_to_the_request() {
    for model in MODELS {
        let metrics = Metrics::new();
        let server = start(model, configured(app(), |limits, _| limits.body = 10).metrics(&metrics));
        let clients = common::at_once(if model == Model::Sequential { 1 } else { 8 });
        let times = 5;
        let sent = thread::scope(|scope| {
            let threads: Vec<_> = (0..clients).map(|_| scope.spawn(|| load(&server, times))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let mut expected = BTreeMap::<String, u64>::new();
        for (line, count) in sent.into_iter().flatten() {
            *expected.entry(line.to_owned()).or_default() += count;
        }
        // The sums of both versions of the protocol.
        let by_line = || {
            let mut sums = BTreeMap::<String, u64>::new();
            for series in metrics.snapshot().series {
                let mut one = MetricsSnapshot::default();
                one.series = vec![series];
                for (line, count) in counted(&one) {
                    *sums.entry(line).or_default() += count;
                }
            }
            sums
        };
        eventually("all is counted", || total(&metrics) == expected.values().sum::<u64>());
        assert_eq!(by_line(), expected, "{model}");
        let old: Vec<_> = metrics.snapshot().series;
        let old = old.iter().filter(|series| series.version == Some(transom::Version::HTTP_10));
        assert_eq!(old.map(transom::ExchangeSeries::count).sum::<u64>(), times * clients as u64);
        server.stop(PATIENCE);
        assert_eq!(by_line(), expected, "{model}: the counts stay when the server is gone");
        drop(server);
        eventually("the server is gone", || metrics.monitors().is_empty());
    }
}

#[test]
fn the_shards_are_parts_of_the_sums() {
    for model in MODELS {
        let metrics = Metrics::new();
        let server = start(model, configured(app(), |_, _| ()).metrics(&metrics));
        assert!(metrics.shards().iter().all(|shard| shard.series.is_empty()), "{model}");
        let clients = common::at_once(if model == Model::Sequential { 1 } else { 4 });
        thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    let mut client = Client::connect(&server);
                    (0..5).for_each(|_| client.get("/any").expect(200, "any"));
                });
            }
        });
        eventually("all is counted", || total(&metrics) == 5 * clients as u64);
        let shards = metrics.shards();
        let with_series = shards.iter().filter(|shard| !shard.series.is_empty());
        assert!(model != Model::Sequential || with_series.count() == 1, "one thread has one shard");
        let (mut sum, [all]) =
            (shards.iter().flat_map(|shard| &shard.series), &metrics.snapshot().series[..])
        else {
            panic!("one series")
        };
        let mut first = sum.next().unwrap().clone();
        for series in sum {
            first.durations.add(&series.durations);
            first.bytes_in += series.bytes_in;
            first.bytes_out += series.bytes_out;
        }
        assert_eq!(first, *all, "{model}");
        assert!(shards.iter().all(|shard| shard.values.is_empty()));
    }
}

#[test]
fn bytes_and_durations_are_those_of_the_exchanges() {
    let metrics = Metrics::new();
    let server = start(Model::EventDriven, configured(app(), |_, _| ()).metrics(&metrics));
    let mut client = Client::connect(&server);
    let request = "GET /users/7 HTTP/1.1\r\nHost: h\r\n\r\n";
    for _ in 0..3 {
        client.send(request);
        client.answer().expect(200, "7");
    }
    eventually("all is counted", || total(&metrics) == 3);
    let snapshot = metrics.snapshot();
    let [series] = &snapshot.series[..] else { panic!("{snapshot:?}") };
    assert_eq!(series.bytes_in, 3 * request.len() as u64);
    assert!(series.bytes_out > 3 * 60, "{}", series.bytes_out);
    assert!(series.durations.sum() > std::time::Duration::ZERO && series.durations.sum() < 3 * PATIENCE);
    assert_eq!(metrics.monitors().len(), 1);
    eventually("the server has counted them too", || metrics.monitors()[0].stats().unwrap().exchanges == 3);
}

#[test]
fn beyond_the_most_series_all_else_is_one() {
    let metrics = Metrics::with_max_series(3);
    let mut app = Router::new();
    for route in 0..10 {
        app = app.get(&format!("/{route}"), async |_: Request| "here");
    }
    let server = start(Model::EventDriven, configured(app, |_, _| ()).metrics(&metrics));
    for _ in 0..2 {
        let mut client = Client::connect(&server);
        for route in 0..10 {
            client.get(&format!("/{route}")).expect(200, "here");
        }
    }
    eventually("all is counted", || total(&metrics) == 20);
    let snapshot = metrics.snapshot();
    assert_eq!(snapshot.series.len(), 3);
    let counts: Vec<_> = snapshot.series.iter().map(|series| (series.overflow, series.count())).collect();
    assert_eq!(counts, [(false, 2), (false, 2), (true, 16)]);
    assert_eq!(snapshot.series[2].method, "");
}

#[test]
fn two_servers_may_count_in_the_same_metrics() {
    let metrics = Metrics::new();
    for round in 1..=3_u64 {
        // The routes of the second server may lie where those of the first lay.
        let app = Router::new().get(&format!("/{round}"), async |_: Request| "here");
        let server = start(Model::EventDriven, configured(app, |_, _| ()).metrics(&metrics));
        let mut client = Client::connect(&server);
        for _ in 0..round {
            client.get(&format!("/{round}")).expect(200, "here");
        }
        drop(client);
        server.stop(PATIENCE);
    }
    let expected =
        BTreeMap::from([(1, 1), (2, 2), (3, 3)].map(|(at, count)| (format!("GET /{at} 200 -"), count)));
    assert_eq!(counted(&metrics.snapshot()), expected);
}

/// The rows of the tables of `docs/metrics.md`: name in Prometheus, kind, label.
fn documented() -> BTreeMap<String, (String, String)> {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let rows = document.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() >= 6);
    let rows = rows.filter(|row| cfg!(feature = "websocket") || !row.contains("websocket"));
    let cell = |row: &str, index| row.split('|').nth(index).unwrap().trim().replace('`', "");
    rows.map(|row| {
        // The dotted name and the unit make the name in Prometheus.
        let unit = match &*cell(row, 4) {
            "By" => "_bytes",
            "s" => "_seconds",
            _ => "",
        };
        let suffix = if cell(row, 3) == "counter" { "_total" } else { "" };
        assert_eq!(cell(row, 2), cell(row, 1).replace('.', "_") + unit + suffix);
        let label =
            if row.matches('|').count() > 6 { cell(row, 5).replace('-', "") } else { "le".to_owned() };
        (cell(row, 2), (cell(row, 3), label))
    })
    .collect()
}

#[test]
fn the_document_lists_each_metric_of_a_scrape() {
    let metrics = Metrics::new();
    let app = app().get("/metrics", metrics.handler());
    let server = start(Model::EventDriven, configured(app, |_, _| ()).metrics(&metrics));
    let mut client = Client::connect(&server);
    client.get("/users/7").expect(200, "7");
    eventually("it is counted", || total(&metrics) == 1);
    let answer = client.get("/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let mut found = BTreeMap::new();
    let mut labels = std::collections::BTreeSet::new();
    for line in answer.text().lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            found.insert(name.to_owned(), (kind.to_owned(), String::new()));
        } else if let Some((name, rest)) = line.split_once('{') {
            let names = rest.split("=\"").map(|before| before.rsplit([',', '"']).next().unwrap());
            let names: Vec<_> = names.filter(|name| !name.contains('}')).collect();
            labels.extend(names.iter().map(|name| (*name).to_owned()));
            if let Some((_, label)) = found.get_mut(name.trim_end_matches("_bucket")) {
                *label = (*names.last().unwrap()).to_owned();
            }
        }
    }
    for (name, (kind, label)) in documented() {
        let mut seen = found.remove(&name).unwrap_or_else(|| panic!("{name} is not in the text"));
        if name.starts_with("http_server_re") {
            // A series has the labels of the second table.
            seen.1.clone_from(&label);
        }
        assert_eq!(seen, (kind, label), "{name}");
    }
    assert!(found.is_empty(), "docs/metrics.md does not name {found:?}");
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    for label in labels.iter().filter(|label| *label != "le") {
        assert!(document.contains(&format!("`{label}`")), "the label {label}");
    }
    let bounds = document.split("Its bounds are\n").nth(1).unwrap().split("seconds:").next().unwrap();
    let bounds: Vec<f64> =
        bounds.replace(" and", ",").split(',').map(|it| it.trim().parse().unwrap()).collect();
    let of_code: Vec<_> = transom::Histogram::BOUNDS.iter().map(std::time::Duration::as_secs_f64).collect();
    assert_eq!(bounds, of_code);
}

/// The value of a sample in a text.
fn sample(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}: {text}")).parse().unwrap()
}

#[test]
fn a_scrape_shows_refusals_connections_and_bytes_of_all_servers() {
    for model in MODELS {
        let metrics = Metrics::new();
        let scraped = start(
            Model::EventDriven,
            configured(Router::new().get("/metrics", metrics.handler()), |_, _| ()).metrics(&metrics),
        );
        let text = || Client::connect(&scraped).get("/metrics").text().to_owned();
        let server = start(model, configured(app(), |limits, _| limits.connections = 1).metrics(&metrics));
        let mut client = Client::connect(&server);
        client.get("/users/7").expect(200, "7");
        if model != Model::Sequential {
            assert_eq!(Client::connect(&server).answer().status, 503);
            eventually("the refusal is shown", || {
                sample(&text(), r#"transom_refusals_total{reason="too-many-connections"}"#) > 0.5
            });
        }
        // The connection of the scrape itself is handling.
        eventually("the connections are shown", || {
            let text = text();
            sample(&text, r#"transom_connections{state="idle"}"#) > 0.5
                && sample(&text, r#"transom_connections{state="handling"}"#) > 0.5
        });
        let before = text();
        let sent = sample(&before, r#"transom_network_io_bytes_total{direction="receive"}"#);
        assert!(sent > 30.0, "{sent}");
        let accepted = sample(&before, "transom_connections_accepted_total");
        drop(client);
        server.stop(PATIENCE);
        drop(server);
        eventually("the server is gone", || metrics.monitors().len() == 1);
        assert!(sample(&text(), "transom_connections_accepted_total") >= accepted, "{model}");
    }
}

#[test]
fn a_scraper_that_does_not_read_keeps_nobody_waiting() {
    let metrics = Metrics::new();
    let mut app = Router::new().get("/metrics", metrics.handler());
    for route in 0..1500 {
        app = app.get(&format!("/{route}"), async |_: Request| "here");
    }
    let server = configured(app, |_, _| ()).workers(1).metrics(&metrics);
    let server = server.bind(&own_address()).unwrap().start().unwrap();
    let mut client = Client::connect(&server);
    for route in 0..1500 {
        client.get(&format!("/{route}")).expect(200, "here");
    }
    // Some megabytes, more than the buffers between.
    let mut scrapers: Vec<_> = (0..20).map(|_| Client::narrow(&server)).collect();
    for scraper in &mut scrapers {
        scraper.request("/metrics");
    }
    for _ in 0..50 {
        client.get("/7").expect(200, "here");
    }
    let mut scraper = Client::connect(&server);
    let labels = r#"http_request_method="GET",http_route="/7",http_response_status_code="200""#;
    let name = format!(
        "http_server_request_duration_seconds_count{{{labels},network_protocol_version=\"1.1\",url_scheme=\"http\"}}"
    );
    // A client may have an answer before the exchange has ended.
    eventually("all exchanges are counted", || {
        (sample(scraper.get("/metrics").text(), &name) - 51.0).abs() < 0.5
    });
}
