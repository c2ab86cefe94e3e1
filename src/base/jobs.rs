//! The queue of jobs that wait for a thread.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::congestion::Congestion;
use super::guard::guarded;
use super::overload::Overload;
use super::priority::Priority;
use super::shares::Shares;

/// Work for a thread.
pub(crate) trait Job: Send + 'static {
    /// Does the work, or ends without it.
    fn begin(self, start: Start);
}

/// The verdict on a job that has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The job has a thread and begins.
    Now,
    /// The job has waited too long and is refused. The thread may be any, and must not be blocked.
    TooLate,
}

impl<F: FnOnce(Start) + Send + 'static> Job for F {
    fn begin(self, start: Start) {
        self(start);
    }
}

/// A job that is done or dropped, and never told that it is too late.
pub(crate) struct Plain<F>(pub F);

impl<F: FnOnce() + Send + 'static> Job for Plain<F> {
    fn begin(self, _: Start) {
        self.0();
    }
}

/// The order of a job among others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Order {
    pub priority: Priority,
    /// The address of the client, if it counts for a share.
    pub source: Option<IpAddr>,
    /// True if the job may be refused after it was queued.
    pub is_told: bool,
}

/// A job in the queue.
pub(crate) struct Waiting {
    job: Box<dyn FnOnce(Start) + Send>,
    /// `None` if waits are not limited. On the heap, so that a queue without limits stays small.
    ticket: Option<Box<Ticket>>,
}

/// The facts by which the wait of a job is judged.
struct Ticket {
    order: Order,
    since: Instant,
    is_late: bool,
}

/// The jobs that wait: the vital ones, and then the others in the order in which they came.
#[derive(Default)]
pub(crate) struct JobQueue {
    vital: VecDeque<Waiting>,
    others: VecDeque<Waiting>,
    waits: Option<Box<Waits>>,
}

/// The limits on waits.
struct Waits {
    congestion: Congestion,
    shares: Shares,
}

impl Waiting {
    /// Returns `true` if the job is not to begin any more.
    pub fn is_late(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| ticket.is_late)
    }

    /// Returns the address that the job counts for.
    pub fn source(&self) -> Option<IpAddr> {
        self.ticket.as_ref().and_then(|ticket| ticket.order.source)
    }

    pub fn begin(self) {
        (self.job)(Start::Now);
    }

    /// Ends the job without its work.
    pub fn refuse(self) {
        guarded("a job that waited too long", || (self.job)(Start::TooLate));
    }
}

impl JobQueue {
    /// Limits how long jobs wait.
    pub fn limit_waits(&mut self, overload: Option<Overload>) {
        self.waits = overload.map(|overload| {
            let congestion = Congestion::new(overload, Instant::now());
            Box::new(Waits { congestion, shares: Shares::default() })
        });
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        self.vital.len() + self.others.len()
    }

    /// Returns the length of the queue as its limit counts for a job: vital jobs count apart.
    pub fn len_before(&self, order: Order) -> usize {
        if order.priority == Priority::Vital { self.vital.len() } else { self.others.len() }
    }

    /// Queues a job. Gives it back if it would wait too long. Threads take `taken` jobs at once.
    pub fn push<J: Job>(&mut self, order: Order, job: J, taken: usize) -> Result<(), J> {
        let length = self.len();
        let ticket = match &mut self.waits {
            Some(waits) => {
                let now = Instant::now();
                let oldest = self.others.front().and_then(|oldest| oldest.ticket.as_ref());
                let oldest =
                    oldest.map_or(Duration::ZERO, |oldest| now.saturating_duration_since(oldest.since));
                if !waits.admits(now, order, length.checked_sub(taken), oldest) {
                    return Err(job);
                }
                order.source.into_iter().for_each(|source| waits.shares.add(source));
                Some(Box::new(Ticket { order, since: now, is_late: false }))
            }
            None => None,
        };
        let job = Waiting { job: Box::new(|start| job.begin(start)), ticket };
        match order.priority {
            Priority::Vital => self.vital.push_back(job),
            _ => self.others.push_back(job),
        }
        Ok(())
    }

    /// Takes the jobs out that have waited too long, so that their clients learn it even if no thread
    /// becomes free.
    pub fn take_late(&mut self) -> Vec<Waiting> {
        let mut late = Vec::new();
        if let Some(waits) = &mut self.waits
            && !self.others.is_empty()
        {
            let now = Instant::now();
            while let Some(first) = self.others.front().and_then(|first| first.ticket.as_ref())
                && waits.is_late(now, first)
            {
                late.extend(self.others.pop_front());
            }
        }
        late
    }

    /// Takes the next job. It may be [late](Waiting::is_late).
    pub fn pop(&mut self) -> Option<Waiting> {
        let mut job = self.vital.pop_front().or_else(|| self.others.pop_front())?;
        if let (Some(waits), Some(ticket)) = (&mut self.waits, &mut job.ticket) {
            let now = Instant::now();
            ticket.is_late = waits.is_late(now, ticket);
            if !ticket.is_late && ticket.order.priority != Priority::Vital {
                waits.congestion.note_start(now, ticket.since, 1);
            }
        }
        Some(job)
    }

    /// Notes that a job has ended that counted for `source`.
    pub fn note_end(&mut self, source: Option<IpAddr>) {
        if let (Some(waits), Some(source)) = (&mut self.waits, source) {
            waits.shares.remove(source);
        }
    }

    /// Takes all jobs out.
    pub fn empty(&mut self) -> Self {
        if let Some(waits) = &mut self.waits {
            waits.shares = Shares::default();
        }
        Self { vital: std::mem::take(&mut self.vital), others: std::mem::take(&mut self.others), waits: None }
    }
}

impl Waits {
    /// Returns `true` if a job may join `waiting` others; `None` if a thread takes it at once.
    fn admits(&mut self, now: Instant, order: Order, waiting: Option<usize>, oldest: Duration) -> bool {
        let Some(waiting) = waiting else {
            self.congestion.note_idle(now);
            return true;
        };
        let priority = match order.source {
            // An address with more than its share is refused before the others.
            Some(source)
                if order.priority < Priority::Vital
                    && self.congestion.is_overloaded(now)
                    && self.shares.is_over(source) =>
            {
                Priority::Low
            }
            _ => order.priority,
        };
        self.congestion.admits(now, waiting, oldest, priority)
    }

    /// Returns `true` if a job has waited too long. It then counts for no share any more.
    fn is_late(&mut self, now: Instant, ticket: &Ticket) -> bool {
        let waited = now.saturating_duration_since(ticket.since);
        let is_late = ticket.order.is_told && !self.congestion.may_start(now, waited, ticket.order.priority);
        if is_late && let Some(source) = ticket.order.source {
            self.shares.remove(source);
        }
        is_late
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Jobs that say what became of them.
    struct Jobs {
        queue: JobQueue,
        sender: Sender<(u32, Start)>,
        ends: Receiver<(u32, Start)>,
    }

    impl Jobs {
        fn new(overload: Option<Overload>) -> Self {
            let (mut queue, (sender, ends)) = (JobQueue::default(), channel());
            queue.limit_waits(overload);
            Self { queue, sender, ends }
        }

        /// Queues a job, with no thread free. Returns `true` if it may wait.
        fn push(&mut self, name: u32, order: Order) -> bool {
            let sender = self.sender.clone();
            self.queue.push(order, move |start| sender.send((name, start)).unwrap(), 0).is_ok()
        }

        /// Takes the next job, and returns what became of it.
        fn pop(&mut self) -> Option<(u32, Start)> {
            let job = self.queue.pop()?;
            if job.is_late() {
                job.refuse();
            } else {
                job.begin();
            }
            self.ends.try_recv().ok()
        }
    }

    fn order(priority: Priority) -> Order {
        Order { priority, source: None, is_told: true }
    }

    fn of(address: &str) -> Order {
        Order { source: Some(address.parse().unwrap()), ..order(Priority::Normal) }
    }

    /// No job may wait for any time that a clock can tell.
    fn no_time() -> Overload {
        let tiny = Duration::from_nanos(1);
        Overload { target: tiny, interval: tiny }
    }

    fn pass_time() {
        let now = Instant::now();
        while now.elapsed() < Duration::from_micros(10) {}
    }

    #[test]
    fn vital_jobs_go_first_and_the_others_in_turn() {
        let mut jobs = Jobs::new(None);
        for (name, priority) in
            [Priority::Normal, Priority::Vital, Priority::High, Priority::Vital].into_iter().enumerate()
        {
            assert!(jobs.push(name.try_into().unwrap(), order(priority)));
        }
        assert_eq!((jobs.queue.len(), jobs.queue.len_before(order(Priority::Vital))), (4, 2));
        let names: Vec<_> = std::iter::from_fn(|| jobs.pop()).collect();
        assert_eq!(names, [1, 3, 0, 2].map(|name| (name, Start::Now)));
    }

    #[test]
    fn a_job_that_has_waited_too_long_is_told_so_unless_it_is_vital_or_cannot_be_told() {
        let mut jobs = Jobs::new(Some(no_time()));
        assert!(jobs.push(0, order(Priority::Vital)));
        assert!(jobs.push(1, order(Priority::Normal)));
        pass_time();
        assert_eq!(jobs.pop(), Some((0, Start::Now)));
        assert_eq!(jobs.pop(), Some((1, Start::TooLate)));
        assert!(jobs.push(2, Order::default()));
        pass_time();
        assert_eq!(jobs.pop(), Some((2, Start::Now)), "it is never told");
    }

    #[test]
    fn a_queue_that_stands_still_takes_no_more_and_tells_those_that_wait() {
        let mut jobs = Jobs::new(Some(no_time()));
        assert!(jobs.push(0, order(Priority::Normal)));
        pass_time();
        assert!(!jobs.push(1, order(Priority::High)), "the oldest has waited too long");
        assert!(jobs.push(2, order(Priority::Vital)));
        jobs.queue.take_late().into_iter().for_each(Waiting::refuse);
        assert_eq!(jobs.ends.try_recv(), Ok((0, Start::TooLate)));
        assert_eq!(jobs.pop(), Some((2, Start::Now)));
    }

    #[test]
    fn an_overloaded_queue_refuses_the_address_with_more_than_its_share_first() {
        let overload = Overload { target: Duration::from_secs(100), interval: Duration::from_secs(100) };
        let mut jobs = Jobs::new(Some(overload));
        let now = Instant::now();
        let waits = jobs.queue.waits.as_mut().unwrap();
        let waits: &mut Waits = waits;
        // A start a second, and a queue that was not empty for long.
        waits.congestion.note_start(now, now, 1);
        for second in 1..200 {
            waits.congestion.note_start(now + Duration::from_secs(second), now, 1);
        }
        let later = now + Duration::from_secs(4000);
        for _ in 0..30 {
            waits.shares.add("192.0.2.1".parse().unwrap());
        }
        waits.shares.add("192.0.2.2".parse().unwrap());
        // Those ahead take 60 s; the address with more than its share may wait for 50 s.
        let mut admits = |order: Order| waits.admits(later, order, Some(60), Duration::ZERO);
        assert!(!admits(of("192.0.2.1")));
        assert!(admits(of("192.0.2.2")));
        assert!(admits(of("192.0.2.3")));
        assert!(admits(Order { priority: Priority::Vital, ..of("192.0.2.1") }));
    }

    #[test]
    fn a_job_counts_for_its_address_until_it_ends() {
        let mut jobs = Jobs::new(Some(Overload::default()));
        assert!(jobs.push(0, of("192.0.2.1")) && jobs.push(1, of("192.0.2.2")));
        let over =
            |jobs: &Jobs| jobs.queue.waits.as_ref().unwrap().shares.is_over("192.0.2.1".parse().unwrap());
        assert!(over(&jobs), "one more would be two of three");
        let job = jobs.queue.pop().unwrap();
        let source = job.source();
        job.begin();
        assert!(over(&jobs), "it runs");
        jobs.queue.note_end(source);
        assert!(!over(&jobs));
    }
}
