//! The access log: a line for each answer, whatever clients send and whatever becomes of the file.

mod common;

const MODEL: Model = Model::EventDriven;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use transom::{
    AccessLog, Address, Error, Handle, LogFormat, Model, Request, Response, Router, Server, blocking,
};

use common::{Client, Logs, PATIENCE, Signal, configured, eventually, final_report, own_address};

const MODELS: [Model; 3] = [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];

/// A writer that keeps what it gets, and fails while it is told to.
#[derive(Clone, Default)]
struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// The number of bytes that it still takes, if it is full soon.
    room: Arc<Mutex<Option<usize>>>,
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut room = self.room.lock().unwrap();
        let length = bytes.len().min(room.unwrap_or(usize::MAX));
        if length == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Some(room) = &mut *room {
            *room -= length;
        }
        self.bytes.lock().unwrap().extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn log(&self, format: LogFormat) -> AccessLog {
        AccessLog::to_writer(self.clone()).unwrap().format(format)
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// Waits until there are so many lines, and returns them.
    #[track_caller]
    fn wait_for(&self, count: usize) -> Vec<String> {
        eventually("the lines are written", || self.lines().len() >= count);
        self.lines()
    }
}

/// Replaces what differs from run to run: times, ports, durations.
fn masked(line: &str) -> String {
    let mut masked = line.to_owned();
    for (before, after) in
        [(" [", "]"), ("\"timestamp\":\"", "\""), ("\"client.port\":", ",}"), (".duration\":", ",}")]
    {
        if let Some((start, rest)) = masked.split_once(before)
            && let Some(end) = rest.find(|c| after.contains(c))
        {
            masked = format!("{start}{before}*{}", &rest[end..]);
        }
    }
    masked
}

fn app() -> Router {
    Router::new()
        .get("/users/{id}", async |req: Request| Response::text(req.param("id")))
        .get("/panics", async |_: Request| -> &'static str { panic!("on purpose") })
        .post("/upload", async |_: Request| "taken")
        .fallback(async |_: Request| "fallback")
}

fn start(model: Model, server: Server) -> Handle {
    server.model(model).workers(1).bind(&own_address()).unwrap().start().unwrap()
}

fn logged(log: &AccessLog) -> Server {
    configured(app(), |limits, _| limits.body = 10).access_log(log)
}

/// Sends requests of all kinds, one after another.
fn visit(server: &Handle, kept: &Kept) {
    let mut client = Client::connect(server);
    let fields = "Host: h\r\nReferer: http://h/\"\r\nUser-Agent: caf\u{e9}\\\r\n";
    client.send(format!("GET /users/7?x=\"1\" HTTP/1.1\r\n{fields}\r\n"));
    assert_eq!(client.answer().status, 200);
    client.send("GET http://h/nowhere?a?b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.get("/panics").status, 500);
    assert_eq!(client.post("/upload", "more than ten bytes").status, 413);
    drop(client);
    // The lines of two connections may be in any order, if each has a thread.
    kept.wait_for(4);
    let mut client = Client::connect(server);
    client.send("GET /\n\u{1b}[31m\"- HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().status, 400);
}

/// Replaces the last number of each line: what an answer has in bytes is tested elsewhere.
fn without_size(line: &str) -> String {
    let (start, size) = line.rsplit_once(' ').unwrap();
    assert!(size.parse::<u64>().unwrap() > 50, "{line}");
    format!("{start} *")
}

#[test]
fn the_common_format_is_the_one_that_tools_read() {
    for model in MODELS {
        let kept = Kept::default();
        let server = start(model, logged(&kept.log(LogFormat::Common)));
        visit(&server, &kept);
        let lines: Vec<_> = kept.wait_for(5).iter().map(|line| without_size(&masked(line))).collect();
        assert_eq!(
            lines,
            [
                r#"127.0.0.1 - - [*] "GET /users/7?x=\x221\x22 HTTP/1.1" 200 *"#,
                r#"127.0.0.1 - - [*] "GET http://h/nowhere?a?b HTTP/1.0" 200 *"#,
                r#"127.0.0.1 - - [*] "GET /panics HTTP/1.1" 500 *"#,
                r#"127.0.0.1 - - [*] "POST /upload HTTP/1.1" 413 *"#,
                r#"127.0.0.1 - - [*] "-" 400 *"#,
            ],
            "{model}"
        );
        let line = &kept.lines()[0];
        let time = line.split_once('[').unwrap().1.split_once(']').unwrap().0;
        assert_eq!(time.len(), "10/Oct/2000:13:55:36 +0000".len(), "{line}");
        assert!(time.ends_with(" +0000"), "{line}");
    }
}

#[test]
fn the_combined_format_has_two_fields_of_the_request() {
    for model in MODELS {
        let kept = Kept::default();
        let server = start(model, logged(&kept.log(LogFormat::Combined)));
        visit(&server, &kept);
        let lines = kept.wait_for(5);
        assert!(lines[0].ends_with(r#" "http://h/\x22" "caf\xc3\xa9\x5c""#), "{model}: {}", lines[0]);
        assert!(lines[1..].iter().all(|line| line.ends_with(r#" "-" "-""#)), "{model}: {lines:?}");
        assert!(masked(&lines[4]).starts_with(r#"127.0.0.1 - - [*] "-" 400 "#), "{model}: {}", lines[4]);
    }
}

#[test]
fn a_line_of_json_has_the_names_of_opentelemetry() {
    for model in MODELS {
        let kept = Kept::default();
        let server = start(model, logged(&kept.log(LogFormat::Json)));
        visit(&server, &kept);
        let lines: Vec<_> = kept
            .wait_for(5)
            .iter()
            .map(|line| {
                let mut line = masked(line);
                for key in ["request.size\":", "response.size\":"] {
                    let (start, rest) = line.split_once(key).unwrap();
                    let (size, rest) = rest.split_once(',').unwrap();
                    assert!(size.parse::<u64>().unwrap() > 10, "{line}");
                    line = format!("{start}{key}*,{rest}");
                }
                line
            })
            .collect();
        let start = r#"{"timestamp":"*","client.address":"127.0.0.1","client.port":*"#;
        let sizes = r#""http.request.size":*,"http.response.size":*,"http.server.request.duration":*"#;
        let expected = [
            format!(
                r#"{start},"http.request.method":"GET","url.path":"/users/7","url.query":"x=\"1\"","network.protocol.version":"1.1","http.route":"/users/{{id}}","http.response.status_code":200,{sizes},"http.request.header.referer":["http://h/\""],"user_agent.original":"caf\u00e9\\"}}"#
            ),
            format!(
                r#"{start},"http.request.method":"GET","url.path":"/nowhere","url.query":"a?b","network.protocol.version":"1.0","http.response.status_code":200,{sizes}}}"#
            ),
            format!(
                r#"{start},"http.request.method":"GET","url.path":"/panics","network.protocol.version":"1.1","http.route":"/panics","http.response.status_code":500,{sizes}}}"#
            ),
            format!(
                r#"{start},"http.request.method":"POST","url.path":"/upload","network.protocol.version":"1.1","http.route":"/upload","http.response.status_code":413,{sizes},"error.type":"body-too-large"}}"#
            ),
            format!(r#"{start},"http.response.status_code":400,{sizes},"error.type":"bare-line-end"}}"#),
        ];
        assert_eq!(lines, expected, "{model}");
    }
}

#[test]
fn a_format_of_directives_is_that_of_apache() {
    for model in MODELS {
        let kept = Kept::default();
        let format =
            "%h %l %u %t \"%r\" %>s %m %U%q %H %A %R %E \"%{Referer}i\" \"%{x-none}i\" %{Content-Type}o %%";
        let log = kept.log(LogFormat::pattern(format).unwrap());
        let numbers = Kept::default();
        let more = numbers.log(LogFormat::pattern("%p %O %b %B %I %D %{us}T %{ms}T %T %L").unwrap());
        let server = start(model, logged(&log).access_log(&more));
        let Address::Tcp(address) = *server.local_addr() else { panic!("no TCP address") };
        let local = format!(" {} ", address.ip());
        visit(&server, &kept);
        let lines: Vec<_> = kept.wait_for(5).iter().map(|line| masked(line).replace(&local, " * ")).collect();
        assert_eq!(
            lines,
            [
                r#"127.0.0.1 - - [*] "GET /users/7?x=\x221\x22 HTTP/1.1" 200 GET /users/7?x=\x221\x22 HTTP/1.1 * /users/{id} - "http://h/\x22" "-" text/plain; charset=utf-8 %"#,
                r#"127.0.0.1 - - [*] "GET http://h/nowhere?a?b HTTP/1.0" 200 GET /nowhere?a?b HTTP/1.0 * - - "-" "-" text/plain; charset=utf-8 %"#,
                r#"127.0.0.1 - - [*] "GET /panics HTTP/1.1" 500 GET /panics HTTP/1.1 * /panics - "-" "-" text/plain; charset=utf-8 %"#,
                r#"127.0.0.1 - - [*] "POST /upload HTTP/1.1" 413 POST /upload HTTP/1.1 * /upload body-too-large "-" "-" text/plain; charset=utf-8 %"#,
                r#"127.0.0.1 - - [*] "-" 400 - - - * - bare-line-end "-" "-" text/plain; charset=utf-8 %"#,
            ],
            "{model}"
        );
        for line in numbers.wait_for(5) {
            let values: Vec<_> = line.split(' ').collect();
            let [port, sent, or_dash, again, received, micros, same, millis, seconds, decimals] = values[..]
            else {
                panic!("{line}")
            };
            assert_eq!((port, sent, sent), (&*address.port().to_string(), or_dash, again), "{model}: {line}");
            assert!(sent.parse::<u64>().unwrap() > 50 && received.parse::<u64>().unwrap() > 20, "{line}");
            let [micros, same, millis, seconds] =
                [micros, same, millis, seconds].map(|number| number.parse::<u64>().unwrap());
            assert_eq!(
                (micros, micros / 1000, micros / 1_000_000),
                (same, millis, seconds),
                "{model}: {line}"
            );
            assert_eq!(decimals, format!("{}.{:06}", seconds, micros % 1_000_000), "{model}");
        }
    }
}

#[test]
fn a_format_of_directives_is_checked_when_it_is_made() {
    let error = LogFormat::pattern("%h %Z").unwrap_err();
    assert_eq!(error.to_string(), "bad format \"%h %Z\" of the access log: there is no directive %Z");
}

#[test]
fn an_own_format_may_leave_lines_out_and_panic_and_never_makes_two() {
    let kept = Kept::default();
    let format = LogFormat::own(|exchange, line| match exchange.target() {
        Some("/users/skip") => {}
        Some("/users/panic") => {
            line.extend_from_slice(b"half a line");
            panic!("on purpose, in a format");
        }
        target => line.extend_from_slice(format!("{}\nforged\t\u{7f}é\n", target.unwrap_or("-")).as_bytes()),
    });
    let log = kept.log(format);
    let server = start(Model::EventDriven, logged(&log));
    let mut client = Client::connect(&server);
    for name in ["1", "skip", "panic", "2"] {
        client.get(&format!("/users/{name}")).expect(200, name);
    }
    assert!(log.flush(PATIENCE));
    let lines = kept.wait_for(2);
    assert_eq!(lines, ["/users/1\\x0aforged\t\\x7fé", "/users/2\\x0aforged\t\\x7fé"]);
    Logs::expect("on purpose, in a format");
    assert_eq!(log.lost(), 0);
}

/// A generator of numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    /// Bytes that somebody would send to forge a line.
    fn bytes(&mut self, allowed: fn(u8) -> bool) -> Vec<u8> {
        let pieces: [&[u8]; 12] = [
            b"\"",
            b"\\",
            b" ",
            b"\t",
            b"\x1b[31m",
            b"\xff\xfe",
            "\u{1f600}é".as_bytes(),
            b"\\x0a",
            b"] \"GET",
            b"200 1",
            b"a",
            b"\r\n",
        ];
        let count = self.below(8);
        let bytes: Vec<_> = (0..count).flat_map(|_| pieces[self.below(pieces.len())]).copied().collect();
        bytes.into_iter().filter(|byte| allowed(*byte)).collect()
    }
}

#[test]
fn whatever_clients_send_an_answer_is_one_line_and_no_field_is_forged() {
    let (texts, objects, patterns) = (Kept::default(), Kept::default(), Kept::default());
    let pattern = LogFormat::pattern("%h %l %u %t \"%r\" %s %O \"%{Referer}i\" \"%{User-Agent}i\"").unwrap();
    let logs = [texts.log(LogFormat::Combined), objects.log(LogFormat::Json), patterns.log(pattern)];
    let server = start(MODEL, logged(&logs[0]).access_log(&logs[1]).access_log(&logs[2]));
    let mut random = Random(1);
    let mut agents = Vec::new();
    for _ in 0..300 {
        let in_target = |byte: u8| byte > b' ' && byte != b'#' && byte != 0x7f;
        let in_field = |byte: u8| byte >= b' ' || byte == b'\t';
        let any = |_: u8| true;
        let broken = random.below(4) == 0;
        let target = random.bytes(if broken { any } else { in_target });
        let agent = random.bytes(if broken { any } else { in_field });
        let referer = random.bytes(in_field);
        let mut client = Client::connect(&server);
        let request = [
            b"GET /".as_slice(),
            &target,
            b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\nReferer: ",
            &referer,
            b"\r\nUser-Agent: ",
            &agent,
            b"\r\n\r\n",
        ];
        client.send(request.concat());
        let status = client.answer().status;
        client.until_closed();
        agents.push((status, agent));
    }
    server.stop(PATIENCE);
    assert!(logs.iter().all(|log| log.flush(PATIENCE)));
    let without_times = |kept: &Kept| kept.lines().iter().map(|line| masked(line)).collect::<Vec<_>>();
    assert_eq!(without_times(&texts), without_times(&patterns));
    let (texts, objects) = (texts.lines(), objects.lines());
    assert_eq!((texts.len(), objects.len()), (agents.len(), agents.len()));
    for ((text, object), (status, agent)) in texts.iter().zip(&objects).zip(&agents) {
        assert!(text.bytes().chain(object.bytes()).all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
        let parts: Vec<_> = text.split('"').collect();
        assert_eq!(parts.len(), 7, "{text}");
        assert!(parts[2].starts_with(&format!(" {status} ")), "{text}");
        let object: serde_json::Value = serde_json::from_str(object).unwrap();
        assert_eq!(object["http.response.status_code"], *status, "{object}");
        // One with a line end in it is two fields.
        if *status == 200 && !agent.contains(&b'\r') {
            let value = object["user_agent.original"].as_str().unwrap();
            let sent = String::from_utf8_lossy(agent);
            assert_eq!(value, sent.trim_matches([' ', '\t']), "{object}");
        }
    }
    assert!(agents.iter().filter(|(status, _)| *status == 200).count() > 50);
    assert!(agents.iter().filter(|(status, _)| *status == 400).count() > 10);
}

#[test]
fn refusals_without_a_request_are_lines_too() {
    let (go, busy) = (Signal::new(), Signal::new());
    let (may_go, is_busy) = (go.clone(), busy.clone());
    let app = Router::new().get(
        "/",
        blocking(move |_: Request| {
            is_busy.set();
            may_go.wait();
            "done"
        }),
    );
    let kept = Kept::default();
    let server = configured(app, |limits, _| {
        (limits.connections, limits.pool_threads, limits.pool_queue) = (2, 1, 0);
    });
    let server = start(MODEL, server.access_log(&kept.log(LogFormat::Common)));
    let (mut first, mut second) = (Client::connect(&server), Client::connect(&server));
    first.request("/");
    busy.wait();
    assert_eq!(second.get("/").status, 503);
    assert_eq!(Client::connect(&server).answer().status, 503);
    go.set();
    first.answer().expect(200, "done");
    let lines: Vec<_> = kept.wait_for(3).iter().map(|line| without_size(&masked(line))).collect();
    let expected = [r#""GET / HTTP/1.1" 503"#, r#""-" 503"#, r#""GET / HTTP/1.1" 200"#];
    assert_eq!(lines, expected.map(|end| format!("127.0.0.1 - - [*] {end} *")));
}

#[test]
fn an_exchange_that_a_stop_cuts_is_a_line_without_a_status() {
    for model in MODELS {
        let waits = Signal::new();
        let waiting = waits.clone();
        let app = Router::new().get("/forever", move |_: Request| {
            waiting.set();
            async {
                common::forever().await;
                "never"
            }
        });
        let (text, object) = (Kept::default(), Kept::default());
        let server = configured(app, |_, _| ())
            .access_log(&text.log(LogFormat::Common))
            .access_log(&object.log(LogFormat::Json));
        let server = start(model, server);
        let mut client = Client::connect(&server);
        client.request("/forever");
        waits.wait();
        server.stop(Duration::ZERO);
        assert_eq!(final_report(&server).cut, 1, "{model}");
        // Nobody else has the logs, so they end with the server, and write what they have.
        drop(server);
        text.wait_for(1);
        object.wait_for(1);
        assert!(text.lines()[0].ends_with(r#""GET /forever HTTP/1.1" - 0"#), "{model}: {}", text.text());
        assert!(object.text().contains(r#""error.type":"cut""#), "{model}: {}", object.text());
        assert!(!object.text().contains("status_code"), "{model}: {}", object.text());
    }
}

/// A folder for the files of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("transom-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_rotation_under_load_loses_no_line() {
    const CLIENTS: usize = 3;
    const REQUESTS: usize = 400;
    let folder = Folder::new("rotation");
    let path = folder.0.join("access.log");
    let log = AccessLog::to_file(&path).unwrap();
    let server = logged(&log).workers(2).bind("127.0.0.1:0").unwrap().start().unwrap();
    let over = AtomicBool::new(false);
    let files = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let server = &server;
                scope.spawn(move || {
                    let mut client = Client::connect(server);
                    for request in 0..REQUESTS {
                        assert_eq!(client.get(&format!("/users/{number}-{request}")).status, 200);
                    }
                })
            })
            .collect();
        let rotation = scope.spawn(|| {
            let mut files = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let old = folder.0.join(format!("access.log.{}", files.len()));
                fs::rename(&path, &old).unwrap();
                eventually("the old file has its lines", || log.reopen().is_ok());
                // Nothing goes there any more.
                files.push((fs::metadata(&old).unwrap().len(), old));
            }
            files
        });
        for client in clients {
            client.join().unwrap();
        }
        over.store(true, Ordering::SeqCst);
        rotation.join().unwrap()
    });
    server.stop(PATIENCE);
    assert!(log.flush(PATIENCE));
    assert!(files.iter().all(|(size, old)| fs::metadata(old).unwrap().len() == *size));
    let paths = files.iter().map(|(_, old)| old).chain([&path]);
    let text: String = paths.map(|path| fs::read_to_string(path).unwrap()).collect();
    for client in 0..CLIENTS {
        let prefix = format!("GET /users/{client}-");
        let requests: Vec<usize> = text
            .lines()
            .filter_map(|line| line.split_once(&prefix)?.1.split(' ').next()?.parse().ok())
            .collect();
        assert_eq!(requests, (0..REQUESTS).collect::<Vec<_>>(), "all lines of a connection, in order");
    }
    assert_eq!((text.lines().count(), log.lost()), (CLIENTS * REQUESTS, 0));
}

#[test]
fn a_file_that_cannot_be_opened_is_named_and_the_old_one_stays() {
    let folder = Folder::new("reopen");
    let path = folder.0.join("logs").join("access.log");
    let error = AccessLog::to_file(&path).unwrap_err();
    assert!(matches!(&error, Error::File { source, .. } if source.kind() == io::ErrorKind::NotFound));
    assert!(error.to_string().starts_with(&format!("cannot open {}: ", path.display())), "{error}");
    fs::create_dir(folder.0.join("logs")).unwrap();
    let log = AccessLog::to_file(&path).unwrap();
    let server = start(MODEL, logged(&log));
    let moved = folder.0.join("moved");
    fs::rename(folder.0.join("logs"), &moved).unwrap();
    assert!(log.reopen().is_err());
    Client::connect(&server).get("/users/1").expect(200, "1");
    eventually("the line is in the old file", || {
        fs::read_to_string(moved.join("access.log")).unwrap().contains("/users/1")
    });
    assert!(Kept::default().log(LogFormat::Common).reopen().is_err(), "there is no file to open");
}

#[test]
fn a_full_disk_costs_lines_that_are_counted_and_no_request() {
    let log = AccessLog::to_file("/dev/full").unwrap();
    let server = start(MODEL, logged(&log));
    let mut client = Client::connect(&server);
    for _ in 0..100 {
        client.get("/users/1").expect(200, "1");
    }
    drop(client);
    server.stop(PATIENCE);
    assert!(log.flush(PATIENCE));
    assert_eq!(log.lost(), 100);
    Logs::expect("the access log loses lines: No space left on device");
}

#[test]
fn a_log_that_can_be_written_again_tells_what_it_lost() {
    for (format, note) in [
        (LogFormat::Common, "# 3 lines were lost before ["),
        (LogFormat::Json, ",\"transom.log.lost\":3}"),
        (LogFormat::own(|exchange, line| line.extend_from_slice(exchange.target().unwrap().as_bytes())), ""),
    ] {
        let kept = Kept::default();
        let log = kept.log(format);
        let server = start(MODEL, logged(&log));
        let mut client = Client::connect(&server);
        let mut ask = |number: usize| {
            client.get(&format!("/users/{number}")).expect(200, &number.to_string());
        };
        ask(1);
        eventually("the line is written", || {
            assert!(log.flush(PATIENCE));
            kept.lines().len() == 1
        });
        // Room for a part of a line only.
        *kept.room.lock().unwrap() = Some(5);
        ask(2);
        ask(3);
        ask(4);
        eventually("three lines are lost", || {
            assert!(log.flush(PATIENCE));
            log.lost() == 3
        });
        *kept.room.lock().unwrap() = None;
        ask(5);
        let count = if note.is_empty() { 3 } else { 4 };
        let lines = kept.wait_for(count);
        assert_eq!(lines.len(), count, "{lines:?}");
        assert!(lines[0].contains("/users/1") && lines[1].len() == 5, "{lines:?}");
        assert!(lines[count - 2].contains(note) && lines[count - 1].contains("/users/5"), "{lines:?}");
    }
}

#[test]
fn a_pipe_that_nobody_reads_delays_no_request() {
    let (reader, writer) = io::pipe().unwrap();
    let log = AccessLog::to_writer(writer).unwrap().buffer(8 << 10);
    let server = start(MODEL, logged(&log));
    let mut client = Client::connect(&server);
    let mut requests = 0;
    // A pipe takes 64 KiB, and the buffer 8.
    while log.lost() < 100 {
        client.get("/users/1").expect(200, "1");
        requests += 1;
        assert!(requests < 100_000);
    }
    assert!(!log.flush(Duration::ZERO), "the writer is stuck");
    Logs::expect("the access log loses lines: they come faster than they can be written");
    drop(client);
    let reading = thread::spawn(move || {
        let lines: Vec<_> = BufReader::new(reader).lines().map(Result::unwrap).collect();
        lines
    });
    server.stop(PATIENCE);
    assert!(log.flush(PATIENCE));
    let lost = log.lost();
    drop((log, server));
    let lines = reading.join().unwrap();
    let (notes, lines): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.starts_with("# "));
    let told: u64 = notes.iter().map(|note| note.split(' ').nth(1).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!((lines.len() as u64 + lost, told), (requests, lost));
}

#[test]
fn a_writer_that_panics_costs_lines_and_the_log_goes_on() {
    struct Panics(Kept, bool);
    impl Write for Panics {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(std::mem::replace(&mut self.1, true), "on purpose");
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let kept = Kept::default();
    let log = AccessLog::to_writer(Panics(kept.clone(), false)).unwrap();
    let server = start(MODEL, logged(&log));
    let mut client = Client::connect(&server);
    client.get("/users/1").expect(200, "1");
    eventually("the line is lost", || {
        assert!(log.flush(PATIENCE));
        log.lost() == 1
    });
    client.get("/users/2").expect(200, "2");
    let lines = kept.wait_for(2);
    assert!(lines[0].starts_with("# 1 lines were lost") && lines[1].contains("/users/2"), "{lines:?}");
}

#[test]
fn a_stuck_writer_holds_the_end_for_a_bounded_time() {
    let (mut reader, writer) = io::pipe().unwrap();
    let log = AccessLog::to_writer(writer).unwrap();
    let server = start(MODEL, logged(&log));
    let mut client = Client::connect(&server);
    let target = format!("/users/{}", "a".repeat(4000));
    // More than a pipe takes.
    for _ in 0..40 {
        assert_eq!(client.get(&target).status, 200);
    }
    drop(client);
    server.stop(PATIENCE);
    drop((server, log));
    // The thread of the log goes on until the pipe is read.
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 40);
}

#[test]
fn one_log_may_be_that_of_several_servers() {
    let kept = Kept::default();
    let log = kept.log(LogFormat::Common);
    let servers = [1, 2].map(|_| start(MODEL, logged(&log)));
    for server in &servers {
        Client::connect(server).get("/users/1").expect(200, "1");
    }
    assert_eq!(kept.wait_for(2).len(), 2);
    drop(servers);
    assert!(format!("{log:?}").starts_with("AccessLog { path: None, format: Common, lost: 0"));
}
