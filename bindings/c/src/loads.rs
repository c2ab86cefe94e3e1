//! The loads of parts of the host, which the watchdog watches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use transom::{Handle, Load};

/// The loads that the host has told, by the names of the parts.
#[derive(Default)]
pub(crate) struct Loads(Mutex<HashMap<String, Arc<ToldLoad>>>);

/// The load of a part, as the host told it last.
#[derive(Default)]
struct ToldLoad {
    waiting: AtomicU64,
    begun: AtomicU64,
}

impl Loads {
    /// Notes the load of a part, and has the watchdog watch the part from the first time on.
    pub fn note(&self, handle: &Handle, name: &str, waiting: u64, begun: u64) {
        let mut loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = loads.get(name).map(Arc::clone);
        let load = known.unwrap_or_else(|| {
            let load = Arc::<ToldLoad>::default();
            loads.insert(name.to_owned(), Arc::clone(&load));
            let told = Arc::clone(&load);
            handle.watch(name, move || {
                // Relaxed, also below: the watchdog compares looks that are far apart. A pair of an old and a new number
                // does not last until the next look.
                let waiting = told.waiting.load(Ordering::Relaxed);
                Load::new(waiting, told.begun.load(Ordering::Relaxed)).detail(format!("waiting: {waiting}"))
            });
            load
        });
        load.begun.store(begun, Ordering::Relaxed);
        load.waiting.store(waiting, Ordering::Relaxed);
    }
}
