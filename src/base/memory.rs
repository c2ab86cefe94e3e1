//! Limits the memory whose size clients decide, and refuses more before the system does, because a
//! failed allocation would end the process.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Memory that must stay available for everything else, in bytes.
const HEADROOM: usize = 8 * 1024 * 1024;
/// The headroom is checked each time that bodies have grown by this many bytes. A check costs two
/// system calls.
const STEP: u64 = 1024 * 1024;

/// Address space that is reserved at once for a body with at least this announced length, so that
/// its bytes need not be moved as it grows. The system backs only the bytes that have arrived with
/// memory.
const AT_ONCE: usize = 1024 * 1024;

/// Signals that there is no memory for more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

/// The number of bytes that all connections of a server may keep together.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

/// The address space that glibc sets aside for the allocations of a thread, as soon as that much is left
/// (`HEAP_MAX_SIZE` in glibc's malloc/arena.c). In a process of 32 bits it is 1 MiB, which the headroom bears.
pub(crate) const ARENA: usize =
    if cfg!(all(target_env = "gnu", target_pointer_width = "64")) { 64 * 1024 * 1024 } else { 0 };

/// More than an allocation that glibc ever places in such an arena (mallopt(3), `M_MMAP_THRESHOLD`).
const STOPGAP: usize = 33 * 1024 * 1024;

/// Held by each [`Growth`], and while a claim is made.
static GROWTH: Mutex<()> = Mutex::new(());

/// Takes so much address space that none is set aside for an arena, or nothing.
pub(crate) struct Stopgap(#[expect(dead_code, reason = "only its size matters")] Vec<u8>);

/// Held while something large takes memory: without it, two that grow at once could count on the same free
/// memory, which all servers of the process share.
pub(crate) struct Growth {
    stopgap: Stopgap,
    _alone: MutexGuard<'static, ()>,
}

impl Growth {
    /// Returns `None` if the process has less than `bytes`, the headroom and what others claim. An arena that is
    /// set aside meanwhile leaves the headroom, too.
    pub fn of(bytes: usize) -> Option<Self> {
        let (alone, left, wanted) = (alone(), address_space_left(), with_headroom(bytes));
        if !has(left, wanted) {
            return None;
        }
        let mut stopgap = Vec::new();
        let in_danger = wanted.saturating_add(STOPGAP) as u64..wanted.saturating_add(ARENA) as u64;
        if left.is_some_and(|left| in_danger.contains(&left)) {
            // If this fails, there is less for an arena, too.
            let _ = stopgap.try_reserve_exact(STOPGAP);
        }
        Some(Self { stopgap: Stopgap(stopgap), _alone: alone })
    }

    /// Takes what keeps an arena from being set aside, for as long as one would not leave the headroom.
    pub fn take_stopgap(&mut self) -> Stopgap {
        std::mem::replace(&mut self.stopgap, Stopgap(Vec::new()))
    }
}

/// The bytes of all [`MemoryClaim`]s of the process.
static CLAIMED: AtomicUsize = AtomicUsize::new(0);

/// Memory that code is about to take without a way to fail, as most libraries take it: a failed allocation
/// ends the process. While the claim lives, the bodies of requests leave that memory free.
///
/// ```
/// use transom::{HttpResult, MemoryClaim, Reject, Request};
///
/// async fn thumbnail(req: Request) -> HttpResult<Vec<u8>> {
///     // The decoder of pictures takes 16 MiB at most.
///     let claim = MemoryClaim::new(16 << 20).ok_or(Reject::NoMemory)?;
///     let picture = req.bytes().to_vec();
///     drop(claim);
///     Ok(picture)
/// }
/// ```
#[derive(Debug)]
#[must_use = "the memory is free for others once the claim is dropped"]
pub struct MemoryClaim {
    bytes: usize,
}

impl MemoryClaim {
    /// Claims memory. Returns `None` if the process has less, or too little for everything else.
    pub fn new(bytes: usize) -> Option<Self> {
        let _alone = alone();
        // Relaxed, also below: the number of bytes alone decides. Claims are made one after another, and one that
        // ends while another is made can only make that one fail.
        has_headroom(bytes).then(|| {
            CLAIMED.fetch_add(bytes, Ordering::Relaxed);
            Self { bytes }
        })
    }
}

impl Drop for MemoryClaim {
    fn drop(&mut self) {
        CLAIMED.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Budget {
    pub const fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
    }

    /// Returns the number of bytes that are kept now.
    pub fn used(&self) -> u64 {
        // Relaxed here and below: the number of bytes alone decides, and guards no other memory. Bodies that must
        // not count on the same bytes hold `GROWTH`.
        self.used.load(Ordering::Relaxed)
    }

    /// Returns an empty share of the budget.
    pub fn share(&self) -> Share<'_> {
        Share { budget: self, bytes: 0 }
    }

    fn take(&self, more: u64) -> Result<(), NoMemory> {
        let before = self.used.fetch_add(more, Ordering::Relaxed);
        let after = before.saturating_add(more);
        if after > self.limit || (before / STEP != after / STEP && !has_headroom(0)) {
            self.give(more);
            return Err(NoMemory);
        }
        Ok(())
    }

    fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The bytes that one exchange keeps of a budget. Dropping the share returns them.
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Share<'_> {
    /// Returns `true` if a quarter of the budget is kept: each connection should then keep little.
    pub fn is_scarce(&self) -> bool {
        self.budget.used() > self.budget.limit / 4
    }

    /// Sets the size of the share to `bytes`. On an error the share keeps its size.
    pub fn set(&mut self, bytes: u64) -> Result<(), NoMemory> {
        if bytes > self.bytes {
            self.budget.take(bytes - self.bytes)?;
        } else {
            self.budget.give(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Adds `more` bytes to the share.
    pub fn add(&mut self, more: u64) -> Result<(), NoMemory> {
        self.set(self.bytes.saturating_add(more))
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.give(self.bytes);
        }
    }
}

/// Reserves room in `body` for `more` bytes, and for some of the `announced` bytes that follow,
/// so that not every chunk needs a reservation. If memory is short, reserves room for `more`
/// bytes only.
pub(crate) fn make_room(body: &mut Vec<u8>, more: usize, announced: usize) -> Result<(), NoMemory> {
    if body.capacity() - body.len() >= more {
        return Ok(());
    }
    reserve_ahead(body.len(), more, announced, |wanted| body.try_reserve_exact(wanted).is_ok())
}

/// Reserves room as [`make_room`] does, in anything that has `length` bytes. `reserve` takes the number of
/// bytes to reserve, and returns `false` if there is no memory for them.
pub(crate) fn reserve_ahead(
    length: usize,
    more: usize,
    announced: usize,
    mut reserve: impl FnMut(usize) -> bool,
) -> Result<(), NoMemory> {
    let ahead = length.max(AT_ONCE).min(announced);
    for wanted in [more.saturating_add(ahead), more] {
        // The old buffer stays allocated until its bytes have been moved.
        let moved = length.saturating_add(wanted);
        let growth = Growth::of(moved);
        if growth.is_some() && reserve(wanted) {
            return Ok(());
        }
    }
    Err(NoMemory)
}

/// The bytes for which it is worth asking the system how much memory is left: that takes two system calls.
const LARGE_COPY: usize = 64 * 1024;

/// Returns a copy of bytes. A large one leaves the headroom.
pub(crate) fn try_copy(bytes: &[u8]) -> Result<Vec<u8>, NoMemory> {
    let mut copy = Vec::new();
    let growth = if bytes.len() < LARGE_COPY { None } else { Some(Growth::of(bytes.len()).ok_or(NoMemory)?) };
    copy.try_reserve_exact(bytes.len()).map_err(|_| NoMemory)?;
    drop(growth);
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// Returns `true` if the process has a limit on its address space.
pub(crate) fn is_limited() -> bool {
    address_space_left().is_some()
}

/// Returns `true` if `more` bytes can be allocated, and the headroom and what others claim are left.
pub(crate) fn has_headroom(more: usize) -> bool {
    has(address_space_left(), with_headroom(more))
}

/// Adds the headroom and what others claim to the bytes that someone wants.
fn with_headroom(bytes: usize) -> usize {
    // Relaxed: see `MemoryClaim::new`.
    bytes.saturating_add(HEADROOM).saturating_add(CLAIMED.load(Ordering::Relaxed))
}

/// Returns `true` if `wanted` bytes can be allocated, where so much address space is left.
fn has(left: Option<u64>, wanted: usize) -> bool {
    match left {
        // Memory that was freed within the heap does not count: only one thread may get it.
        Some(left) => left >= wanted as u64,
        None => can_allocate(wanted),
    }
}

fn alone() -> MutexGuard<'static, ()> {
    GROWTH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Like [`has_headroom`], but checked only once for each 64 KiB that this thread asks for.
pub(crate) fn has_headroom_for(more: usize) -> bool {
    const STEP: usize = 64 * 1024;
    thread_local! {
        static ASKED: Cell<usize> = const { Cell::new(0) };
    }
    let asked = ASKED.get().saturating_add(more);
    ASKED.set(asked % STEP);
    asked < STEP || has_headroom(more)
}

/// Returns how much address space the process has left, or `None` if it has no limit. With a limit,
/// a trial by `can_allocate` could take memory that another thread needs at that moment.
#[cfg(target_os = "linux")]
fn address_space_left() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::As).current?;
    let (mut text, mut file) = ([0; 128], std::fs::File::open("/proc/self/statm").ok()?);
    let length = std::io::Read::read(&mut file, &mut text).ok()?;
    // The first number is the size of the whole program, in pages (proc_pid_statm(5)).
    let pages: u64 = std::str::from_utf8(&text[..length]).ok()?.split(' ').next()?.parse().ok()?;
    Some(limit.saturating_sub(pages.saturating_mul(rustix::param::page_size() as u64)))
}

#[cfg(not(target_os = "linux"))]
fn address_space_left() -> Option<u64> {
    None
}

/// Returns `true` if the system would allocate that many bytes. The bytes are freed at once and
/// never touched.
fn can_allocate(bytes: usize) -> bool {
    let mut room = Vec::<u8>::new();
    let has = room.try_reserve_exact(bytes).is_ok();
    // Without this the compiler removes the unused allocation.
    black_box(&room);
    has
}

/// Runs parts of tests in a process of their own, which has little memory.
#[cfg(all(test, target_os = "linux", not(miri)))]
pub(crate) mod little {
    use std::process::Command;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;

    /// Set in that process: the address space that it has left, MiB.
    const INSIDE: &str = "TRANSOM_TEST_SPACE_LEFT";

    /// Calls `run` in a new process for each number of MiB in `spaces`, with so much address space left. `name` is
    /// the whole name of the test that calls this.
    pub(crate) fn each(name: &str, spaces: impl Iterator<Item = u64>, run: impl FnOnce()) {
        if let Ok(space) = std::env::var(INSIDE) {
            let space = space.parse::<u64>().unwrap() << 20;
            let limit =
                |bytes| setrlimit(Resource::As, Rlimit { current: Some(bytes), ..getrlimit(Resource::As) });
            let most = getrlimit(Resource::As).maximum.unwrap_or(u64::MAX / 2);
            limit(most).unwrap();
            limit(most - left() + space).unwrap();
            // An emulator may have no such limit.
            if address_space_left().is_some_and(|left| left.abs_diff(space) < 1 << 20) {
                run();
            }
            return;
        }
        for space in spaces {
            let mut test = Command::new(std::env::current_exe().unwrap());
            let output =
                test.args([name, "--exact", "--nocapture"]).env(INSIDE, space.to_string()).output().unwrap();
            let texts =
                [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
            if output.status.code() == Some(127) {
                // An emulator runs this test, and the system cannot start another such program.
                return;
            }
            assert!(output.status.success(), "{space} MiB: {}\n{}{}", output.status, texts[0], texts[1]);
            assert!(texts[0].contains("1 passed"), "{}", texts[0]);
        }
    }

    /// Returns the address space that is left, in bytes.
    pub(crate) fn left() -> u64 {
        address_space_left().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_given_back() {
        let budget = Budget::new(100);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert_eq!(one.set(60), Ok(()));
        assert_eq!(other.add(40), Ok(()));
        assert_eq!(other.add(1), Err(NoMemory));
        assert_eq!(one.set(59), Ok(()));
        assert_eq!(other.add(1), Ok(()));
        drop(one);
        assert_eq!(other.add(60), Err(NoMemory));
        assert_eq!(other.add(59), Ok(()));
        drop(other);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_claim_is_for_memory_that_there_is() {
        assert!(MemoryClaim::new(usize::MAX).is_none());
        let claim = MemoryClaim::new(1 << 20).unwrap();
        assert!(CLAIMED.load(Ordering::Relaxed) >= 1 << 20);
        drop(claim);
    }

    /// A large allocation for which glibc would set aside an arena, which is far more.
    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn a_body_that_grows_leaves_the_headroom() {
        let name = "base::memory::tests::a_body_that_grows_leaves_the_headroom";
        little::each(name, [129, 131, 133, 135].into_iter(), || {
            // From now on glibc takes allocations up to that size from the arena of the thread.
            let _ = black_box(Vec::<u8>::with_capacity(30 << 20));
            let mut bodies = Vec::new();
            loop {
                let mut body = Vec::new();
                if make_room(&mut body, 15 << 20, 0).is_err() {
                    break;
                }
                bodies.push(body);
                assert!(little::left() >= HEADROOM as u64, "{} bodies: {}", bodies.len(), little::left());
            }
            assert!(!bodies.is_empty());
        });
    }

    #[test]
    fn room_grows_with_the_body_and_not_beyond_it() {
        let mut body = Vec::new();
        make_room(&mut body, 10, 100_000).unwrap();
        assert!((100_010..101_000).contains(&body.capacity()), "{}", body.capacity());
        let before = body.capacity();
        body.resize(before - 1, 0);
        make_room(&mut body, 1, 0).unwrap();
        assert_eq!(body.capacity(), before);
        make_room(&mut body, 2, usize::MAX).unwrap();
        assert!(body.capacity() > AT_ONCE);
        assert_eq!(make_room(&mut body, usize::MAX / 2, usize::MAX), Err(NoMemory));
    }
}
