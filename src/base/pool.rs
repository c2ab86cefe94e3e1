//! A bounded pool of threads for jobs that may block. It knows nothing of HTTP.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use log::Level;

use crate::base::driving::leave;
use crate::base::guard::{RateLimitedLog, guarded};
use crate::base::jobs::{Job, JobQueue, Order, Plain, Start, Waiting};
use crate::base::overload::Overload;
use crate::base::threads::Threads;

/// The name of a job in the log line about its panic. A panic ends the job, not the thread.
const JOB: &str = "a job on the blocking pool";

/// A pool of threads that run jobs which may block. Threads are started when they are needed, up to
/// a limit. Jobs that find no idle thread wait in a bounded queue.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// The largest number of threads: `limits.pool_threads`, or `limits.connection_threads` in the
    /// pool of the model with a thread per connection.
    limit: usize,
    /// The largest number of waiting jobs: `limits.pool_queue`.
    queue_limit: usize,
    /// The source of threads; `None` if the caller runs its jobs itself.
    threads: Option<Arc<Threads>>,
    name: &'static str,
    stack_size: Option<usize>,
    /// The log line for a thread that could not be started.
    no_thread_log: RateLimitedLog,
}

struct Shared {
    state: Mutex<PoolState>,
    work: Condvar,
}

#[derive(Default)]
struct PoolState {
    queue: JobQueue,
    /// Threads without a job, including those about to start.
    idle: usize,
    threads: usize,
    /// Jobs that a thread has taken from the queue. The number wraps.
    begun: u64,
    /// Threads that wait on the condition variable.
    asleep: usize,
    /// True from the notification of a thread until the thread runs. A thread that takes a job wakes
    /// the next thread if more jobs wait. So a burst of short jobs wakes few threads, and long jobs
    /// do not wait for each other.
    is_waking: bool,
    closed: bool,
}

impl PoolState {
    /// Returns `true` if another job would have to wait although another thread may be started.
    fn is_short(&self, limit: usize) -> bool {
        self.queue.len() >= self.idle && self.threads < limit && !self.closed
    }

    /// Claims the right to wake one thread. If it returns `true`, the caller must notify the
    /// condition variable after it unlocks.
    fn claim_wake(&mut self) -> bool {
        let wakes = !self.is_waking && self.asleep > 0 && !self.queue.is_empty();
        self.is_waking |= wakes;
        wakes
    }
}

/// The error when the pool takes no job: its queue is full, the job would wait too long
/// ([`Server::overload`](crate::Server::overload)), the pool has no thread and cannot start one, or it is
/// closed. As a response it is a 503 with Retry-After; see
/// [`Context::run_blocking`](crate::Context::run_blocking).
#[non_exhaustive]
pub struct PoolFull<F> {
    /// The job that the pool did not take.
    pub job: F,
    /// True if the pool has no thread and the system refuses to start one.
    pub without_threads: bool,
    /// True if the job would have waited longer than [`Overload`] allows.
    pub overloaded: bool,
}

impl<F> fmt::Debug for PoolFull<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolFull")
            .field("without_threads", &self.without_threads)
            .field("overloaded", &self.overloaded)
            .finish_non_exhaustive()
    }
}

impl<F> fmt::Display for PoolFull<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.without_threads {
            "the blocking pool has no thread, and none can be started"
        } else if self.overloaded {
            "the job would wait too long for the blocking pool"
        } else {
            "the blocking pool and its queue are full"
        })
    }
}

impl<F> std::error::Error for PoolFull<F> {}

impl<F> PoolFull<F> {
    pub(crate) fn map<G>(self, into: impl FnOnce(F) -> G) -> PoolFull<G> {
        let Self { job, without_threads, overloaded } = self;
        PoolFull { job: into(job), without_threads, overloaded }
    }
}

impl Pool {
    /// Returns a pool that starts its threads from `threads`.
    pub fn new(name: &'static str, limit: usize, queue_limit: usize, threads: Arc<Threads>) -> Self {
        let mut pool = Self::in_place();
        (pool.name, pool.limit, pool.queue_limit) = (name, limit, queue_limit);
        pool.threads = Some(threads);
        pool
    }

    /// Returns a pool without threads: the thread that calls [`run`](Self::run) runs the job, after
    /// its driver's poll or, without a driver, at once.
    pub fn in_place() -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), work: Condvar::new() });
        Self {
            shared,
            limit: 0,
            queue_limit: 0,
            threads: None,
            name: "",
            stack_size: None,
            no_thread_log: RateLimitedLog::default(),
        }
    }

    /// Sets the stack size of each thread, in bytes.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Limits how long jobs wait.
    pub fn overload(self, overload: Option<Overload>) -> Self {
        self.shared.lock().queue.limit_waits(overload);
        self
    }

    /// Runs `job` on one of the pool's threads, as soon as one is idle.
    pub fn run<F: FnOnce() + Send + 'static>(&self, order: Order, job: F) -> Result<(), PoolFull<F>> {
        self.run_in_order(order, Plain(job)).map_err(|full| full.map(|job| job.0))
    }

    /// Runs `job` on one of the pool's threads, in its order among the others. A job that waits too long
    /// is told so instead, on any thread.
    pub fn run_in_order<J: Job>(&self, order: Order, job: J) -> Result<(), PoolFull<J>> {
        if self.threads.is_none() {
            let job = move || {
                guarded(JOB, || job.begin(Start::Now));
            };
            leave(job).unwrap_or_else(|job| job());
            return Ok(());
        }
        let mut state = self.shared.lock();
        let mut startable = self.limit - state.threads;
        if state.is_short(self.limit) {
            drop(state);
            let started = self.prepare();
            state = self.shared.lock();
            startable = self.limit - state.threads;
            if let Err(error) = started {
                self.no_thread_log
                    .log(Level::Error, format_args!("cannot start a pool thread: {error}; will try again"));
                startable = 0;
            }
        }
        // A job that a thread takes at once does not count as waiting.
        let taken = state.idle + startable;
        let is_full = state.queue.len_before(order) >= self.queue_limit.saturating_add(taken);
        if is_full || state.closed || state.threads == 0 {
            let without_threads = state.threads == 0 && !state.closed;
            return Err(PoolFull { job, without_threads, overloaded: false });
        }
        let pushed = state.queue.push(order, job, taken);
        let too_late = state.queue.take_late();
        let wakes = state.claim_wake();
        drop(state);
        if wakes {
            self.shared.work.notify_one();
        }
        too_late.into_iter().for_each(Waiting::refuse);
        pushed.map_err(|job| PoolFull { job, without_threads: false, overloaded: true })
    }

    /// Returns the number of threads, of those that run a job, and of jobs that wait.
    pub fn load(&self) -> (u64, u64, u64) {
        let state = self.shared.lock();
        let busy = state.threads.saturating_sub(state.idle);
        (state.threads as u64, busy as u64, state.queue.len() as u64)
    }

    /// Returns the number of jobs that were begun so far. It wraps.
    pub fn begun(&self) -> u64 {
        self.shared.lock().begun
    }

    /// Returns `true` if another job would need another thread, and the limit allows one.
    pub fn is_short(&self) -> bool {
        self.shared.lock().is_short(self.limit)
    }

    /// Starts a thread if another job would need one and the limit allows it.
    pub fn prepare(&self) -> io::Result<()> {
        let Some(threads) = &self.threads else { return Ok(()) };
        let mut state = self.shared.lock();
        if !state.is_short(self.limit) {
            return Ok(());
        }
        let is_first = state.threads == 0;
        state.threads += 1;
        state.idle += 1;
        drop(state);
        let slot = WorkerSlot(Arc::clone(&self.shared));
        let work = move || slot.0.work_until_closed();
        if is_first {
            threads.spawn(self.name, self.stack_size, work)
        } else {
            threads.spawn_another(self.name, self.stack_size, work)
        }
    }

    /// Closes the pool: it takes no more jobs and drops the waiting ones. Each thread ends after
    /// the job that it runs.
    pub fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let dropped = state.queue.empty();
        drop(state);
        self.shared.work.notify_all();
        drop(dropped);
    }
}

/// Ends the threads, because no more jobs can come.
impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

/// A thread's slot in the pool. Dropped when the thread ends, or if it could not be started.
struct WorkerSlot(Arc<Shared>);

impl Drop for WorkerSlot {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.threads -= 1;
        state.idle -= 1;
        // Without a thread, the waiting jobs would wait for ever.
        let dropped = if state.threads == 0 { Some(state.queue.empty()) } else { None };
        drop(state);
        drop(dropped);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work_until_closed(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop() {
                if job.is_late() {
                    drop(state);
                    job.refuse();
                    state = self.lock();
                    continue;
                }
                state.idle -= 1;
                state.begun = state.begun.wrapping_add(1);
                let wakes = state.claim_wake();
                drop(state);
                if wakes {
                    self.work.notify_one();
                }
                let source = job.source();
                guarded(JOB, || job.begin());
                state = self.lock();
                state.idle += 1;
                state.queue.note_end(source);
            } else if state.closed {
                return;
            } else {
                state.asleep += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.asleep -= 1;
                state.is_waking = false;
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("limit", &self.limit)
            .field("queue_limit", &self.queue_limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn pool(limit: usize, queue_limit: usize) -> Pool {
        Pool::new("test", limit, queue_limit, Threads::new(Box::new(|| Box::new(()))))
    }

    fn ends(pool: &Pool) -> bool {
        pool.threads.as_ref().unwrap().wait(None)
    }

    #[test]
    fn without_threads_a_job_is_done_when_it_was_handed_over() {
        let pool = Pool::in_place();
        let (sender, receiver) = mpsc::channel();
        let here = std::thread::current().id();
        pool.run(Order::default(), move || sender.send(std::thread::current().id()).unwrap()).unwrap();
        assert_eq!(receiver.try_recv(), Ok(here));
        pool.run(Order::default(), || panic!("on purpose")).unwrap();
    }

    #[test]
    fn runs_at_most_limit_at_once_and_refuses_beyond_the_queue() {
        let pool = pool(2, 1);
        let (started, starts) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for _ in 0..2 {
            let (started, gate) = (started.clone(), Arc::clone(&gate));
            pool.run(Order::default(), move || {
                started.send(()).unwrap();
                let _ = gate.lock().unwrap().recv();
            })
            .unwrap();
            starts.recv().unwrap();
        }
        let late = started.clone();
        pool.run(Order::default(), move || late.send(()).unwrap()).unwrap();
        assert!(pool.run(Order::default(), || ()).is_err());
        drop(release);
        starts.recv().unwrap();
        pool.close();
        assert!(pool.run(Order::default(), || ()).is_err());
        assert!(ends(&pool));
    }

    #[test]
    fn jobs_that_need_each_other_all_get_a_thread() {
        const COUNT: usize = 4;
        let pool = pool(COUNT, COUNT);
        let (sender, receiver) = mpsc::channel();
        for _ in 0..200 {
            let all = Arc::new(std::sync::Barrier::new(COUNT));
            for _ in 0..COUNT {
                let (all, sender) = (Arc::clone(&all), sender.clone());
                pool.run(Order::default(), move || {
                    all.wait();
                    sender.send(()).unwrap();
                })
                .unwrap();
            }
            let patience = std::time::Duration::from_secs(60);
            (0..COUNT)
                .for_each(|_| receiver.recv_timeout(patience).expect("a job that nobody was called for"));
        }
        pool.close();
        assert!(ends(&pool));
    }

    #[test]
    fn every_job_is_done_however_they_come() {
        const JOBS: usize = 5_000;
        let pool = pool(3, 4 * JOBS);
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            for producer in 0..4 {
                let (pool, sender) = (&pool, sender.clone());
                scope.spawn(move || {
                    for job in 0..JOBS {
                        let sender = sender.clone();
                        pool.run(Order::default(), move || sender.send(()).unwrap()).unwrap();
                        (0..(job * 7 + producer) % 401).for_each(|_| std::hint::spin_loop());
                    }
                });
            }
        });
        let patience = std::time::Duration::from_secs(60);
        let done = (0..4 * JOBS).take_while(|_| receiver.recv_timeout(patience).is_ok()).count();
        assert_eq!(done, 4 * JOBS);
        pool.close();
        assert!(ends(&pool));
    }

    #[test]
    fn a_thread_that_does_not_come_to_work_leaves_no_job_waiting() {
        let broken = Threads::new(Box::new(|| panic!("on purpose")));
        let pool = Pool::new("test", 1, 8, broken);
        for _ in 0..3 {
            let (sender, receiver) = mpsc::channel::<()>();
            drop(pool.run(Order::default(), move || sender.send(()).unwrap()));
            assert!(receiver.recv().is_err(), "the job was run");
        }
        pool.close();
        assert!(ends(&pool));
    }

    #[test]
    fn a_job_that_no_thread_can_be_started_for_waits_for_one_or_is_handed_back() {
        let mut pool = pool(2, 1);
        // More than one allocation may have, so that no thread can start.
        pool.stack_size = Some(1 << (usize::BITS - 1));
        pool.prepare().unwrap_err();
        assert!(pool.run(Order::default(), || ()).is_err(), "nobody would ever do it");
        pool.stack_size = None;
        let (started, starts) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        let late = started.clone();
        pool.run(Order::default(), move || {
            started.send(()).unwrap();
            let _ = gate.recv();
        })
        .unwrap();
        starts.recv().unwrap();
        pool.stack_size = Some(1 << (usize::BITS - 1));
        pool.prepare().unwrap_err();
        pool.run(Order::default(), move || late.send(()).unwrap()).unwrap();
        assert!(pool.run(Order::default(), || ()).is_err(), "one waits already");
        drop(release);
        starts.recv().unwrap();
        pool.close();
        assert!(ends(&pool));
    }

    #[test]
    fn a_panic_costs_no_thread() {
        let pool = pool(1, 8);
        let (sender, receiver) = mpsc::channel();
        pool.run(Order::default(), || panic!("on purpose")).unwrap();
        pool.run(Order::default(), move || sender.send(7).unwrap()).unwrap();
        assert_eq!(receiver.recv().unwrap(), 7);
        pool.close();
        assert!(ends(&pool));
    }
}
