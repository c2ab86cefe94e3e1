//! The client of a connection, as its requests and responses see it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use super::arrival::Arrival;
use super::facts::ConnectionFacts;
use super::{Address, Peer};
use crate::base::guard::guarded;
use crate::base::spare::Spares;
use crate::base::stopping::{StopSignal, Stopping};
use crate::base::values::Values;
use crate::fields::Headers;

/// The client of one connection. The connection shares it with the requests that it hands out.
pub(crate) struct Client {
    pub peer: Peer,
    /// What the steps before HTTP found out, if there were any.
    arrival: Option<Box<Arrival>>,
    /// The signal that the server begins to stop. `None` for a request made by hand.
    stopping: Option<Arc<StopSignal>>,
    /// The values of [`Router::state`](crate::Router::state), if there are any.
    values: Option<Arc<Values>>,
    /// True once the client has closed its sending side, or the connection is lost.
    gone: AtomicBool,
    /// True once the connection is broken or over: nothing can be sent any more.
    lost: AtomicBool,
    /// True once a handler has registered a watcher or an early hint for the exchange in
    /// progress. Set before the code checks whether that exchange is over.
    used: AtomicBool,
    /// The number of the exchange in progress. A watcher or a hint of an earlier exchange is
    /// ignored. The number wraps round.
    exchange: AtomicU32,
    /// One lock for both keeps an idle connection 16 bytes smaller.
    kept: Mutex<Kept>,
}

/// The parts of a client that need a lock.
#[derive(Default)]
struct Kept {
    left: Option<Box<Left>>,
    /// The connection's socket, if it has one. The connection owns it.
    facts: Option<Weak<dyn ConnectionFacts>>,
}

thread_local! {
    static SPARES: Spares<Box<Left>> = const { Spares::new() };
}

/// The watchers and early hints of the exchange in progress. On the heap because an idle connection has none.
#[derive(Default)]
struct Left {
    watchers: Vec<Box<dyn FnOnce() + Send>>,
    hints: Hints,
}

/// The early hints that the connection has not sent yet.
#[derive(Default)]
struct Hints {
    waiting: Vec<Headers>,
    waker: Option<Waker>,
    /// True once the exchange has its final answer.
    over: bool,
}

impl Kept {
    /// Returns the watchers and hints of the exchange in progress, to add to them.
    fn left(&mut self) -> &mut Left {
        // A thread that ends may have dropped its spares before it sends a last hint.
        self.left.get_or_insert_with(|| SPARES.try_with(Spares::take).ok().flatten().unwrap_or_default())
    }
}

impl Client {
    pub fn new(peer: Peer, stopping: Option<Arc<StopSignal>>, values: Option<Arc<Values>>) -> Self {
        Self {
            peer,
            arrival: None,
            stopping,
            values,
            gone: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            used: AtomicBool::new(false),
            exchange: AtomicU32::new(0),
            kept: Mutex::default(),
        }
    }

    /// Adds what the steps before HTTP found out.
    pub fn with_arrival(self, arrival: Option<Box<Arrival>>) -> Self {
        Self { arrival, ..self }
    }

    /// Returns what the steps before HTTP found out, if there were any.
    pub fn arrival(&self) -> Option<&Arrival> {
        self.arrival.as_deref()
    }

    /// Returns the address at which the connection came in: the one that a step before HTTP found
    /// out, or the socket's own.
    pub fn local_addr(&self) -> Option<Address> {
        let found = self.arrival.as_ref().and_then(|arrival| arrival.local.clone());
        found.or_else(|| self.facts()?.local_addr())
    }

    /// Sets the socket of the connection.
    pub fn set_facts(&self, facts: Weak<dyn ConnectionFacts>) {
        self.kept().facts = Some(facts);
    }

    /// Returns the connection's socket, if it has one and has not ended.
    pub fn facts(&self) -> Option<Arc<dyn ConnectionFacts>> {
        self.kept().facts.as_ref()?.upgrade()
    }

    /// Returns a future that is ready when the server begins to stop. It outlives the exchange,
    /// as upgraded connections and bodies do.
    pub fn stopping(&self) -> Stopping {
        Stopping::new(self.stopping.clone())
    }

    /// Returns `true` once the server has begun to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.as_ref().is_some_and(|signal| signal.is_given())
    }

    /// Returns the value of that type from [`Router::state`](crate::Router::state).
    pub fn state<T: 'static>(&self) -> Option<&T> {
        self.values.as_ref()?.get()
    }

    /// Returns the number of the exchange in progress.
    pub fn exchange(&self) -> u32 {
        self.exchange.load(Ordering::SeqCst)
    }

    /// Queues a 103 for that exchange. Returns `false` if the exchange is over.
    pub fn hint(&self, exchange: u32, fields: Headers) -> bool {
        self.used.store(true, Ordering::SeqCst);
        let mut kept = self.kept();
        let hints = &mut kept.left().hints;
        if self.exchange() != exchange || hints.over {
            return false;
        }
        hints.waiting.push(fields);
        let waker = hints.waker.take();
        drop(kept);
        waker.into_iter().for_each(Waker::wake);
        true
    }

    /// Takes the hints that wait. A later hint wakes the waker; without a waker, these are the
    /// last hints of the exchange.
    pub fn take_hints(&self, waker: Option<&Waker>) -> Vec<Headers> {
        self.used.store(true, Ordering::SeqCst);
        let mut kept = self.kept();
        let hints = &mut kept.left().hints;
        hints.waker = waker.cloned();
        hints.over = waker.is_none();
        std::mem::take(&mut hints.waiting)
    }

    /// Returns `true` if there may be hints or watchers.
    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::SeqCst)
    }

    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Notes that nothing can be sent any more, and runs the watchers.
    pub fn mark_lost(&self) {
        self.lost.store(true, Ordering::Release);
        self.mark_gone();
    }

    /// Notes that the client has closed its sending side, and runs the watchers, once. The
    /// client may have left, or may still read.
    pub fn mark_gone(&self) {
        if !self.gone.swap(true, Ordering::AcqRel) {
            let watchers = self.kept().left.as_mut().map(|left| std::mem::take(&mut left.watchers));
            for watcher in watchers.into_iter().flatten() {
                guarded("a callback for a client that left", watcher);
            }
        }
    }

    /// Runs `watcher` when the client leaves during that exchange, at once if it has left
    /// already.
    pub fn on_gone(&self, exchange: u32, watcher: Box<dyn FnOnce() + Send>) {
        self.used.store(true, Ordering::SeqCst);
        let mut kept = self.kept();
        if self.is_gone() {
            drop(kept);
            watcher();
        } else if self.exchange() == exchange {
            kept.left().watchers.push(watcher);
        }
    }

    /// Ends the exchange in progress: drops its watchers and hints.
    pub fn end_exchange(self: &Arc<Self>) {
        if Arc::strong_count(self) == 1 {
            // Nobody else has it, so nobody can leave something in between. `strong_count` is a Relaxed load;
            // the fence orders it after the Release with which the last other clone was dropped, and with that
            // after all that its owner did. No `Weak` can make a new clone meanwhile: there are none.
            // Relaxed: the next clone is passed on by something that orders the store before its use.
            fence(Ordering::Acquire);
            self.exchange.store(self.exchange.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        } else {
            self.exchange.fetch_add(1, Ordering::SeqCst);
        }
        if !self.used.load(Ordering::SeqCst) {
            return;
        }
        self.used.store(false, Ordering::SeqCst);
        let left = self.kept().left.take();
        if let Some(mut left) = left {
            // What it holds may run code of the host, and is dropped without the lock.
            *left = Left::default();
            // When a thread ends, its spares may be dropped before its last connection.
            let _ = SPARES.try_with(|spares| spares.give(left));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;
    use crate::base::threads::races;

    fn client() -> Arc<Client> {
        Arc::new(Client::new(Peer::Unknown, None, None))
    }

    #[test]
    fn a_hint_that_comes_as_its_exchange_ends_is_not_sent_in_the_next() {
        for round in races() {
            let client = client();
            let (its, exchange) = (Arc::clone(&client), client.exchange());
            let hinting = thread::spawn(move || its.hint(exchange, Headers::new()));
            client.end_exchange();
            assert_ne!(client.exchange(), exchange);
            // Sees that it has ended, without an order.
            while round % 2 == 1 && !hinting.is_finished() {
                thread::yield_now();
            }
            assert_eq!(client.take_hints(Some(Waker::noop())).len(), 0);
            hinting.join().unwrap();
            assert_eq!(client.take_hints(None).len(), 0);
        }
    }

    #[test]
    fn a_hint_of_an_owner_that_is_gone_is_dropped_with_its_exchange() {
        for _ in races() {
            let client = client();
            let (its, exchange) = (Arc::clone(&client), client.exchange());
            let hinting = thread::spawn(move || its.hint(exchange, Headers::new()));
            while Arc::strong_count(&client) > 1 {
                thread::yield_now();
            }
            client.end_exchange();
            assert_eq!(client.take_hints(None).len(), 0);
            assert!(hinting.join().unwrap());
        }
    }

    #[test]
    fn a_watcher_that_comes_as_the_client_leaves_is_run_once() {
        for _ in races() {
            let (client, runs) = (client(), Arc::new(AtomicUsize::new(0)));
            let (its, counted) = (Arc::clone(&client), Arc::clone(&runs));
            let watching = thread::spawn(move || {
                let watcher = Box::new(move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                });
                its.on_gone(its.exchange(), watcher);
            });
            client.mark_gone();
            watching.join().unwrap();
            assert_eq!(runs.load(Ordering::Relaxed), 1);
        }
    }

    #[test]
    fn who_sees_that_a_lost_client_is_gone_sees_that_it_is_lost() {
        for _ in races() {
            let client = client();
            thread::scope(|scope| {
                scope.spawn(|| client.mark_lost());
                while !client.is_gone() {
                    thread::yield_now();
                }
                assert!(client.is_lost());
            });
        }
    }

    #[test]
    fn who_sees_that_a_client_is_lost_sees_what_was_done_before() {
        for _ in races() {
            // Stored and loaded without an order: only the loss orders it.
            let (client, value) = (client(), AtomicUsize::new(0));
            thread::scope(|scope| {
                scope.spawn(|| {
                    value.store(1, Ordering::Relaxed);
                    client.mark_lost();
                });
                while !client.is_lost() {
                    thread::yield_now();
                }
                assert_eq!(value.load(Ordering::Relaxed), 1);
            });
        }
    }
}
