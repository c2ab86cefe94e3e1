//! User-space instructions per request, counted by callgrind: exact where times wobble. Each is
//! the difference between many requests and few, so that start and end do not count.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::load::answer::Answer;
use crate::prepare;
use crate::process::Running;
use crate::scenario::{self, BROWSER};
use crate::servers::{Places, Server};

const FEW: usize = 1_000;
const MANY: usize = 6_000;
/// The functions of the C library that give memory.
const ALLOCATORS: [&str; 5] = ["malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign"];
/// Kept-alive connections that ask a whole server in turn.
const CONNECTIONS: usize = 16;

/// The kinds of request that are replayed from memory, and their bytes.
pub fn kinds() -> [(&'static str, String); 3] {
    [
        ("plain", scenario::head("GET", "/plain", "")),
        ("browser", scenario::head("GET", "/plain", BROWSER)),
        ("post", scenario::head("POST", "/echo", "Content-Length: 5\r\n") + "hello"),
    ]
}

/// Installs callgrind and builds the program that it runs.
pub fn prepare(places: &Places) -> Result<()> {
    let log = places.cache().join("logs/callgrind.log");
    prepare::install_packages(&["valgrind".to_owned()], &log)?;
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "-p", "transom-replay", "--manifest-path"]);
    build.arg(places.benches.join("Cargo.toml")).env("CARGO_TARGET_DIR", &places.builds);
    prepare::logged(&mut build, &log)
}

/// The cost of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    pub instructions: f64,
    /// Calls of the allocator for new or larger memory.
    pub allocations: f64,
}

/// Returns what Transom needs for one request of this kind, from memory to memory. `added` names
/// what the server has besides its routes: see `transom-replay`.
pub fn replay(request: &str, added: Option<&str>, places: &Places) -> Result<Cost> {
    let count = |requests: usize| -> Result<(u64, u64)> {
        let out = places.work.join("callgrind.replay");
        let mut command = Command::new("valgrind");
        command.args(valgrind(&out).split_first().map_or(&[][..], |(_, words)| words));
        command.arg(places.target().join("transom-replay")).arg(requests.to_string()).arg(request);
        command.args(added);
        prepare::logged(&mut command, &places.work.join("callgrind.log"))?;
        let text = fs::read_to_string(&out).with_context(|| format!("read {}", out.display()))?;
        Ok((total(&text).context("callgrind wrote no total")?, allocations(&text)))
    };
    let (many, few) = (count(MANY)?, count(FEW)?);
    let each = |many: u64, few: u64| (many as f64 - few as f64) / (MANY - FEW) as f64;
    Ok(Cost { instructions: each(many.0, few.0), allocations: each(many.1, few.1) })
}

/// Instructions of a whole server for one small request over loopback. The requests of a round have all come when
/// the server goes on: one that found fewer at once would take more turns.
pub fn server(server: &Server, places: &Places, core: usize) -> Result<f64> {
    let count = |rounds: usize| {
        let out = places.work.join("callgrind.server");
        let _ = fs::remove_file(&out);
        let mut running = Running::start_under(&valgrind(&out), server, places, core)?;
        ask(&running, rounds)?;
        running.stop()?;
        collected(&out)
    };
    let (few, many) = (FEW / CONNECTIONS, MANY / CONNECTIONS);
    Ok((count(many)? as f64 - count(few)? as f64) / ((many - few) * CONNECTIONS) as f64)
}

fn valgrind(out: &Path) -> Vec<String> {
    let file = format!("--callgrind-out-file={}", out.display());
    ["valgrind".into(), "--quiet".into(), "--tool=callgrind".into(), file].into()
}

/// One request on each connection in turn, as often as `rounds` says.
fn ask(server: &Running, rounds: usize) -> Result<()> {
    let connect = |_| -> Result<_> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok((socket, Answer::default()))
    };
    let mut connections = (0..CONNECTIONS).map(connect).collect::<Result<Vec<_>>>()?;
    let request = scenario::head("GET", "/plain", "");
    let mut buffer = [0; 4096];
    for _ in 0..rounds {
        server.while_stopped(|| {
            connections.iter_mut().try_for_each(|(socket, _)| Ok(socket.write_all(request.as_bytes())?))
        })?;
        for (socket, answer) in &mut connections {
            loop {
                let received = socket.read(&mut buffer)?;
                ensure!(received > 0, "closed under callgrind");
                let whole = answer.feed(&mut &buffer[..received]).ok().context("malformed")?;
                if let Some(whole) = whole {
                    ensure!(whole.status == 200, "status {} under callgrind", whole.status);
                    break;
                }
            }
        }
    }
    Ok(())
}

fn collected(out: &Path) -> Result<u64> {
    let text = fs::read_to_string(out).with_context(|| format!("read {}", out.display()))?;
    total(&text).context("callgrind wrote no total")
}

fn total(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok())
}

/// Returns how often the program called the allocator for memory. A profile has a line
/// `cfn=(NUMBER) NAME` before the `calls=COUNT` of a callee, with the name only the first time that
/// the number occurs, there or in a line `fn=`.
fn allocations(text: &str) -> u64 {
    let mut allocators = BTreeSet::new();
    let (mut is_allocator, mut count) = (false, 0);
    for line in text.lines() {
        let (callee, function) = (line.strip_prefix("cfn="), line.strip_prefix("fn="));
        if let Some(function) = callee.or(function) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if ALLOCATORS.contains(&name) {
                allocators.insert(number);
            }
            is_allocator = callee.is_some() && allocators.contains(number);
        } else if let Some(calls) = line.strip_prefix("calls=").filter(|_| is_allocator) {
            count += calls.split(' ').next().and_then(|calls| calls.parse().ok()).unwrap_or(0);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_profile() {
        assert_eq!(total("summary: 7\n\nfn=(1)\ntotals: 6626179\n"), Some(6_626_179));
        assert_eq!(total("summary: 7\n"), None);
    }

    #[test]
    fn the_allocations_of_a_profile() {
        let text = "fn=(1) main\ncfn=(2) malloc\ncalls=3 0\n0 9\ncfn=(3) free\ncalls=2 0\n0 9\n\nfn=(4) realloc\n\
                    0 7\n\nfn=(5) grow\ncfn=(4)\ncalls=4 0\n0 9\ncfn=(2)\ncalls=5 0\n0 9\n";
        assert_eq!(allocations(text), 12);
        assert_eq!(allocations("fn=(1) main\ncfn=(2) free\ncalls=3 0\n"), 0);
    }
}
