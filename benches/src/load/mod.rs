//! The load generator: one thread, one epoll, run as a process of its own so that it can be
//! pinned and its time told from the server's. Reads a [`Plan`] from its argument, prints
//! `begin` and `end` around the measured window, then the [`Tally`].

pub mod answer;
pub mod connection;
mod driver;
pub mod events;
pub mod plan;
mod slow;
pub mod tally;
pub mod tls;

use std::io::Write;

use anyhow::{Context, Result};

pub use plan::Plan;
pub use tally::Tally;

use crate::machine;

/// The process of the generator: `transom-bench load PLAN`.
pub fn main(plan: &str) -> Result<()> {
    let plan: Plan = toml::from_str(plan).context("the plan of the load")?;
    if let Some(core) = plan.core {
        machine::pin(core)?;
    }
    let tally = driver::Driver::new(plan)?.run()?;
    print!("{}", toml::to_string(&tally)?);
    Ok(())
}

/// Tells the parent that the window begins or ends.
fn announce(word: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word}")?;
    out.flush()?;
    Ok(())
}
