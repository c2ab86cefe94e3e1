//! Handles: numbers in the shape of a pointer that identify an entry of a table. A handle is
//! looked up and never followed, so one whose entry is gone is recognized.
//!
//! The low bits of a handle are a slot, the high bits the generation of the slot, which grows
//! each time the slot is filled. The slots lie in shards with one lock each. A thread adds
//! entries to one shard only, so that threads rarely contend for a lock.

use std::array;
use std::cell::Cell;
use std::num::NonZeroUsize;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::process::Process;
use crate::status::transom_status;

const SHARD_BITS: u32 = 4;
const SHARDS: usize = 1 << SHARD_BITS;
/// With 64-bit pointers: 16 million entries, and 2^40 generations of each slot. With 32-bit
/// pointers: 65,536 of each.
const INDEX_BITS: u32 = if usize::BITS == 64 { 24 } else { 16 };
const GENERATION_MASK: usize = usize::MAX >> INDEX_BITS;
const SHARD_SLOTS: usize = 1 << (INDEX_BITS - SHARD_BITS);

/// The number of an entry. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle(NonZeroUsize);

impl Handle {
    /// Returns the handle that a pointer is; `None` for NULL.
    pub fn from_pointer<T>(pointer: *const T) -> Option<Self> {
        NonZeroUsize::new(pointer.addr()).map(Self)
    }

    pub fn from_token(token: u64) -> Option<Self> {
        usize::try_from(token).ok().and_then(NonZeroUsize::new).map(Self)
    }

    pub fn to_pointer<T>(self) -> *mut T {
        ptr::without_provenance_mut(self.0.get())
    }

    pub fn to_token(self) -> u64 {
        self.0.get() as u64
    }
}

/// A table, made when the first entry is added. A forked child must not use it, because its
/// locks may be held by threads that only the parent has.
pub(crate) struct Table<T>(OnceLock<Slots<T>>);

struct Slots<T> {
    process: Process,
    shards: [Shard<T>; SHARDS],
}

/// Aligned so that each shard has cache lines of its own.
#[repr(align(128))]
struct Shard<T>(Mutex<Entries<T>>);

struct Entries<T> {
    entries: Vec<Entry<T>>,
    /// The first empty entry; each one holds the number of the next.
    empty: Option<u32>,
}

struct Entry<T> {
    generation: usize,
    content: Content<T>,
}

enum Content<T> {
    Full(T),
    Empty { next: Option<u32> },
}

impl<T: Send> Table<T> {
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Adds an entry. Returns the value if the table is full.
    pub fn insert(&self, value: T) -> Result<Handle, T> {
        let shard = own_shard();
        self.0.get_or_init(Slots::new).lock(shard).insert(shard, value)
    }

    /// Removes an entry. Only one call for a handle succeeds.
    pub fn take(&self, handle: Handle) -> Result<T, transom_status> {
        self.take_if(handle, |_| true)
    }

    /// Removes an entry for which `wanted` is true.
    pub fn take_if(&self, handle: Handle, wanted: impl FnOnce(&T) -> bool) -> Result<T, transom_status> {
        let (shard, place, generation) = parts(handle);
        let mut entries = self.existing()?.lock(shard);
        let wanted = entries.get(place, generation).is_some_and(wanted);
        let taken = if wanted { entries.take(place, generation) } else { None };
        taken.ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)
    }

    /// Calls `look` with an entry, under the lock of its shard. `look` must be short, and must
    /// not call the host.
    pub fn look<R>(&self, handle: Handle, look: impl FnOnce(&T) -> R) -> Result<R, transom_status> {
        let (shard, place, generation) = parts(handle);
        let entries = self.existing()?.lock(shard);
        entries.get(place, generation).map(look).ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)
    }

    /// As `look`, and may change the entry.
    pub fn change<R>(&self, handle: Handle, change: impl FnOnce(&mut T) -> R) -> Result<R, transom_status> {
        let (shard, place, generation) = parts(handle);
        let mut entries = self.existing()?.lock(shard);
        entries.get_mut(place, generation).map(change).ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)
    }

    /// Returns `TRANSOM_FORKED` if the table belongs to another process.
    pub fn check(&self) -> Result<(), transom_status> {
        self.0.get().map_or(Ok(()), |slots| slots.process.check())
    }

    fn existing(&self) -> Result<&Slots<T>, transom_status> {
        let slots = self.0.get().ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)?;
        slots.process.check()?;
        Ok(slots)
    }
}

impl<T> Slots<T> {
    fn new() -> Self {
        let shard = |_| Shard(Mutex::new(Entries { entries: Vec::new(), empty: None }));
        Self { process: Process::current(), shards: array::from_fn(shard) }
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Entries<T>> {
        self.shards[shard % SHARDS].0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Entries<T> {
    fn insert(&mut self, shard: usize, value: T) -> Result<Handle, T> {
        let place = match self.empty {
            Some(place) => place as usize,
            None if self.entries.len() < SHARD_SLOTS => {
                let empty = Entry { generation: 0, content: Content::Empty { next: None } };
                self.entries.push(empty);
                self.entries.len() - 1
            }
            None => return Err(value),
        };
        let entry = &mut self.entries[place];
        let Content::Empty { next } = entry.content else { return Err(value) };
        self.empty = next;
        entry.content = Content::Full(value);
        entry.generation = (entry.generation + 1) & GENERATION_MASK;
        if entry.generation == 0 {
            entry.generation = 1;
        }
        let handle = entry.generation << INDEX_BITS | place << SHARD_BITS | shard;
        Ok(Handle(NonZeroUsize::new(handle).unwrap_or(NonZeroUsize::MIN)))
    }

    fn get(&self, place: usize, generation: usize) -> Option<&T> {
        match self.entries.get(place)? {
            Entry { generation: current, content: Content::Full(value) } if *current == generation => {
                Some(value)
            }
            _ => None,
        }
    }

    fn get_mut(&mut self, place: usize, generation: usize) -> Option<&mut T> {
        match self.entries.get_mut(place)? {
            Entry { generation: current, content: Content::Full(value) } if *current == generation => {
                Some(value)
            }
            _ => None,
        }
    }

    fn take(&mut self, place: usize, generation: usize) -> Option<T> {
        self.get(place, generation)?;
        let index = u32::try_from(place).ok()?;
        let full = std::mem::replace(&mut self.entries[place].content, Content::Empty { next: self.empty });
        self.empty = Some(index);
        match full {
            Content::Full(value) => Some(value),
            Content::Empty { .. } => None,
        }
    }
}

/// Returns the shard, the slot in the shard, and the generation.
fn parts(Handle(handle): Handle) -> (usize, usize, usize) {
    let handle = handle.get();
    (handle % SHARDS, handle >> SHARD_BITS & (SHARD_SLOTS - 1), handle >> INDEX_BITS)
}

/// Returns the shard to which this thread adds entries.
fn own_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    OWN.with(|own| {
        if own.get() == usize::MAX {
            // Relaxed: the number only spreads the threads. The locks of the shards order the entries.
            own.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        own.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use transom_status::TRANSOM_ALREADY_ANSWERED;

    impl<T: Send> Table<T> {
        fn len(&self) -> usize {
            let full = |entry: &Entry<T>| matches!(entry.content, Content::Full(_));
            let slots = self.existing().unwrap();
            (0..SHARDS)
                .map(|shard| slots.lock(shard).entries.iter().filter(|entry| full(entry)).count())
                .sum()
        }
    }

    #[test]
    fn a_handle_is_good_once() {
        let table = Table::new();
        assert_eq!(table.take(Handle(NonZeroUsize::MIN)), Err(TRANSOM_ALREADY_ANSWERED));
        let first = table.insert("first").unwrap();
        assert_eq!(table.look(first, |text| text.len()), Ok(5));
        assert_eq!(table.take(first), Ok("first"));
        let second = table.insert("second").unwrap();
        assert_ne!(first, second);
        assert_eq!(table.take(first), Err(TRANSOM_ALREADY_ANSWERED));
        assert_eq!(table.look(first, |_| ()), Err(TRANSOM_ALREADY_ANSWERED));
        assert_eq!(table.take(second), Ok("second"));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn made_up_handles_are_harmless() {
        let table = Table::new();
        let real = table.insert(()).unwrap();
        for bit in 0..usize::BITS {
            let token = real.to_token() ^ 1 << bit;
            let handle = Handle::from_token(token).unwrap();
            assert_eq!(table.take(handle), Err(TRANSOM_ALREADY_ANSWERED), "bit {bit}");
        }
        assert_eq!(table.take(real), Ok(()));
    }

    #[test]
    fn handles_of_many_threads_differ_and_the_table_ends_empty() {
        // Miri runs each instruction a thousand times slower, and tries other orders with each seed.
        const EACH: usize = if cfg!(miri) { 2 } else { 1000 };
        static TABLE: Table<usize> = Table::new();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let sender = sender.clone();
                scope.spawn(move || {
                    for number in 0..EACH {
                        let value = thread * EACH + number;
                        sender.send((TABLE.insert(value).unwrap(), value)).unwrap();
                    }
                });
            }
            drop(sender);
            for (handle, value) in receiver {
                assert_eq!(TABLE.take(handle), Ok(value));
            }
        });
        assert_eq!(TABLE.len(), 0);
    }

    #[test]
    #[cfg_attr(miri, ignore = "a million entries take Miri minutes")]
    fn a_full_table_gives_the_value_back() {
        let table = Table::new();
        for number in 0..SHARD_SLOTS {
            table.insert(number).unwrap();
        }
        assert_eq!(table.insert(7), Err(7));
    }
}
