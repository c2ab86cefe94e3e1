//! Slow clients: each sends a request head a byte at a time, and starts again when it is
//! answered or put out.

use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::SendFlags;

use super::answer::Answer;
use super::connection::{Moved, connect, receive, send};
use super::plan::Slow;
use super::tally::Tally;

pub struct Slows {
    plan: Slow,
    port: u16,
    clients: Vec<Client>,
    /// The number of the first client among the tokens of the epoll.
    token: u64,
}

struct Client {
    socket: Option<OwnedFd>,
    sent: usize,
    answer: Answer,
    /// When it sends its next byte, or connects again.
    next: u64,
}

impl Slows {
    pub fn new(plan: &Slow, port: u16, token: u64) -> Self {
        let pause = nanos(plan.pause);
        let client = |at: usize| Client {
            socket: None,
            sent: 0,
            answer: Answer::default(),
            // Spread over a pause, so that they do not send in step.
            next: pause * at as u64 / plan.clients as u64,
        };
        Self { plan: plan.clone(), port, clients: (0..plan.clients).map(client).collect(), token }
    }

    /// Sends what is due.
    pub fn tick(&mut self, epoll: &OwnedFd, now: u64, tally: &mut Tally) {
        let pause = nanos(self.plan.pause);
        let head = self.plan.head.as_bytes();
        for (at, client) in self.clients.iter_mut().enumerate().filter(|(_, client)| client.next <= now) {
            client.next = now + pause;
            let Some(socket) = &client.socket else {
                if let Ok(socket) = connect(self.port) {
                    let token = EventData::new_u64(self.token + at as u64);
                    if epoll::add(epoll, &socket, token, EventFlags::IN | EventFlags::RDHUP).is_ok() {
                        client.socket = Some(socket);
                        tally.slow_opened += 1;
                    }
                }
                continue;
            };
            if client.sent < head.len()
                && let Moved::Some(sent) = send(socket, &head[client.sent..=client.sent], SendFlags::empty())
            {
                client.sent += sent;
            }
        }
    }

    /// Takes what the server has sent to the client with this token.
    pub fn event(&mut self, token: u64, buffer: &mut [u8], tally: &mut Tally) {
        let Some(client) = self.clients.get_mut((token - self.token) as usize) else { return };
        let Some(socket) = &client.socket else { return };
        match receive(socket, buffer) {
            Moved::Blocked => return,
            Moved::Some(received) => {
                let mut input = &buffer[..received];
                match client.answer.feed(&mut input) {
                    Ok(None) => return,
                    Ok(Some(whole)) if whole.keep && whole.status == 200 => {
                        tally.slow_answered += 1;
                        client.sent = 0;
                        return;
                    }
                    Ok(Some(_)) | Err(_) => {}
                }
            }
            Moved::Ended | Moved::Failed(_) => {}
        }
        tally.slow_closed += 1;
        client.socket = None;
        client.answer = Answer::default();
        client.sent = 0;
    }
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}
