//! The load for servers of content: one request again and again.
//!
//! `transom-content-bench PORT CONNECTIONS COUNT`, with the request on the standard input. Each connection sends
//! it again once its answer is whole. It prints the status, and the bytes of an answer's body.

mod connection;

use std::io::Read as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::epoll;

use connection::Connection;

/// How long no answer may come.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [port, connections, count] = &words[..] else { bail!("PORT CONNECTIONS COUNT") };
    let port = port.parse().context("the port")?;
    let (connections, mut left): (u64, u64) = (connections.parse()?, count.parse()?);
    let mut request = Vec::new();
    std::io::stdin().read_to_end(&mut request)?;

    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut clients = Vec::new();
    for number in 0..connections.min(left) {
        let mut client = Connection::open(port)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&poll, &client, epoll::EventData::new_u64(number), flags)?;
        client.send(&request)?;
        clients.push(client);
        left -= 1;
    }
    let mut waiting = clients.len();
    let mut events = Vec::with_capacity(1024);
    let mut buffer = vec![0; 1 << 20];
    let mut expected = None;
    let mut last = Instant::now();
    // It never sleeps: to wake the load costs the server up to a third of the time of a small answer, and how often
    // that happens depends on what else the machine does.
    let no_time = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    while waiting > 0 {
        events.clear();
        let room = rustix::buffer::spare_capacity(&mut events);
        if epoll::wait(&poll, room, Some(&no_time))? > 0 {
            last = Instant::now();
        }
        ensure!(last.elapsed() < PATIENCE, "nothing comes");
        for event in &events {
            let client = &mut clients[usize::try_from(event.data.u64())?];
            let Some(answer) = client.receive(&mut buffer)? else { continue };
            ensure!(*expected.get_or_insert(answer) == answer, "{answer:?} is not {expected:?}");
            if left > 0 {
                left -= 1;
                client.send(&request)?;
            } else {
                waiting -= 1;
            }
        }
    }
    let answer = expected.context("no answer")?;
    println!("{} {}", answer.status, answer.length);
    Ok(())
}
