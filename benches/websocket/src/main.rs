//! The load for WebSocket servers, and the CPU that a server needs for it.
//!
//! `transom-websocket-bench PORT PID CASE CONNECTIONS SIZE SECONDS [deflate]`, where the case is `echo`,
//! `broadcast` or `idle`. It prints messages, seconds, the CPU time of the process in nanoseconds, and the bytes
//! of memory for each connection. All frames are masked; each connection has a key of its own.

mod client;
mod usage;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::epoll;

use client::{Client, Message};

/// How long any message may take.
const PATIENCE: Duration = Duration::from_secs(60);

struct Load {
    poll: rustix::fd::OwnedFd,
    clients: Vec<Client>,
    events: Vec<epoll::Event>,
}

impl Load {
    fn connect(port: u16, path: &str, count: usize, message: &Message) -> Result<Self> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut clients = Vec::new();
        for number in 0..count {
            let client = Client::connect(port, path, message, u32::try_from(number)?)?;
            let data = epoll::EventData::new_u64(number as u64);
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&poll, &client, data, flags)?;
            clients.push(client);
        }
        let events = Vec::with_capacity(1024);
        Ok(Self { poll, clients, events })
    }

    /// Lets the clients work, and returns how many whole messages they received. `again` tells whether a
    /// client sends the next one at once.
    fn turn(&mut self, again: bool) -> Result<u64> {
        self.events.clear();
        let patience = rustix::event::Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        let room = rustix::buffer::spare_capacity(&mut self.events);
        ensure!(epoll::wait(&self.poll, room, Some(&patience))? > 0, "nothing comes");
        let mut received = 0;
        for event in &self.events {
            let client = &mut self.clients[usize::try_from(event.data.u64())?];
            received += client.work(again)?;
        }
        Ok(received)
    }
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [port, pid, case, count, size, seconds, rest @ ..] = &words[..] else {
        bail!("PORT PID CASE CONNECTIONS SIZE SECONDS [deflate]");
    };
    let (port, pid) = (port.parse().context("the port")?, pid.parse().context("the process")?);
    let (count, size) = (count.parse()?, size.parse()?);
    let window = Duration::from_secs_f64(seconds.parse()?);
    let message = Message::new(size, rest.iter().any(|word| word == "deflate"));
    let path = if case == "broadcast" { "/broadcast" } else { "/echo" };
    // The first connection makes what a server makes once.
    drop(Client::connect(port, "/echo", &message, 1)?);
    let before = usage::memory(pid)?;
    let mut load = Load::connect(port, path, count, &message)?;
    let memory = usage::memory(pid)?.saturating_sub(before) / count as u64;
    let mut messages = 0;
    let round = |load: &mut Load, end: Instant| -> Result<u64> {
        let mut received = 0;
        match case.as_str() {
            "echo" => {
                load.clients.iter_mut().try_for_each(Client::begin)?;
                while Instant::now() < end {
                    received += load.turn(true)?;
                }
                // What is under way comes back before the next window.
                while load.clients.iter().any(Client::waits) {
                    received += load.turn(false)?;
                }
            }
            "broadcast" => {
                while Instant::now() < end {
                    load.clients[0].begin()?;
                    let mut left = count as u64;
                    while left > 0 {
                        left = left.checked_sub(load.turn(false)?).context("a message too many")?;
                    }
                    received += count as u64;
                }
            }
            _ => std::thread::sleep(end.saturating_duration_since(Instant::now())),
        }
        Ok(received)
    };
    round(&mut load, Instant::now() + window / 4)?;
    let (begun, used) = (Instant::now(), usage::cpu(pid)?);
    messages += round(&mut load, begun + window)?;
    let (took, used) = (begun.elapsed().as_secs_f64(), usage::cpu(pid)? - used);
    println!("{messages} {took:.3} {used} {memory}");
    Ok(())
}
