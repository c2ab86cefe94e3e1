//! The thread that writes a log's lines.

use std::io::{self, Write};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
        let run = move || Writer { shared: &of_thread, sink, is_torn: false, told: 0 }.run();
        thread::Builder::new().name("transom-log".into()).spawn(run)?;
        Ok(shared)
    }

    /// Adds a line that `write` writes, of at most `longest` bytes. `write` must not panic.
    #[inline]
    pub fn push(&self, longest: usize, write: impl FnOnce(&mut TimeText, &mut Vec<u8>)) {
        let pushed = self.buffer.push(longest, write);
        if pushed != Pushed::Kept {
            self.note(pushed);
        }
    }

    #[cold]
    fn note(&self, pushed: Pushed) {
        match pushed {
            Pushed::Kept => {}
            Pushed::First => self.order(|orders| orders.lines = orders.lines.max(Lines::Some)),
            Pushed::BlockFull => self.order(|orders| orders.lines = Lines::Many),
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
    /// True if only a part of the last line was written.
    is_torn: bool,
    /// The number of lost lines that the log tells of.
    told: u64,
}

impl Writer<'_> {
    fn run(mut self) {
        loop {
            let mut orders = self.await_work();
            orders.lines = Lines::None;
            let (asked, ending, form) = (orders.asked, orders.ending, orders.loss_line);
            let new = orders.sink.take();
            drop(orders);
            if let Some(sink) = new {
                (self.sink, self.is_torn) = (sink, false);
            }
            self.write_lines(form);
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

    /// Waits for lines and then, unless it is urgent, for more of them.
    fn await_work(&self) -> MutexGuard<'_, Orders> {
        let is_idle = |orders: &mut Orders| orders.lines == Lines::None && !orders.are_urgent();
        let work = &self.shared.work;
        let orders = work.wait_while(self.shared.orders(), is_idle).unwrap_or_else(PoisonError::into_inner);
        let waited = work.wait_timeout_while(orders, INTERVAL, |orders| !orders.are_urgent());
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Writes all lines that there are.
    fn write_lines(&mut self, form: LossLine) {
        let loss = &self.shared.loss;
        for block in self.shared.buffer.take() {
            self.tell_loss(form);
            if let Err((rest, error)) = self.write(&block) {
                loss.add(memchr::memchr_iter(b'\n', rest).count() as u64, error);
            }
            self.shared.buffer.release(block);
        }
        self.tell_loss(form);
        if let Err(error) = caught(|| self.sink.flush()) {
            loss.add(0, error);
        }
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
