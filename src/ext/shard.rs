//! Shard: the counts of the exchanges that one thread after another has served.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::LocalKey;

use super::per_thread::{Claimed, Claims};
use super::series::{Counts, Key, Labels};

/// A slot of the table that is free.
const FREE: u32 = u32::MAX;
const FIRST_SLOTS: usize = 64;
/// The most slots for each series. Each server that comes and goes may take one slot for it.
const SLOTS_PER_SERIES: usize = 16;

thread_local! {
    static CLAIMS: Claims<ShardWriter> = const { Claims::new() };
}

/// The series of a shard, to read while a thread counts. There only come more.
#[derive(Default)]
pub(super) struct Shard(Mutex<Vec<Series>>);

/// A series of a shard with its counts.
pub(super) type Series = (Key, Arc<Counts>);

/// The right to count in a shard.
///
/// Its table finds a series by the place of the text of its route, so that no string is hashed. The
/// texts are then compared, because a later server may have another route in the same place.
pub(super) struct ShardWriter {
    shard: Arc<Shard>,
    /// The series of the shard.
    series: Vec<Series>,
    /// Indices into `series`. At least half of the slots are free.
    slots: Vec<u32>,
    taken: usize,
    /// The same indices, for what the table does not have.
    known: HashMap<Labels, HashMap<Arc<str>, u32>>,
    overflow: Option<u32>,
}

impl Shard {
    /// Returns up to `most` series from an index on.
    pub fn part(&self, from: usize, most: usize) -> Vec<Series> {
        self.lock().iter().skip(from).take(most).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Series>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claimed for ShardWriter {
    fn claims() -> &'static LocalKey<Claims<Self>> {
        &CLAIMS
    }
}

impl ShardWriter {
    /// Returns the right to count in a new shard.
    pub fn new(shard: &Arc<Shard>) -> Self {
        Self {
            shard: Arc::clone(shard),
            series: Vec::new(),
            slots: Vec::new(),
            taken: 0,
            known: HashMap::new(),
            overflow: None,
        }
    }

    /// Returns the counts of the exchanges with these labels. `admit` is asked for a series that the
    /// shard does not have: it returns the route, or `None` if the exchange counts as overflow.
    #[inline]
    pub fn counts(
        &mut self,
        route: &str,
        labels: Labels,
        admit: impl FnOnce() -> Option<Arc<str>>,
    ) -> &Counts {
        let index = match self.find(route, labels) {
            Ok(index) => index,
            Err(slot) => self.add(slot, route, labels, admit),
        };
        &self.series[index as usize].1
    }

    /// Returns the index of the series, or the free slot where the search for it ended.
    #[inline]
    fn find(&self, route: &str, labels: Labels) -> Result<u32, usize> {
        let Some(last) = self.slots.len().checked_sub(1) else { return Err(0) };
        let mut slot = labels.spread(route.as_ptr().addr()) & last;
        loop {
            let index = self.slots[slot];
            match self.series.get(index as usize) {
                None => return Err(slot),
                Some((key, _)) if key.labels == labels && *key.route == *route => return Ok(index),
                Some(_) => slot = (slot + 1) & last,
            }
        }
    }

    #[cold]
    fn add(
        &mut self,
        slot: usize,
        route: &str,
        labels: Labels,
        admit: impl FnOnce() -> Option<Arc<str>>,
    ) -> u32 {
        let known = self.known.get(&labels).and_then(|routes| routes.get(route)).copied();
        let index = match known {
            Some(index) => index,
            None => match admit() {
                Some(route) => {
                    let index = self.push(Key { route: Arc::clone(&route), labels });
                    self.known.entry(labels).or_default().insert(route, index);
                    index
                }
                None => return self.overflow(),
            },
        };
        if 2 * self.taken < self.slots.len() {
            self.slots[slot] = index;
            self.taken += 1;
        } else {
            // The series that are asked for find their slots again.
            let most = (SLOTS_PER_SERIES * self.series.len()).next_power_of_two();
            let slots = (2 * self.slots.len()).min(most).max(FIRST_SLOTS);
            self.slots = vec![FREE; slots];
            self.taken = 0;
        }
        index
    }

    fn push(&mut self, key: Key) -> u32 {
        let series = (key, Arc::default());
        self.shard.lock().push(series.clone());
        self.series.push(series);
        u32::try_from(self.series.len() - 1).unwrap_or(FREE)
    }

    fn overflow(&mut self) -> u32 {
        if let Some(index) = self.overflow {
            return index;
        }
        let index = self.push(Key::overflow());
        self.overflow = Some(index);
        index
    }
}
