//! A server under test while it runs: started on its core, awaited, stopped.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{sleep, yield_now};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::machine;
use crate::servers::{Places, Server};

/// How long a server may take to accept, and to end.
const TO_ACCEPT: Duration = Duration::from_secs(20);
const TO_END: Duration = Duration::from_secs(3);

pub struct Running {
    child: Child,
    pub port: u16,
    /// From the start of the process to the first connection that it accepted.
    pub start: Duration,
    stopped: bool,
}

impl Running {
    /// Starts a server, pinned to `core`, and waits until it accepts.
    pub fn start(server: &Server, places: &Places, core: usize) -> Result<Self> {
        Self::start_under(&[], server, places, core)
    }

    /// The same under another program, as a profiler.
    pub fn start_under(program: &[String], server: &Server, places: &Places, core: usize) -> Result<Self> {
        let port = free_port()?;
        let fill = |text: &String| places.fill(text, &server.name, port);
        let words: Vec<_> = program.iter().chain(&server.run).map(fill).collect();
        let log = places.work.join(format!("{}.log", server.name));
        let output = File::create(&log)?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).envs(server.env.iter().map(|(name, value)| (name, fill(value))));
        command.current_dir(&places.work).process_group(0);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let began = Instant::now();
        let child =
            machine::pinned(core, || command.spawn())?.with_context(|| format!("start {}", words[0]))?;
        let mut running = Self { child, port, start: Duration::ZERO, stopped: false };
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        while TcpStream::connect(address).is_err() {
            if let Some(status) = running.child.try_wait()? {
                bail!("ended at its start with {status}: {}", last_lines(&log));
            }
            if began.elapsed() > TO_ACCEPT {
                bail!("does not accept within {TO_ACCEPT:?}: {}", last_lines(&log));
            }
            sleep(Duration::from_micros(200));
        }
        running.start = began.elapsed();
        Ok(running)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended of itself.
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Runs `act` while all threads of the process are stopped, as by SIGSTOP.
    pub fn while_stopped(&self, act: impl FnOnce() -> Result<()>) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP)?;
        // The state is the first field after the name, which is in parentheses (proc_pid_stat(5)).
        let is_stopped = |stat: String| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"));
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            let stat = thread?.path().join("stat");
            while !is_stopped(fs::read_to_string(&stat)?) {
                yield_now();
            }
        }
        let done = act();
        kill_process(pid, Signal::CONT)?;
        done
    }

    /// Asks it to end, and makes it after a while; how it ended.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        let began = Instant::now();
        if !self.ended() {
            kill_process(pid, Signal::TERM)?;
        }
        while began.elapsed() < TO_END && !self.ended() {
            sleep(Duration::from_millis(1));
        }
        if !std::mem::replace(&mut self.stopped, true) {
            // What is left of its group, which is of our own making.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        Ok(self.child.wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// A port below those that the kernel gives to clients, and another one each time, so that no
/// connection of an earlier run is in its way.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..10_000 {
        let number = std::process::id() % 100 * 100 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (number % 12_000) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port")
}

fn last_lines(log: &std::path::Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}
