//! The report of a run: Markdown with a table for each scenario, and plots.

pub mod chart;
mod plots;
pub mod svg;
pub mod table;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::machine::{self, Cores};
use crate::options::{Mode, Options};
use crate::prepare::{self, Skipped};
use crate::results::Results;
use crate::scenario::Scenario;
use crate::servers::Server;

/// What a report is made from.
pub struct Report<'a> {
    pub options: &'a Options,
    pub cores: Cores,
    pub servers: &'a [Server],
    pub skipped: &'a [Skipped],
    pub scenarios: &'a [Scenario],
    pub results: &'a Results,
    /// Only what was named was measured.
    pub partial: bool,
}

impl Report<'_> {
    pub fn write(&self, out: &Path) -> Result<()> {
        fs::create_dir_all(out)?;
        let plots = plots::write(out, self.servers, self.scenarios, self.results)?;
        let mut text = String::from("# Report of a run of the bench\n\n");
        text.push_str(&self.machine());
        text.push_str(&self.method());
        text.push_str(&table::summary(self.servers, self.results));
        text.push_str("\n## Scenarios\n");
        for scenario in self.scenarios {
            text.push_str(&table::scenario(scenario, self.servers, self.results));
            let own = |name: &str| name.strip_suffix(".svg") == Some(scenario.id.as_str());
            for (name, title) in plots.iter().filter(|(name, _)| own(name)) {
                let _ = writeln!(text, "\n![{title}]({name})");
            }
            if scenario.id == crate::scenario::last_wait() {
                for (name, title) in plots.iter().filter(|(name, _)| name.starts_with("wait-")) {
                    let _ = writeln!(text, "\n![{title}]({name})");
                }
            }
        }
        text.push_str(&self.configurations());
        fs::write(out.join("README.md"), text)?;
        eprintln!("wrote {}", out.join("README.md").display());
        Ok(())
    }

    fn machine(&self) -> String {
        let mut rows = vec![("date", said_by("date", &["-u", "+%Y-%m-%d"]))];
        rows.extend(machine::describe(self.cores));
        rows.push(("Rust", said_by("rustc", &["--version"])));
        rows.push(("C compiler", said_by("cc", &["--version"])));
        rows.push(("Python", said_by("python3", &["--version"])));
        let mode = match self.options.mode {
            Mode::Quick => "quick: some scenarios and servers, short windows, so the spread is wide",
            _ if self.partial => "some scenarios and servers",
            _ => "full",
        };
        rows.push(("run", mode.to_owned()));
        let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]);
        table::markdown(&["", ""], &rows.collect::<Vec<_>>())
    }

    fn method(&self) -> String {
        let limit = self.options.interference * 100.0;
        format!(
            "\nEach number is the median of the rounds, with the lowest and the highest in brackets; in a round \
             every server has its turn, as a fresh process. **CPU** is user and system time of the server's whole \
             process tree. A round in which others used more than {limit:.0} % of the cores' time is repeated, and \
             a server that had no quiet round, a wrong answer or an error is refused, with the reason below the \
             table. `x limit` is the ratio to the bare epoll loop in the same scenario, `x peer` to the best server \
             that is neither that nor ours nor the lesson's. *Starved* are connections that got no answer at all. \
             More on the method is in the README of the bench.\n"
        )
    }

    fn configurations(&self) -> String {
        let mut text = String::from("\n## Servers\n\n");
        let rows = self.servers.iter().map(|server| {
            let version =
                |name: &String| prepare::package_version(name).map(|version| format!("{name} {version}"));
            let versions: Vec<_> =
                server.apt.iter().filter_map(version).chain(server.pip.iter().cloned()).collect();
            vec![
                server.name.clone(),
                server.family.clone(),
                server.configuration.clone(),
                versions.join(", "),
            ]
        });
        text.push_str(&table::markdown(
            &["server", "family", "configuration", "packages"],
            &rows.collect::<Vec<_>>(),
        ));
        if !self.skipped.is_empty() {
            text.push_str("\nLeft out, because they could not be installed or built here:\n\n");
            for (server, why) in self.skipped {
                let _ = writeln!(text, "- {}: {why}", server.name);
            }
        }
        text
    }
}

/// The first line of what a program prints.
pub fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("none").to_owned()
}
