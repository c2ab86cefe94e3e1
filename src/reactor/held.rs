//! A thread whose connections call jobs on the thread itself: between two polls it runs a job, and
//! it goes on to drive the connections while the job waits for one of them.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use super::bell::Ringer;
use super::clock::Clock;
use super::{Alarm, CLOCK, EVENTS_PER_WAIT, Entered, Reactor};
use crate::base::driving::{Driver, hold, next_job, polling_for_job, take_jobs, taking_jobs};
use crate::base::guard::guarded;
use crate::base::wakes::Turns;

/// The most turns that a wait makes after its deadline, for what can be done at once.
const TURNS_PAST_DEADLINE: u32 = 16;

type Driven = Pin<Box<dyn Future<Output = ()>>>;

/// The future that a thread drives, out of which jobs come.
struct Held {
    reactor: Reactor,
    ringer: Arc<Ringer>,
    waker: Waker,
    /// `None` once it is done.
    future: RefCell<Option<Driven>>,
}

impl Reactor {
    /// Runs a future on this thread until it is done, as [`block_on`](Self::block_on) does. The jobs
    /// that it leaves run on this thread too, one after another.
    pub fn block_on_with_jobs(&self, future: impl Future<Output = ()> + 'static) {
        let _entered = Entered::new(self);
        let ringer = Arc::new(Ringer::new(&self.0.bell));
        let waker = Waker::from(Arc::clone(&ringer));
        let future = RefCell::new(Some(Box::pin(future) as Driven));
        let held = Rc::new(Held { reactor: self.clone(), ringer, waker, future });
        let (mut events, mut woken) = (Vec::with_capacity(EVENTS_PER_WAIT), Vec::new());
        let clock = Clock::new(&self.0.epoll, CLOCK);
        let _running = self.0.tasks.enter();
        self.0.tasks.set_main(&held.waker);
        self.0.bell.awake();
        while held.is_driven() {
            self.0.tasks.run();
            match next_job() {
                Some(job) => {
                    // The job may take long.
                    Turns::end_turn();
                    if hold(Rc::clone(&held) as Rc<dyn Driver>, job) {
                        held.waker.wake_by_ref();
                    }
                }
                None => self.turn(&mut events, &mut woken, &clock, || held.has_work()),
            }
        }
        for job in take_jobs() {
            guarded("the drop of a job", || drop(job));
        }
    }
}

impl Held {
    /// Polls the future if it was woken. Returns `false` once it is done.
    fn is_driven(&self) -> bool {
        let mut future = self.future.borrow_mut();
        if let Some(driven) = &mut *future
            && self.ringer.take()
        {
            let polled = taking_jobs(|| driven.as_mut().poll(&mut Context::from_waker(&self.waker)));
            if polled.is_ready() {
                *future = None;
            }
        }
        future.is_some()
    }

    fn has_work(&self) -> bool {
        self.ringer.is_rung() || self.reactor.0.tasks.has_work()
    }
}

impl Driver for Held {
    fn drive_until(&self, deadline: Option<Instant>, done: &mut dyn FnMut(&mut Context<'_>) -> bool) {
        let mut cx = Context::from_waker(&self.waker);
        let (mut events, mut woken) = (Vec::with_capacity(EVENTS_PER_WAIT), Vec::new());
        let clock = Clock::new(&self.reactor.0.epoll, CLOCK);
        let mut alarm = Alarm::new(&self.reactor);
        // Work that is never done does not hold the job for ever.
        let mut turns_left = TURNS_PAST_DEADLINE;
        while !done(&mut cx) {
            polling_for_job(|| {
                self.is_driven();
                self.reactor.0.tasks.run();
            });
            if let Some(at) = deadline
                && (Instant::now() >= at || alarm.poll(&mut cx, at).is_ready())
            {
                if turns_left == 0 || !self.has_work() {
                    done(&mut cx);
                    return;
                }
                turns_left -= 1;
            }
            self.reactor.turn(&mut events, &mut woken, &clock, || self.has_work());
        }
    }
}
