//! Checks that the hook for exchanges was called once for each answer, with the right facts.

use super::answers::statuses;
use super::script::Script;
use crate::conn::{Ended, Exchange};

/// An exchange, as the hook saw it.
#[derive(Debug)]
pub struct Told {
    pub target: Option<String>,
    pub status: Option<u16>,
    pub ended: Ended,
}

impl Told {
    pub fn of(exchange: &Exchange<'_>) -> Self {
        Self {
            target: exchange.target().map(str::to_owned),
            status: exchange.status().map(|status| status.as_u16()),
            ended: exchange.ended(),
        }
    }
}

/// Checks that the hook was called for every answer that the client received, in order, and for none
/// twice.
pub fn check(script: &Script, received: &[u8], told: &[Told]) -> Result<(), String> {
    let answered = statuses(script, received);
    let answers: Vec<u16> = told.iter().filter_map(|told| told.status).collect();
    if !answers.starts_with(&answered) {
        return Err(format!("the client received {answered:?}, and the program was told {told:?}"));
    }
    // Each request has a target of its own.
    let mut targets: Vec<_> = told.iter().filter_map(|told| told.target.as_deref()).collect();
    let count = targets.len();
    targets.sort_unstable();
    targets.dedup();
    if targets.len() < count || told.len() > script.requests.len() {
        return Err(format!("an exchange was told of twice: {told:?}"));
    }
    // Only the last exchanges can end without an answer that was written.
    let is_written = |told: &Told| matches!(told.ended, Ended::Answered | Ended::Upgraded);
    let written = told.iter().take_while(|told| is_written(told)).count();
    if told[written..].iter().any(is_written) {
        return Err(format!("an exchange was answered after one that was not: {told:?}"));
    }
    Ok(())
}
