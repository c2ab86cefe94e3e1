//! Handing a server over to a successor: a child process that gets the listeners.

use std::io;
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::Level;

use super::socket::Loan;
use super::succession::{Link, Rendezvous, VARIABLE, is_readable};
use crate::base::guard::log_event;
use crate::error::{Error, Result};

/// The pause between two looks at whether the child has ended.
const CHILD_CHECK: Duration = Duration::from_millis(20);
/// The longest wait for the secret of a process that has connected.
const SECRET_PATIENCE: Duration = Duration::from_secs(1);
/// The longest wait for the end of a child that has ended its connection.
const END_PATIENCE: Duration = Duration::from_millis(500);

/// Lets one hand-over be in progress at a time, until dropped.
pub(super) struct Turn<'a>(&'a AtomicBool);

impl<'a> Turn<'a> {
    pub fn take(in_progress: &'a AtomicBool) -> Result<Self> {
        if in_progress.swap(true, Ordering::AcqRel) {
            return Err(failed("another hand-over is in progress"));
        }
        Ok(Self(in_progress))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A listener to hand over.
pub(super) struct Heirloom {
    pub loan: Loan,
    pub name: Option<Arc<str>>,
}

/// Starts the successor, passes the listeners to it and waits until it serves. Returns the child, and
/// the id of the process that serves: the child's or that of a descendant. If this fails, the child is
/// killed, and the listeners are this server's alone again.
pub(super) fn hand_over(
    listeners: Vec<Heirloom>,
    command: &mut Command,
    patience: Duration,
) -> Result<(Child, i32)> {
    let until = Instant::now().checked_add(patience);
    let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(u64::from(u32::MAX)));
    let rendezvous = Rendezvous::new()?;
    let waiting = rendezvous.listen()?;
    command.env(VARIABLE, rendezvous.value());
    // These name this process. Without its id, each process of the service may feed the watchdog.
    for variable in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"] {
        command.env_remove(variable);
    }
    let child = command.spawn().map_err(|error| failed(&format!("the successor does not start: {error}")))?;
    let mut successor = Successor { child, until, is_gone: false };
    let served = successor.accept(&waiting, &rendezvous).and_then(|link| {
        // The name is used up: later processes with the variable find nobody.
        drop(waiting);
        pass(&link, &listeners)?;
        successor.wait_until_it_serves(&link)?;
        Ok(link.peer())
    });
    match served {
        Ok(process) => {
            for listener in listeners {
                listener.loan.give();
            }
            // Not visible from here: the child is what is known of it.
            let process = if process == 0 { successor.child.id().cast_signed() } else { process };
            Ok((successor.child, process))
        }
        Err(error) => {
            successor.end();
            Err(error)
        }
    }
}

/// A child that is to take over.
struct Successor {
    child: Child,
    until: Instant,
    /// True if the child was waited for elsewhere.
    is_gone: bool,
}

impl Successor {
    /// Waits until a process with the secret has connected.
    fn accept(&mut self, waiting: &impl AsFd, rendezvous: &Rendezvous) -> Result<Link> {
        loop {
            self.wait_for(waiting)?;
            let secret = Link::accept(waiting).and_then(|link| {
                let (message, _) = link.receive(self.until.min(Instant::now() + SECRET_PATIENCE))?;
                Ok((link, rendezvous.is_secret(&message)))
            });
            let reason = match secret {
                Ok((link, true)) => return Ok(link),
                Ok((_, false)) => io::Error::other("the secret is wrong"),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => error,
            };
            log_event(Level::Warn, format_args!("a process that is no successor has connected: {reason}"));
        }
    }

    fn wait_until_it_serves(&mut self, link: &Link) -> Result<()> {
        self.wait_for(link)?;
        // An error is a connection that has ended.
        if link.serves(self.until).unwrap_or(false) {
            return Ok(());
        }
        self.until = self.until.min(Instant::now() + END_PATIENCE);
        while Instant::now() < self.until {
            self.check_child()?;
            std::thread::sleep(CHILD_CHECK);
        }
        Err(failed("the successor gave the listeners up before it served"))
    }

    /// Waits until something can be read. Fails if the child ends before that, or the time has passed.
    fn wait_for(&mut self, socket: &impl AsFd) -> Result<()> {
        while !is_readable(socket, self.until.min(Instant::now() + CHILD_CHECK))? {
            self.check_child()?;
            if Instant::now() >= self.until {
                return Err(failed("the successor did not serve in time"));
            }
        }
        Ok(())
    }

    fn check_child(&mut self) -> Result<()> {
        let how = match self.child.try_wait() {
            Ok(None) => return Ok(()),
            Ok(Some(status)) => status.to_string(),
            // The host has waited for the child itself. Another process may have its id now.
            Err(error) => {
                self.is_gone = true;
                error.to_string()
            }
        };
        Err(failed(&format!("the successor ended before it served: {how}")))
    }

    /// Kills the child and waits for its end.
    fn end(&mut self) {
        if !self.is_gone {
            // Errors mean that it has ended already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn pass(link: &Link, listeners: &[Heirloom]) -> Result<()> {
    let pass_one =
        |Heirloom { loan, name }: &Heirloom| link.send_listener(loan.as_fd(), loan.file, name.as_deref());
    let passed = listeners.iter().try_for_each(pass_one).and_then(|()| link.send_all());
    passed.map_err(|error| failed(&format!("the successor did not take the listeners: {error}")))
}

fn failed(reason: &str) -> Error {
    Error::HandOver { reason: reason.to_owned() }
}
