//! The thread that writes a log's lines.

use std::io::{self, Write};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::buffer::{Buffer, Pushed};
use super::loss::{Loss, LossLine};
use super::time::TimeText;

/// The longest that a line waits for others before they are written together.
const INTERVAL: Duration = Duration::from_millis(100);

/// The writer of the lines.
pub(super) type Sink = Box<dyn Write + Send>;

/// The part of a log that its threads share.
pub(super) struct Shared {
    buffer: Buffer,
    /// True if the writer sleeps until a line wakes it, or will before long.
    is_asleep: AtomicBool,
    pub loss: Loss,
    orders: Mutex<Orders>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes those who wait for the writer.
    progress: Condvar,
}

/// The lines that there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lines {
    None,
    Some,
    /// So many that they are written at once.
    Many,
}

/// The orders for the writer, and how far it has come.
struct Orders {
    lines: Lines,
    /// The file that replaces the one that is open.
    sink: Option<Sink>,
    loss_line: LossLine,
    /// Flushes that were asked for, and those that are done.
    asked: u64,
    done: u64,
    /// True if the writer ends after all lines are written.
    ending: bool,
    ended: bool,
}

impl Shared {
    /// Starts the thread of a log that writes to `sink`.
    pub fn start(sink: Sink) -> io::Result<Arc<Self>> {
        let shared = Arc::new(Self {
            buffer: Buffer::new(),
            is_asleep: AtomicBool::new(true),
            loss: Loss::default(),
            orders: Mutex::new(Orders {
                lines: Lines::None,
                sink: None,
                loss_line: LossLine::None,
                asked: 0,
                done: 0,
                ending: false,
                ended: false,
            }),
            work: Condvar::new(),
            progress: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        let run = move || Writer { shared: &of_thread, sink, may_sleep: true, is_torn: false, told: 0 }.run();
        thread::Builder::new().name("transom-log".into()).spawn(run)?;
        Ok(shared)
    }

    /// Adds a line that `write` writes. `write` must not panic.
    #[inline]
    pub fn push(&self, write: impl FnOnce(&mut TimeText, &mut Vec<u8>)) {
        let pushed = self.buffer.push(write);
        // The line is kept before the writer is looked at. Between the two instructions the processor needs
        // no barrier, which would take 10 ns: the writer looks for lines once more when it has said for
        // 100 ms that it will sleep.
        compiler_fence(Ordering::SeqCst);
        if pushed != Pushed::Kept || self.is_asleep.load(Ordering::Relaxed) {
            self.note(pushed);
        }
    }

    #[cold]
    fn note(&self, pushed: Pushed) {
        match pushed {
            Pushed::Kept => self.order(|orders| {
                // Relaxed: under the lock of the orders, which the writer takes before it looks for lines.
                self.is_asleep.store(false, Ordering::Relaxed);
                orders.lines = orders.lines.max(Lines::Some);
            }),
            Pushed::Many => self.order(|orders| orders.lines = Lines::Many),
            Pushed::Lost => self.loss.add(1, "they come faster than they can be written"),
        }
    }

    /// Sets the most bytes of lines that may wait.
    pub fn set_limit(&self, bytes: usize) {
        self.buffer.set_limit(bytes);
    }

    /// Sets the form of the lines that tell of lost lines.
    pub fn set_loss_line(&self, form: LossLine) {
        self.orders().loss_line = form;
    }

    /// Writes to this from now on.
    pub fn replace_sink(&self, sink: Sink) {
        self.order(|orders| orders.sink = Some(sink));
    }

    /// Waits until the lines that were added before are written, or lost. Returns `false` if that
    /// takes longer.
    pub fn flush(&self, timeout: Duration) -> bool {
        let mut orders = self.orders();
        orders.asked += 1;
        let ticket = orders.asked;
        self.work.notify_one();
        self.wait(orders, timeout, |orders| orders.done >= ticket || orders.ended)
    }

    /// Ends the writer after it has written all lines, and waits for that no longer than `timeout`.
    pub fn end(&self, timeout: Duration) {
        let mut orders = self.orders();
        orders.ending = true;
        self.work.notify_one();
        self.wait(orders, timeout, |orders| orders.ended);
    }

    fn wait(
        &self,
        orders: MutexGuard<'_, Orders>,
        timeout: Duration,
        is_done: impl Fn(&Orders) -> bool,
    ) -> bool {
        let waited = self.progress.wait_timeout_while(orders, timeout, |orders| !is_done(orders));
        is_done(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders());
        self.work.notify_one();
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Orders {
    /// Returns `true` if the writer must not wait for more lines.
    fn are_urgent(&self) -> bool {
        self.lines == Lines::Many || self.sink.is_some() || self.asked > self.done || self.ending
    }
}

/// The state of the thread.
struct Writer<'a> {
    shared: &'a Shared,
    sink: Sink,
    /// True if the last look for lines found none, after the threads could see that the writer will sleep.
    may_sleep: bool,
    /// True if only a part of the last line was written.
    is_torn: bool,
    /// The number of lost lines that the log tells of.
    told: u64,
}

impl Writer<'_> {
    fn run(mut self) {
        loop {
            // Relaxed: this thread says that it sleeps, and others that it need not. A thread that sees an old answer
            // has kept its line by then, and the writer looks once more before it sleeps.
            let was_asleep = self.shared.is_asleep.load(Ordering::Relaxed);
            let (mut orders, has_waited) = self.await_work();
            orders.lines = Lines::None;
            let (asked, ending, form) = (orders.asked, orders.ending, orders.loss_line);
            let new = orders.sink.take();
            drop(orders);
            if let Some(sink) = new {
                (self.sink, self.is_torn) = (sink, false);
            }
            let any = self.write_lines(form);
            self.may_sleep = !any && was_asleep && has_waited;
            // Relaxed: as above. A processor of any kind shows a store within far less than the 100 ms until that look.
            self.shared.is_asleep.store(!any, Ordering::Relaxed);
            if ending {
                // The writer is dropped before anybody is told of the end.
                self.sink = Box::new(io::sink());
            }
            let mut orders = self.shared.orders();
            (orders.done, orders.ended) = (asked, ending);
            drop(orders);
            self.shared.progress.notify_all();
            if ending {
                return;
            }
        }
    }

    /// Waits for lines, if the writer may sleep, and then, unless it is urgent, for more of them. Returns
    /// `true` if that was not urgent.
    fn await_work(&self) -> (MutexGuard<'_, Orders>, bool) {
        let is_idle =
            |orders: &mut Orders| self.may_sleep && orders.lines == Lines::None && !orders.are_urgent();
        let work = &self.shared.work;
        let orders = work.wait_while(self.shared.orders(), is_idle).unwrap_or_else(PoisonError::into_inner);
        let waited = work.wait_timeout_while(orders, INTERVAL, |orders| !orders.are_urgent());
        let (orders, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        (orders, waited.timed_out())
    }

    /// Writes all lines that there are. Returns `false` if there are none.
    fn write_lines(&mut self, form: LossLine) -> bool {
        let loss = &self.shared.loss;
        let any = self.shared.buffer.take(|lines| {
            self.tell_loss(form);
            if let Err((rest, error)) = self.write(lines) {
                loss.add(memchr::memchr_iter(b'\n', rest).count() as u64, error);
            }
        });
        self.tell_loss(form);
        if let Err(error) = caught(|| self.sink.flush()) {
            loss.add(0, error);
        }
        any
    }

    /// Writes a line if lines were lost since the last one.
    fn tell_loss(&mut self, form: LossLine) {
        let lost = self.shared.loss.lines();
        if lost == self.told {
            return;
        }
        let mut line = Vec::new();
        form.write(lost - self.told, &mut line);
        if self.write(&line).is_ok() {
            self.told = lost;
        }
    }

    /// Writes lines. The error is the part that is not written, and why.
    fn write<'a>(&mut self, lines: &'a [u8]) -> Result<(), (&'a [u8], io::Error)> {
        if self.is_torn && !lines.is_empty() {
            caught(|| self.sink.write_all(b"\n")).map_err(|error| (lines, error))?;
            self.is_torn = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            let error = match caught(|| self.sink.write(rest)) {
                Ok(length @ 1..) => {
                    rest = rest.get(length..).unwrap_or_default();
                    continue;
                }
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let written = &lines[..lines.len() - rest.len()];
            self.is_torn = written.last().is_some_and(|last| *last != b'\n');
            return Err((rest, error));
        }
        Ok(())
    }
}

/// Calls the program's writer. Its panic is an error.
fn caught<R>(call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        // The payload's destructor could panic again. A leak is the lesser evil.
        mem::forget(panic);
        Err(io::Error::other("the writer panicked"))
    })
}
