//! The results of a run, and the CSV file that they are written to after every scenario and read
//! from when a run is resumed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::stats::Spread;

const HEAD: &str = "scenario,server,metric,median,low,high,rounds,note";
/// The metric of a row that says why a server has no result.
const REFUSED: &str = "refused";

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub scenario: String,
    pub server: String,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Metric(String, Spread),
    Refused(String),
}

#[derive(Clone, Debug, Default)]
pub struct Results(pub Vec<Row>);

impl Results {
    pub fn add(&mut self, scenario: &str, server: &str, metric: &str, spread: Spread) {
        self.push(scenario, server, Value::Metric(metric.into(), spread));
    }

    pub fn refuse(&mut self, scenario: &str, server: &str, why: &str) {
        let why = why.replace(['\n', '\r'], " ");
        self.push(scenario, server, Value::Refused(why));
    }

    fn push(&mut self, scenario: &str, server: &str, value: Value) {
        self.0.push(Row { scenario: scenario.into(), server: server.into(), value });
    }

    pub fn get(&self, scenario: &str, server: &str, metric: &str) -> Option<Spread> {
        self.0.iter().filter(|row| row.scenario == scenario && row.server == server).find_map(
            |row| match &row.value {
                Value::Metric(name, spread) if name == metric => Some(*spread),
                _ => None,
            },
        )
    }

    pub fn refusal(&self, scenario: &str, server: &str) -> Option<&str> {
        self.0.iter().filter(|row| row.scenario == scenario && row.server == server).find_map(
            |row| match &row.value {
                Value::Refused(why) => Some(why.as_str()),
                Value::Metric(..) => None,
            },
        )
    }

    /// Whether a server has been measured in a scenario.
    pub fn has(&self, scenario: &str, server: &str) -> bool {
        let mut rows = self.0.iter().filter(|row| row.scenario == scenario && row.server == server);
        rows.any(|row| matches!(row.value, Value::Metric(..)))
    }

    /// Forgets refusals, so that a resumed run tries again.
    pub fn drop_refusals(&mut self) {
        self.0.retain(|row| matches!(row.value, Value::Metric(..)));
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let lines = self.0.iter().map(|row| {
            let Row { scenario, server, .. } = row;
            match &row.value {
                Value::Metric(metric, Spread { median, low, high, count }) => {
                    format!("{scenario},{server},{metric},{median:.6},{low:.6},{high:.6},{count},\n")
                }
                Value::Refused(why) => {
                    format!("{scenario},{server},{REFUSED},,,,,\"{}\"\n", why.replace('"', "'"))
                }
            }
        });
        let text = format!("{HEAD}\n{}", lines.collect::<String>());
        fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }

    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let mut lines = text.lines();
        ensure!(lines.next() == Some(HEAD), "{} has other columns than this version writes", path.display());
        let rows = lines.map(|line| parse(line).with_context(|| format!("{}: {line}", path.display())));
        Ok(Self(rows.collect::<Result<_>>()?))
    }
}

fn parse(line: &str) -> Result<Row> {
    let fields: Vec<_> = line.splitn(8, ',').collect();
    let [scenario, server, metric, median, low, high, count, note] = fields[..] else {
        anyhow::bail!("not eight fields");
    };
    let value = if metric == REFUSED {
        Value::Refused(note.trim_matches('"').into())
    } else {
        let spread =
            Spread { median: median.parse()?, low: low.parse()?, high: high.parse()?, count: count.parse()? };
        Value::Metric(metric.into(), spread)
    };
    Ok(Row { scenario: scenario.into(), server: server.into(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        let mut results = Results::default();
        let spread = Spread { median: 2.0, low: 1.5, high: 3.25, count: 3 };
        results.add("small-64", "limit", "cpu_us", spread);
        results.refuse("small-64", "other", "7 reset, 2 \"timed out\"");
        let path = std::env::temp_dir().join(format!("transom-bench-{}.csv", std::process::id()));
        results.write(&path).unwrap();
        let mut read = Results::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(read.get("small-64", "limit", "cpu_us"), Some(spread));
        assert_eq!(read.refusal("small-64", "other"), Some("7 reset, 2 'timed out'"));
        assert!(read.has("small-64", "limit") && !read.has("small-64", "other"));
        read.drop_refusals();
        assert_eq!(read.0.len(), 1);
    }
}
