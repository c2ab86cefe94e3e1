//! The outcomes of the requests of one phase, and the verdict on them.

use super::offer::{Outcome, PATIENCE};

/// The requests of one phase: rates in requests a second, times in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdict {
    pub offered: f64,
    /// Answered with 200 within the clients' patience.
    pub good: f64,
    pub refused: f64,
    /// Without an answer within the clients' patience, or with another one.
    pub lost: f64,
    pub p50: f64,
    pub p99: f64,
    /// The slowest health check. One without an answer counts as the clients' patience.
    pub health: f64,
}

impl Verdict {
    /// Judges the requests that were due in a span of seconds.
    pub fn of(outcomes: &[Outcome], span: (f64, f64)) -> Self {
        let within = |outcome: &&Outcome| outcome.due >= span.0 && outcome.due < span.1;
        let (checks, asked): (Vec<_>, Vec<_>) = outcomes.iter().filter(within).partition(|one| one.is_health);
        let seconds = span.1 - span.0;
        let count = |wanted: fn(&&&Outcome) -> bool| asked.iter().filter(wanted).count() as f64 / seconds;
        let mut times: Vec<_> =
            asked.iter().filter(|one| one.status == 200).map(|one| one.took * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let at = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
            times.get(at).copied().unwrap_or(f64::NAN)
        };
        let health = checks.iter().map(|one| if one.status == 200 { one.took } else { PATIENCE });
        Self {
            offered: asked.len() as f64 / seconds,
            good: count(|one| one.status == 200),
            refused: count(|one| one.status == 503),
            lost: count(|one| one.status != 200 && one.status != 503),
            p50: quantile(0.5),
            p99: quantile(0.99),
            health: health.fold(0.0, f64::max) * 1e3,
        }
    }
}

/// Returns the seconds after `from` until all is as before: from then on, for at least a second, 90 % of the
/// requests are good, and half of these take at most `slow` milliseconds. `None` if that does not come.
pub fn recovery(outcomes: &[Outcome], from: f64, until: f64, slow: f64) -> Option<f64> {
    const STEP: f64 = 0.1;
    const LEAST: f64 = 1.0;
    let steps = ((until - from - LEAST) / STEP).round() as usize;
    let has_recovered = |after: f64| {
        let (second, rest) = ((from + after, from + after + LEAST), (from + after, until));
        [second, rest].into_iter().all(|span| {
            let verdict = Verdict::of(outcomes, span);
            verdict.good >= 0.9 * verdict.offered && verdict.p50 <= slow
        })
    };
    (0..=steps).map(|step| step as f64 * STEP).find(|after| has_recovered(*after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(due: f64, status: u16, took: f64) -> Outcome {
        Outcome { due, status, took, is_health: false }
    }

    #[test]
    fn good_answers_and_others_are_told_apart() {
        let mut outcomes: Vec<_> = (0..100).map(|at| outcome(f64::from(at) / 100.0, 200, 0.005)).collect();
        outcomes.extend([outcome(0.5, 503, 0.001), outcome(0.5, 0, 1.0), outcome(3.0, 200, 0.1)]);
        outcomes.push(Outcome { is_health: true, ..outcome(0.5, 0, 0.2) });
        let verdict = Verdict::of(&outcomes, (0.0, 2.0));
        assert_eq!((verdict.offered, verdict.good, verdict.refused, verdict.lost), (51.0, 50.0, 0.5, 0.5));
        assert!((verdict.p99 - 5.0).abs() < 1e-9 && (verdict.health - 1000.0).abs() < 1e-9);
    }

    #[test]
    fn a_recovery_lasts_at_least_a_second() {
        let good = |at: i32| outcome(f64::from(at) / 100.0 + 0.005, 200, 0.005);
        let mut outcomes: Vec<_> = (0..500).map(good).collect();
        assert_eq!(recovery(&outcomes, 0.0, 5.0, 10.0), Some(0.0));
        assert_eq!(recovery(&outcomes, 0.0, 5.0, 1.0), None, "all are slow");
        outcomes.extend((0..30).map(|at| outcome(f64::from(at) / 100.0, 503, 0.001)));
        // Of the second after 0.2 s, 10 of 110 are refused.
        assert_eq!(recovery(&outcomes, 0.0, 5.0, 10.0), Some(0.2));
        outcomes.extend((0..200).map(|at| outcome(4.0 + f64::from(at) / 200.0, 0, 1.0)));
        assert_eq!(recovery(&outcomes, 0.0, 5.0, 10.0), None);
    }
}
