//! The scenarios: what each asks of a server, for how long, and how often.

use crate::check::MIB;
use crate::load::Plan;
use crate::load::plan::Slow;
use crate::load::tls::Version;

/// How a scenario is measured.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A load, and what the server used during it.
    Load(Plan),
    /// Resident memory with many connections that do nothing.
    Idle(Plan),
    /// A load alone and again beside slow clients.
    Slow(Plan, Slow),
    /// Start, size, dependencies: no load.
    Start,
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub id: String,
    /// The group by which a server says that it can take part.
    pub group: &'static str,
    pub title: String,
    pub kind: Kind,
    pub rounds: usize,
    /// Takes part in a quick run.
    pub quick: bool,
    /// The metric that its table is sorted by, from the least.
    pub primary: &'static str,
}

impl Scenario {
    fn load(id: &str, group: &'static str, title: &str, plan: Plan) -> Self {
        Self {
            id: id.into(),
            group,
            title: title.into(),
            kind: Kind::Load(plan),
            rounds: 3,
            quick: false,
            primary: "cpu_us",
        }
    }

    /// Whether the best server has the most of the primary metric.
    pub fn most_is_best(&self) -> bool {
        self.primary == "rate"
    }

    fn rounds(self, rounds: usize) -> Self {
        Self { rounds, ..self }
    }

    fn quick(self) -> Self {
        Self { quick: true, ..self }
    }

    fn by(self, primary: &'static str) -> Self {
        Self { primary, ..self }
    }
}

/// The time that the handler of /wait waits, in seconds.
pub const WAIT: f64 = 0.010;
pub const WAITING: [usize; 4] = [10, 100, 1_000, 10_000];

/// Bytes of the answer to /json/lamp.
pub const JSON: u64 = 1_042;

/// Events that a server sends on each stream of /events, in a second.
pub const EVENT_RATE: f64 = 25.0;

/// The scenario with the most handlers that wait.
pub fn last_wait() -> String {
    format!("wait-{}", WAITING[WAITING.len() - 1])
}

/// The head of a request, with more field lines.
pub fn head(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n")
}

/// What a browser sends along with a request for a page.
pub const BROWSER: &str = "Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"138\", \"Google Chrome\";v=\"138\", \"Not)A;Brand\";v=\"8\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n";

/// Many connections that ask for the small answer, kept alive.
pub fn small(connections: usize) -> Plan {
    Plan { connections, head: head("GET", "/plain", ""), expect: Some(5), ..Plan::default() }
}

/// Many connections whose handlers wait.
pub fn waiting(connections: usize) -> Scenario {
    let seconds = if connections >= 10_000 { 3.0 } else { 1.0 };
    let plan = Plan {
        connections,
        head: head("GET", "/wait", ""),
        expect: Some(6),
        seconds,
        warm: if connections >= 1_000 { 0.5 } else { 0.3 },
        timeout: 30.0,
        ..Plan::default()
    };
    let title = format!("A handler that waits 10 ms, {connections} connections");
    Scenario::load(&format!("wait-{connections}"), "wait", &title, plan).by("rate")
}

fn body(id: &str, group: &'static str, title: &str, request: String, up: u64, down: Option<u64>) -> Scenario {
    let connections = if id.ends_with("100m") { 2 } else { 8 };
    let plan = Plan { connections, head: request, body: up, expect: down, timeout: 30.0, ..Plan::default() };
    Scenario::load(id, group, title, plan).by("cpu_us_mib")
}

/// The cost of TLS: records of a connection that is kept alive, handshakes, and memory.
fn with_tls() -> [Scenario; 5] {
    let kept = Plan { tls: Some(Version::Tls13), ..small(64) };
    let fresh = |version| Plan {
        fresh: true,
        head: head("GET", "/plain", "Connection: close\r\n"),
        tls: Some(version),
        ..small(64)
    };
    let down = Plan { connections: 8, head: head("GET", "/bytes/1m", ""), expect: Some(MIB), ..kept.clone() };
    let idle = Plan { connections: 10_000, ..kept.clone() };
    let load = |id, title, plan| Scenario::load(id, "tls", title, plan);
    [
        load("tls-small-64", "Small answer over TLS 1.3, 64 connections", kept),
        load(
            "tls-close-64",
            "Small answer, a full TLS 1.3 handshake for each request",
            fresh(Version::Tls13),
        ),
        load(
            "tls12-close-64",
            "Small answer, a full TLS 1.2 handshake for each request",
            fresh(Version::Tls12),
        ),
        load("tls-down-1m", "1 MiB down over TLS 1.3, 8 connections", down).by("cpu_us_mib"),
        Scenario {
            kind: Kind::Idle(idle.clone()),
            rounds: 2,
            ..load("tls-idle-10000", "10,000 idle TLS connections, each after one request", idle)
                .by("idle_bytes")
        },
    ]
}

pub fn all() -> Vec<Scenario> {
    let upload = |size: u64| head("POST", "/upload", &format!("Content-Length: {size}\r\n"));
    let get = |path| head("GET", path, "");
    let mut scenarios = vec![
        Scenario::load("small-1", "small", "Small answer, 1 connection", small(1)),
        Scenario::load("small-64", "small", "Small answer, 64 connections", small(64)).rounds(5).quick(),
        Scenario::load("small-1000", "small", "Small answer, 1,000 connections", small(1_000)),
        Scenario::load(
            "json-64",
            "json",
            "1 KB of JSON with a parameter of the path, 64 connections",
            Plan { head: get("/json/lamp"), expect: Some(JSON), ..small(64) },
        ),
        Scenario::load(
            "browser-64",
            "browser",
            "Small answer to a browser's header fields, 64 connections",
            Plan { head: head("GET", "/plain", BROWSER), ..small(64) },
        )
        .quick(),
        Scenario::load(
            "pipelined-16",
            "pipelined",
            "Small answer, 16 requests at once on each of 64 connections",
            Plan { depth: 16, ..small(64) },
        )
        .quick(),
        Scenario::load(
            "close-64",
            "close",
            "Small answer, a new connection for each request, 64 at once",
            Plan { fresh: true, head: head("GET", "/plain", "Connection: close\r\n"), ..small(64) },
        )
        .quick(),
        body("down-1m", "down", "1 MiB down, 8 connections", get("/bytes/1m"), 0, Some(MIB)).quick(),
        body("down-100m", "down", "100 MiB down, 2 connections", get("/bytes/100m"), 0, Some(100 * MIB))
            .rounds(2),
        body("up-1m", "up", "1 MiB up, 8 connections", upload(MIB), MIB, Some(7)),
        body("up-100m", "up", "100 MiB up, 2 connections", upload(100 * MIB), 100 * MIB, Some(9)).rounds(2),
        body("file-64", "file", "A file of 1 MiB, 64 connections", get("/file"), 0, Some(MIB)),
    ];
    if let Some(Scenario { kind: Kind::Load(plan), .. }) = scenarios.last_mut() {
        plan.connections = 64;
    }
    for connections in WAITING {
        let scenario = waiting(connections);
        let rounds = if connections >= 10_000 { 2 } else { 3 };
        scenarios.push(Scenario { quick: connections == 1_000, ..scenario }.rounds(rounds));
    }
    let events = Plan {
        connections: 1_000,
        head: head("GET", "/events", "Accept: text/event-stream\r\n"),
        events: true,
        seconds: 2.0,
        warm: 0.5,
        ..Plan::default()
    };
    let title = "Server-sent events, 25 a second to each of 1,000 clients";
    scenarios.push(Scenario::load("events-1000", "events", title, events));
    scenarios.push(Scenario {
        id: "idle-10000".into(),
        group: "idle",
        title: "10,000 idle connections, each after one request".into(),
        kind: Kind::Idle(small(10_000)),
        rounds: 1,
        quick: false,
        primary: "idle_bytes",
    });
    scenarios.extend(with_tls());
    let fast = Plan { rate: Some(500.0), seconds: 2.0, timeout: 5.0, ..small(16) };
    let slow = Slow { clients: 1_000, pause: 1.0, head: head("GET", "/plain", BROWSER) };
    scenarios.push(Scenario {
        id: "slow-1000".into(),
        group: "slow",
        title: "500 requests a second on 16 connections, alone and beside 1,000 slow clients".into(),
        kind: Kind::Slow(fast, slow),
        rounds: 2,
        quick: false,
        primary: "p99_slow_us",
    });
    scenarios.push(Scenario {
        id: "start".into(),
        group: "small",
        title: "Start and size".into(),
        kind: Kind::Start,
        rounds: 5,
        quick: false,
        primary: "start_ms",
    });
    scenarios
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_sends_ten_fields_of_about_600_bytes() {
        assert_eq!(BROWSER.matches("\r\n").count(), 10);
        assert!((500..700).contains(&head("GET", "/plain", BROWSER).len()));
    }

    #[test]
    fn the_ids_are_unique() {
        let all = all();
        assert!(all.iter().enumerate().all(|(at, one)| all[..at].iter().all(|other| other.id != one.id)));
    }
}
