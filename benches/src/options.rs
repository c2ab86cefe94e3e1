//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

pub const HELP: &str = "\
transom-bench: measures Transom beside other servers, from the root of the repository:

    cargo run --release --manifest-path benches/Cargo.toml -- --quick

  --quick          the main scenarios and servers, about 4 minutes
  --full           every scenario and every server, about 45 minutes
  --gate           fails when Transom has become slower than benches/baseline.toml says
  --gate --bless   writes that file
  --story          the measurements of docs/three-models.md
  --overload       servers to which more comes than they can do, about 5 minutes
  --only A,B       only these scenarios
  --servers A,B    only these servers
  --rounds N       rounds of each scenario
  --seconds N      seconds of each measured window
  --interference P per cent of the cores' time that others may use during a round (10)
  --out DIR        where the report goes (benches/report)
  --resume         keeps the results that are there already
  --report         writes the report and the line plots of the story from the results that are
                   there, and measures nothing
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Quick,
    Full,
    Gate,
    Story,
    Overload,
    Report,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub mode: Mode,
    pub only: Vec<String>,
    pub servers: Vec<String>,
    pub rounds: Option<usize>,
    pub seconds: Option<f64>,
    /// A share, not per cent.
    pub interference: f64,
    pub out: Option<PathBuf>,
    pub resume: bool,
    pub bless: bool,
    /// Another description of the servers, for trials of the harness itself.
    pub servers_file: Option<PathBuf>,
}

impl Options {
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut mode = None;
        let mut options = Self {
            mode: Mode::Quick,
            only: Vec::new(),
            servers: Vec::new(),
            rounds: None,
            seconds: None,
            interference: 0.10,
            out: None,
            resume: false,
            bless: false,
            servers_file: None,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => mode = Some(Mode::Quick),
                "--full" => mode = Some(Mode::Full),
                "--gate" => mode = Some(Mode::Gate),
                "--story" => mode = Some(Mode::Story),
                "--overload" => mode = Some(Mode::Overload),
                "--report" => mode = Some(Mode::Report),
                "--only" => options.only = list(&value(&word, &mut words)?),
                "--servers" => options.servers = list(&value(&word, &mut words)?),
                "--rounds" => options.rounds = Some(number(&word, &mut words)?),
                "--seconds" => options.seconds = Some(number(&word, &mut words)?),
                "--interference" => options.interference = number::<f64>(&word, &mut words)? / 100.0,
                "--out" => options.out = Some(value(&word, &mut words)?.into()),
                "--resume" => options.resume = true,
                "--bless" => options.bless = true,
                "--servers-file" => options.servers_file = Some(value(&word, &mut words)?.into()),
                _ => bail!("{word}: not an option\n\n{HELP}"),
            }
        }
        // What is named is measured wholly, unless told otherwise.
        let named = !options.only.is_empty() || !options.servers.is_empty();
        let default = if named { Mode::Full } else { Mode::Quick };
        options.mode = mode.unwrap_or(default);
        Ok(options)
    }
}

fn value(option: &str, words: &mut impl Iterator<Item = String>) -> Result<String> {
    words.next().with_context(|| format!("{option} needs a value"))
}

fn number<T: FromStr>(option: &str, words: &mut impl Iterator<Item = String>) -> Result<T> {
    let value = value(option, words)?;
    value.parse().ok().with_context(|| format!("{option}: {value} is not a number"))
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn modes_and_lists() {
        let options = parse("--full --only small,idle --rounds 2 --interference 15 --resume").unwrap();
        assert_eq!(options.mode, Mode::Full);
        assert_eq!(options.only, ["small", "idle"]);
        assert_eq!(options.rounds, Some(2));
        assert!((options.interference - 0.15).abs() < 1e-9 && options.resume);
        assert_eq!(parse("").unwrap().mode, Mode::Quick);
        assert!(parse("--rounds").is_err() && parse("--rounds x").is_err() && parse("--fast").is_err());
    }
}
