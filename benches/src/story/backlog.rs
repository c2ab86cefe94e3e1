//! What the kernel's backlog does while one client holds a sequential server: some clients wait
//! in it, and those behind them are not even heard.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Story;
use crate::process::Running;
use crate::report::chart::{Dot, Dots};
use crate::report::svg::number;
use crate::scenario::head;

const BACKLOG: usize = 16;
const CLIENTS: usize = 40;
const TIMEOUT: Duration = Duration::from_secs(5);
/// When the client that holds the server leaves, in the second part.
const HELD: Duration = Duration::from_millis(1_500);

/// What one client saw, in milliseconds from when it began.
#[derive(Clone, Copy)]
struct Seen {
    connected: Option<f64>,
    answered: Option<f64>,
}

pub fn run(story: &Story) -> Result<()> {
    let (mut rows, mut dots) = (Vec::new(), Vec::new());
    for (part, colour, held) in
        [("held for good", "#d55e00", None), ("held for 1.5 s", "#0072b2", Some(HELD))]
    {
        let seen = attempt(story, held)?;
        let at_once = seen.iter().filter(|seen| seen.connected.is_some_and(|time| time < 500.0)).count();
        let late = seen.iter().filter(|seen| seen.connected.is_some_and(|time| time >= 500.0)).count();
        eprintln!("  {part}: {at_once} connected at once, {late} later, {} not", seen.len() - at_once - late);
        for (at, seen) in seen.iter().enumerate() {
            let shown = |time: Option<f64>| time.map_or_else(|| "never".to_owned(), number);
            rows.push(vec![
                part.to_owned(),
                (at + 1).to_string(),
                shown(seen.connected),
                shown(seen.answered),
            ]);
            dots.push(Dot {
                x: (at + 1) as f64,
                y: seen.connected.unwrap_or(TIMEOUT.as_secs_f64() * 1e3) / 1e3,
                colour,
                hollow: seen.connected.is_none(),
            });
        }
    }
    let setting = |name: &str| {
        fs::read_to_string(format!("/proc/sys/net/{name}")).unwrap_or_default().trim().to_owned()
    };
    let text = format!(
        "The lesson's sequential server, listening with a backlog of {BACKLOG}. One client connects and sends \
         nothing; then {CLIENTS} more connect within half a second, and give up after {} s. In the second part the \
         first client leaves after 1.5 s. Here net.core.somaxconn is {}, net.ipv4.tcp_abort_on_overflow {}, \
         net.ipv4.tcp_syn_linear_timeouts {}.",
        TIMEOUT.as_secs(),
        setting("core/somaxconn"),
        setting("ipv4/tcp_abort_on_overflow"),
        setting("ipv4/tcp_syn_linear_timeouts"),
    );
    story.table("backlog", &text, &["part", "client", "ms to connect", "ms to the answer"], &rows)?;
    let chart = Dots {
        title: "Connecting to a sequential server that one client holds",
        x: "client, in the order in which they came",
        y: "seconds to connect; hollow: gave up after 5 s",
        dots,
        legend: vec![("#d55e00", "held for good"), ("#0072b2", "held for 1.5 s")],
        mark: Some((BACKLOG as f64 + 1.5, format!("backlog of {BACKLOG}, and one more"))),
    };
    story.plot("backlog", &chart.draw())
}

/// The clients of one part, in the order in which they came.
fn attempt(story: &Story, held: Option<Duration>) -> Result<Vec<Seen>> {
    let mut server = story.server("lesson-sequential")?.clone();
    let option = server.run.iter().position(|word| word == "--backlog");
    let value = option.and_then(|option| server.run.get_mut(option + 1));
    *value.context("lesson-sequential has no --backlog")? = BACKLOG.to_string();
    let running = Running::start(&server, story.places, story.cores.server)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, running.port));
    // The connection that told that the server accepts is gone by now.
    thread::sleep(Duration::from_millis(200));
    let holder = TcpStream::connect(address)?;
    thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|at| {
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(10 * at as u64));
                client(address)
            })
        })
        .collect();
    if let Some(held) = held {
        thread::sleep(held.saturating_sub(began.elapsed()));
        drop(holder);
    }
    let nothing = Seen { connected: None, answered: None };
    Ok(clients.into_iter().map(|client| client.join().unwrap_or(nothing)).collect())
}

fn client(address: SocketAddr) -> Seen {
    let began = Instant::now();
    let mut seen = Seen { connected: None, answered: None };
    let Ok(mut socket) = TcpStream::connect_timeout(&address, TIMEOUT) else { return seen };
    seen.connected = Some(began.elapsed().as_secs_f64() * 1e3);
    let left = TIMEOUT.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
    let request = head("GET", "/plain", "Connection: close\r\n");
    let asked = socket.set_read_timeout(Some(left)).and_then(|()| socket.write_all(request.as_bytes()));
    let mut answer = String::new();
    if asked.and_then(|()| socket.read_to_string(&mut answer)).is_ok() && answer.ends_with("hello") {
        seen.answered = Some(began.elapsed().as_secs_f64() * 1e3);
    }
    seen
}
