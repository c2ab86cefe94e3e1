//! The cost of watching a server: the CPU of its process for one request over loopback, with nothing,
//! with each part of what watches it, and with everything. Each round asks all of them, one after the
//! other, and the ratios are those to the server with nothing of the same round.
//!
//!     watched [ROUNDS [PARTS...]]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use transom::{AccessLog, LogFormat, Metrics, Request, Response, Router, Server, StatusPage};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PARTS: [&str; 5] = ["hook", "metrics", "log", "watchdog", "all"];
const CONNECTIONS: usize = 64;
/// Requests on each connection that are measured, after a tenth of them that warm up.
const REQUESTS: usize = 1500;
const REQUEST: &[u8] = b"GET /plain HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: watched\r\n\r\n";

fn main() -> Result<()> {
    let words: Vec<_> = env::args().skip(1).collect();
    if let [serve, part] = &words[..]
        && serve == "serve"
    {
        return self::serve(part);
    }
    let rounds = words.first().map_or(Ok(11), |word| word.parse())?;
    let parts = words.get(1..).filter(|parts| !parts.is_empty());
    let parts = parts.map_or(PARTS.to_vec(), |parts| parts.iter().map(String::as_str).collect());
    let mut ratios = vec![Vec::new(); parts.len()];
    let mut alone = Vec::new();
    for _ in 0..rounds {
        for (part, ratios) in parts.iter().zip(&mut ratios) {
            // Nothing, the part, the part, nothing: what changes slowly falls out.
            let nothing = cpu_nanos("nothing")?;
            let watched = cpu_nanos(part)? + cpu_nanos(part)?;
            let nothing = nothing + cpu_nanos("nothing")?;
            ratios.push(watched / nothing);
            alone.push(nothing / 2.0);
        }
    }
    println!("CPU for a request with nothing: {:.2} us", median(&mut alone) / 1000.0);
    for (part, ratios) in parts.iter().zip(&mut ratios) {
        let median = median(ratios);
        let (low, high) = (ratios[ratios.len() / 4], ratios[ratios.len() * 3 / 4]);
        println!(
            "{part}: {:+.1} % (half of {rounds} rounds: {:+.1} to {:+.1})",
            percent(median),
            percent(low),
            percent(high)
        );
    }
    Ok(())
}

fn percent(ratio: f64) -> f64 {
    100.0 * (ratio - 1.0)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A server with some of what watches it, until its standard input ends.
fn serve(part: &str) -> Result<()> {
    let is_on = |name: &str| part == name || part == "all";
    let metrics = Metrics::new();
    let mut app = Router::new().get("/plain", async |_: Request| Response::bytes("text/plain", "hello"));
    if is_on("status") {
        app = app.nest("/status", StatusPage::new(&metrics).router());
    }
    let mut server = Server::new(app).workers(1);
    if part == "hook" {
        server = server.on_exchange(|_| ());
    }
    if is_on("metrics") {
        server = server.metrics(&metrics);
    }
    let path = env::temp_dir().join(format!("transom-watched-{}.log", std::process::id()));
    if is_on("log") {
        server = server.access_log(&AccessLog::to_file(&path)?.format(LogFormat::Combined));
    }
    if is_on("watchdog") {
        let mut timeouts = transom::Timeouts::default();
        timeouts.watchdog = Some(Duration::from_secs(5));
        server = server.timeouts(timeouts);
    }
    let handle = server.bind("127.0.0.1:0")?.start()?;
    println!("{}", handle.local_addr());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    handle.stop(Duration::from_secs(1));
    let _ = fs::remove_file(path);
    Ok(())
}

/// Returns the CPU nanoseconds for each request of a server.
fn cpu_nanos(part: &str) -> Result<f64> {
    let mut child = Command::new(env::current_exe()?)
        .args(["serve", part])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let nanos = load(&mut child);
    drop(child.stdin.take());
    child.wait()?;
    nanos
}

fn load(child: &mut Child) -> Result<f64> {
    let mut address = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut address)?;
    let mut clients =
        (0..CONNECTIONS).map(|_| TcpStream::connect(address.trim())).collect::<std::io::Result<Vec<_>>>()?;
    for client in &clients {
        client.set_nodelay(true)?;
    }
    ask(&mut clients, REQUESTS / 10)?;
    let before = cpu(child.id())?;
    ask(&mut clients, REQUESTS)?;
    Ok((cpu(child.id())? - before) as f64 / (CONNECTIONS * REQUESTS) as f64)
}

/// Sends so many requests on each connection, on all before the first answer is read.
fn ask(clients: &mut [TcpStream], requests: usize) -> Result<()> {
    let mut answer = [0; 1024];
    for _ in 0..requests {
        for client in &mut *clients {
            client.write_all(REQUEST)?;
        }
        for client in &mut *clients {
            let mut length = 0;
            while !answer[..length].ends_with(b"hello") {
                length += match client.read(&mut answer[length..])? {
                    0 => return Err("the server closed a connection".into()),
                    length => length,
                };
            }
        }
    }
    Ok(())
}

/// Returns the time for which the threads of a process have run, in nanoseconds.
fn cpu(process: u32) -> Result<u64> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let times = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += times.split(' ').next().ok_or("no time")?.parse::<u64>()?;
    }
    Ok(nanos)
}
