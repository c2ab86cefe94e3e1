//! The measurements behind `docs/three-models.md`: each writes a CSV file, a Markdown table and
//! plots into `report/story`.

mod backlog;
mod slow;
mod waiting;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::machine::Cores;
use crate::options::Options;
use crate::prepare;
use crate::report::table::markdown;
use crate::results::Results;
use crate::servers::{Places, Server};

/// The lesson's two servers, and Transom as each of the three.
const SERVERS: [&str; 5] =
    ["lesson-sequential", "lesson-threads", "transom-sequential", "transom-threads", "transom-event"];

pub struct Story<'a> {
    options: &'a Options,
    places: &'a Places,
    cores: Cores,
    servers: Vec<Server>,
    out: PathBuf,
}

pub fn run(options: &Options, places: &Places, servers: Vec<Server>) -> Result<()> {
    let mut wanted = Vec::new();
    for name in SERVERS {
        let server = servers.iter().find(|server| server.name == name);
        wanted.push(server.with_context(|| format!("{name}: no such server"))?.clone());
    }
    let (servers, _) = prepare::all(wanted, places)?;
    let out = options.out.clone().unwrap_or_else(|| places.benches.join("report/story"));
    fs::create_dir_all(&out)?;
    let story = Story { options, places, cores: Cores::find()?, servers, out };
    type Part = fn(&Story) -> Result<()>;
    let parts = [("slow-clients", slow::run as Part), ("backlog", backlog::run), ("waiting", waiting::run)];
    for (name, part) in parts {
        if options.only.is_empty() || options.only.iter().any(|only| only == name) {
            eprintln!("story: {name}");
            part(&story).with_context(|| name.to_owned())?;
        }
    }
    eprintln!("wrote {}", story.out.display());
    Ok(())
}

/// Draws the line plots again from the measurements in `out`, if there are any.
pub fn redraw(servers: &[Server], out: &Path) -> Result<()> {
    let measurements = out.join(waiting::ROUNDS);
    if !measurements.is_file() {
        return Ok(());
    }
    let named = |name: &&str| servers.iter().find(|server| server.name == **name);
    let servers: Vec<_> = SERVERS.iter().filter_map(named).collect();
    waiting::plots(&servers, &Results::read(&measurements)?, out)
}

impl Story<'_> {
    fn server(&self, name: &str) -> Result<&Server> {
        self.servers.iter().find(|server| server.name == name).with_context(|| format!("{name} is not there"))
    }

    /// Writes a table as CSV and as Markdown, with a line of explanation above the latter.
    fn table(&self, name: &str, text: &str, header: &[&str], rows: &[Vec<String>]) -> Result<()> {
        let csv_line = |cells: Vec<String>| cells.join(",") + "\n";
        let mut csv = csv_line(header.iter().map(|cell| cell.replace(',', "")).collect());
        for row in rows {
            csv.push_str(&csv_line(row.iter().map(|cell| cell.replace(',', "")).collect()));
        }
        fs::write(self.out.join(format!("{name}.csv")), csv)?;
        fs::write(self.out.join(format!("{name}.md")), format!("{text}\n\n{}", markdown(header, rows)))?;
        Ok(())
    }

    fn plot(&self, name: &str, svg: &str) -> Result<()> {
        Ok(fs::write(self.out.join(format!("{name}.svg")), svg)?)
    }
}
