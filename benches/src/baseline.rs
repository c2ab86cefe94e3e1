//! What the gate holds Transom to: `baseline.toml`, and how a measurement is compared with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// How many more instructions are let pass.
const INSTRUCTIONS: f64 = 0.03;
/// A ratio of CPU times may grow by this share, however quiet the machine: on virtual
/// ones that of one build differs by a third as much from one run to the next.
const RATIO: f64 = 0.2;
/// Beyond that, by so many standard errors of the difference of the two medians.
const ERRORS: f64 = 3.0;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The compiler: another one makes other instructions.
    pub rustc: String,
    /// Instructions per request from memory to memory, by kind of request.
    pub instructions: BTreeMap<String, f64>,
    /// CPU per request over that of the limit in the same run, by scenario and server.
    pub ratio: BTreeMap<String, BTreeMap<String, Ratio>>,
}

/// The median of some pairs' ratios and its standard error, both as measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    pub median: f64,
    pub error: f64,
}

/// One comparison.
#[derive(Debug, PartialEq)]
pub struct Verdict {
    pub what: String,
    pub measured: f64,
    pub baseline: Option<f64>,
    /// The most that passes.
    pub most: Option<f64>,
}

impl Verdict {
    pub fn fails(&self) -> bool {
        self.most.is_some_and(|most| self.measured > most)
    }
}

impl Baseline {
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let head = "# What `--gate` compares with. Written by `--gate --bless` on a quiet machine.\n\n";
        fs::write(path, format!("{head}{}", toml::to_string(self)?))
            .with_context(|| format!("write {}", path.display()))
    }

    /// Compares what was measured now with this baseline.
    pub fn judge(&self, now: &Self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for (kind, &measured) in &now.instructions {
            let baseline = self.instructions.get(kind).copied();
            let most = baseline.map(|baseline| baseline * (1.0 + INSTRUCTIONS));
            verdicts.push(Verdict { what: format!("instructions, {kind}"), measured, baseline, most });
        }
        for (scenario, servers) in &now.ratio {
            for (server, measured) in servers {
                let baseline = self.ratio.get(scenario).and_then(|servers| servers.get(server));
                let most = baseline.map(|baseline| {
                    let error = baseline.error.hypot(measured.error);
                    baseline.median + (baseline.median * RATIO).max(ERRORS * error)
                });
                verdicts.push(Verdict {
                    what: format!("CPU over the limit's, {scenario}, {server}"),
                    measured: measured.median,
                    baseline: baseline.map(|baseline| baseline.median),
                    most,
                });
            }
        }
        verdicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(instructions: f64, median: f64, error: f64) -> Baseline {
        let ratios = BTreeMap::from([("event".to_owned(), Ratio { median, error })]);
        Baseline {
            rustc: String::new(),
            instructions: BTreeMap::from([("plain".to_owned(), instructions)]),
            ratio: BTreeMap::from([("small-64".to_owned(), ratios)]),
        }
    }

    fn fails(now: &Baseline) -> Vec<bool> {
        baseline(2000.0, 1.0, 0.003).judge(now).iter().map(Verdict::fails).collect()
    }

    #[test]
    fn instructions_within_three_per_cent() {
        assert_eq!(fails(&baseline(2059.0, 1.0, 0.0)), [false, false]);
        assert_eq!(fails(&baseline(2061.0, 1.0, 0.0)), [true, false]);
        assert_eq!(fails(&baseline(1000.0, 1.0, 0.0)), [false, false]);
    }

    #[test]
    fn ratios_within_what_the_machine_can_tell() {
        assert_eq!(fails(&baseline(2000.0, 1.19, 0.001)), [false, false]);
        assert_eq!(fails(&baseline(2000.0, 1.21, 0.001)), [false, true]);
        assert_eq!(fails(&baseline(2000.0, 1.21, 0.08)), [false, false], "a noisy run");
    }

    #[test]
    fn what_the_baseline_lacks_passes() {
        assert!(Baseline::default().judge(&baseline(9.0, 9.0, 0.0)).iter().all(|verdict| !verdict.fails()));
    }

    #[test]
    fn written_and_read() {
        let text = toml::to_string(&baseline(2000.0, 1.0, 0.003)).unwrap();
        assert_eq!(toml::from_str::<Baseline>(&text).unwrap(), baseline(2000.0, 1.0, 0.003));
    }
}
