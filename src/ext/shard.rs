//! Shard: the counts of the exchanges that some of the threads have served.

use std::collections::HashMap;
use std::sync::Arc;

use super::series::{Counts, Key, Labels};

/// A slot of the table that is free.
const FREE: u32 = u32::MAX;
const FIRST_SLOTS: usize = 64;
/// The most slots for each series. Each server that comes and goes may take one slot for it.
const SLOTS_PER_SERIES: usize = 16;

/// The counts of the exchanges that some of the threads have served. It only grows.
///
/// Its table finds a series by the place of the text of its route, so that no string is hashed. The
/// texts are then compared, because a later server may have another route in the same place.
#[derive(Default)]
pub(super) struct Shard {
    series: Vec<(Key, Counts)>,
    /// Indices into `series`. At least half of the slots are free.
    slots: Vec<u32>,
    taken: usize,
    /// The same indices, for what the table does not have.
    known: HashMap<Labels, HashMap<Arc<str>, u32>>,
    overflow: Option<u32>,
}

impl Shard {
    /// Returns the counts of the exchanges with these labels. `admit` is asked for a series that the
    /// shard does not have: it returns the route, or `None` if the exchange counts as overflow.
    pub fn counts(
        &mut self,
        route: &str,
        labels: Labels,
        admit: impl FnOnce() -> Option<Arc<str>>,
    ) -> &mut Counts {
        let index = match self.find(route, labels) {
            Ok(index) => index,
            Err(slot) => self.add(slot, route, labels, admit),
        };
        &mut self.series[index as usize].1
    }

    /// Returns up to `most` series from an index on.
    pub fn part(&self, from: usize, most: usize) -> impl Iterator<Item = &(Key, Counts)> {
        self.series.iter().skip(from).take(most)
    }

    /// Returns the index of the series, or the free slot where the search for it ended.
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
        self.series.push((key, Counts::default()));
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
