//! The connection loop against a seeded adversary, in virtual time.
//!
//! A seed decides what the client does: its requests, their pieces, where it
//! stalls, half-closes or resets, how fast it reads, and what it sends for ever. The
//! loop runs on a transport without a socket and a clock that jumps from event to
//! event, so that an hour of deadlines takes microseconds. The invariants are:
//!
//! - The loop ends, and no phase takes longer than its deadline and the least rates allow.
//! - Each request gets its answer, and nothing else is sent.
//! - An answer arrives whole if its client reads it, whatever the client still sends.
//! - No handler and no stream is left alive, and no stream is far ahead of the client.
//!
//! `TRANSOM_SEEDS=100000 cargo test --release --lib simulation` plays more seeds than
//! usual, `TRANSOM_SEEDS_FROM=7000` begins at another seed than 0, and `TRANSOM_SEED=7`
//! plays one seed and prints what its client does.

mod answers;
mod app;
mod bodies;
mod bounds;
mod client;
mod moves;
mod random;
mod requests;
mod script;
mod slow;
#[cfg(all(target_os = "linux", not(transom_portable)))]
mod sockets;
mod told;
mod upgrades;
mod world;

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

use answers::Fate;
use bounds::Bounds;
use requests::shown;
use script::Script;
use world::{Outcome, World};

/// Seeds of a usual run.
const SEEDS: u64 = 500;

/// Returns the seeds that the environment asks for, otherwise `usual` seeds from 0.
fn seeds_or(usual: u64, count: &str) -> Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("TRANSOM_SEED") {
        return seed..seed + 1;
    }
    let start = number("TRANSOM_SEEDS_FROM").unwrap_or(0);
    start..start.saturating_add(number(count).unwrap_or(usual))
}

#[test]
fn invariants_hold_for_every_seed() {
    let seeds = seeds_or(SEEDS, "TRANSOM_SEEDS");
    println!("seeds {seeds:?}");
    if seeds.end - seeds.start == 1 {
        println!("{:#?}", Script::of(seeds.start));
    }
    quiet_panics();
    let play = |seed| Some((seed, play(&Script::of(seed)).err()?));
    let faults: Vec<(u64, String)> = seeds.clone().filter_map(play).collect();
    for (seed, fault) in faults.iter().take(SHOWN) {
        println!("seed {seed}: {fault}\nreplay: TRANSOM_SEED={seed} {REPLAY}\n");
    }
    let failed: Vec<_> = faults.iter().map(|(seed, _)| seed).collect();
    assert!(faults.is_empty(), "{} seeds of {seeds:?} fail: {failed:?}", failed.len());
}

/// The most faults that are printed in full.
const SHOWN: usize = 5;
const REPLAY: &str = "cargo test --lib simulation::invariants -- --nocapture";

/// Silences the messages of handlers that panic on purpose.
fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref::<&str>() != Some(&"on purpose") {
                loud(panic);
            }
        }));
    });
}

/// Plays a script. The error names the invariant that was broken.
fn play(script: &Script) -> Result<Outcome, String> {
    let world = World::new(script);
    let sim = app::app(&world, script);
    let bounds = Bounds::new(script, &sim.app.config);
    let session = super::Session::unknown();
    let most = MOST + script.length();
    let ended = world.drive(Box::pin(super::serve(world.transport(), &sim.app, &session)), &session, most);
    let outcome = world.outcome();
    let shown = shown(&outcome.received);
    if !ended {
        return Err(format!("it hangs after {:?}\nreceived {shown}", world.elapsed()));
    }
    // No handler, stream or task is left behind.
    let alive = sim.counts.alive.load(Ordering::Relaxed);
    if alive != 0 {
        return Err(format!("{alive} handlers were left alive"));
    }
    // A stream is not far ahead of a client that does not read.
    let ahead = sim.counts.most_ahead.load(Ordering::Relaxed);
    if ahead > app::MOST_AHEAD {
        return Err(format!("{ahead} bytes were made ahead of a client that does not read"));
    }
    told::check(script, &outcome.received, &sim.told.lock().unwrap())
        .map_err(|fault| format!("{fault}\nreceived {shown}"))?;
    let fate = Fate { is_hurried: false, has_lost: !outcome.lost.is_empty() };
    bounds
        .check(&outcome)
        .and_then(|()| answers::check(script, &outcome.received, fate))
        .map_err(|fault| format!("{fault}\nreceived {shown}"))?;
    Ok(outcome)
}

/// The longest time that a connection of a script may take.
const MOST: Duration = Duration::from_secs(24 * 3600);

#[test]
fn the_simulation_finds_a_broken_invariant() {
    // A seed in which everything is answered. If an answer is missing, two are exchanged, or there
    // is one too many, the check must fail.
    let script = (0..SEEDS)
        .map(Script::of)
        .find(|script| script.is_peaceful() && script.requests.len() >= 3 && script.tail.is_none())
        .unwrap();
    let good = play(&script).unwrap().received;
    let fate = Fate { is_hurried: false, has_lost: false };
    answers::check(&script, &good, fate).unwrap();
    answers::check(&script, &good[..good.len() - 1], fate).unwrap_err();
    let twice = [&good[..], &good[..]].concat();
    answers::check(&script, &twice, fate).unwrap_err();
    let garbled = [b"x", &good[..]].concat();
    answers::check(&script, &garbled, fate).unwrap_err();
}
