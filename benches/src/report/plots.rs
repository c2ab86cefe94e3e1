//! The plots of a report.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::chart::{Bar, Bars, Line, Lines, Role};
use crate::results::Results;
use crate::scenario::{Kind, Scenario, WAITING, last_wait};
use crate::servers::Server;

/// Families of servers, their colours and names.
const FAMILIES: [(&str, &str, &str); 6] = [
    ("transom", "#d55e00", "Transom"),
    ("limit", "#222222", "the limit"),
    ("lesson", "#999999", "the lesson's servers"),
    ("rust", "#0072b2", "Rust"),
    ("c", "#009e73", "C"),
    ("python", "#e69f00", "Python"),
];

/// The peers whose lines are in colour: two for each language, the ones that most readers know.
const PEERS: [&str; 6] = ["hyper", "axum", "microhttpd", "evhttp", "granian-asgi", "uvicorn"];

/// The servers of the README's picture, by name.
const README: [&str; 16] = [
    "transom-event",
    "transom-c",
    "transom-python",
    "hyper",
    "axum",
    "actix-web",
    "nginx",
    "h2o",
    "microhttpd",
    "evhttp",
    "civetweb",
    "bjoern",
    "granian-asgi",
    "uvicorn",
    "aiohttp",
    "http.server",
];

/// Writes every plot that has data; their file names and titles.
pub fn write(
    out: &Path,
    servers: &[Server],
    scenarios: &[Scenario],
    results: &Results,
) -> Result<Vec<(String, String)>> {
    let mut written = Vec::new();
    let mut save = |name: String, title: &str, svg: String| -> Result<()> {
        fs::write(out.join(&name), svg)?;
        written.push((name, title.to_owned()));
        Ok(())
    };
    for scenario in scenarios {
        let (metric, unit, logarithmic) = match (&scenario.kind, scenario.group) {
            (Kind::Load(_), "wait") | (Kind::Slow(..) | Kind::Start, _) => continue,
            (Kind::Load(_), "down" | "up" | "file") => ("cpu_us_mib", "CPU microseconds per MiB", false),
            (Kind::Load(_), "events") => ("cpu_us", "CPU microseconds per event to one client", false),
            (Kind::Load(_), _) => ("cpu_us", "CPU microseconds per request, user and system", false),
            (Kind::Idle { .. }, _) => ("idle_bytes", "resident bytes per idle connection, logarithmic", true),
        };
        let title = &scenario.title;
        if let Some(svg) = bars(title, unit, logarithmic, servers, results, &scenario.id, metric, 1.0) {
            save(format!("{}.svg", scenario.id), title, svg)?;
        }
    }
    let title = "CPU of the server for a small request, 64 connections";
    let axis = "microseconds per request, user and system";
    let chosen: Vec<_> =
        servers.iter().filter(|server| README.contains(&server.name.as_str())).cloned().collect();
    if let Some(svg) = bars(title, axis, false, &chosen, results, "small-64", "cpu_us", 1.0) {
        save("cpu-per-request.svg".into(), title, svg)?;
    }
    let most = last_wait();
    let title = "Peak memory with 10,000 connections whose handlers wait 10 ms";
    let axis = "resident MiB, logarithmic";
    if let Some(svg) = bars(title, axis, true, servers, results, &most, "peak_kib", 1024.0) {
        save("wait-memory.svg".into(), title, svg)?;
    }
    let waits = [
        (
            "wait-rate.svg",
            "A handler that waits 10 ms: requests per second",
            "rate",
            "requests per second",
            1.0,
        ),
        (
            "wait-p99.svg",
            "A handler that waits 10 ms: the slowest in a hundred of the answers that came",
            "p99_us",
            "99th percentile, ms",
            1e3,
        ),
    ];
    for (name, title, metric, unit, divisor) in waits {
        let lines = waiting(servers, results, metric, divisor);
        if !lines.is_empty() {
            let chart = Lines { title, x: "connections", y: unit, log_x: true, log_y: true, lines };
            save(name.into(), title, chart.draw())?;
        }
    }
    Ok(written)
}

#[expect(clippy::too_many_arguments, reason = "a chart has that many properties")]
fn bars(
    title: &str,
    axis: &str,
    logarithmic: bool,
    servers: &[Server],
    results: &Results,
    scenario: &str,
    metric: &str,
    divisor: f64,
) -> Option<String> {
    let colour = |family: &str| {
        FAMILIES.iter().find(|(name, ..)| *name == family).map_or("#555555", |(_, colour, _)| *colour)
    };
    let mut bars: Vec<_> = servers
        .iter()
        .filter_map(|server| {
            let spread = results.get(scenario, &server.name, metric)?;
            Some(Bar {
                label: server.name.clone(),
                value: spread.median / divisor,
                low: spread.low / divisor,
                high: spread.high / divisor,
                colour: colour(&server.family),
            })
        })
        .collect();
    if bars.is_empty() {
        return None;
    }
    bars.sort_by(|a, b| a.value.total_cmp(&b.value));
    let present = |family: &str| {
        servers.iter().any(|server| server.family == family && results.has(scenario, &server.name))
    };
    let legend =
        FAMILIES.iter().filter(|(family, ..)| present(family)).map(|(_, colour, name)| (*colour, *name));
    Some(Bars { title, axis, logarithmic, bars, legend: legend.collect() }.draw())
}

/// A line for each server.
fn waiting(servers: &[Server], results: &Results, metric: &str, divisor: f64) -> Vec<Line> {
    servers
        .iter()
        .map(|server| {
            let points = WAITING.iter().filter_map(|connections| {
                let spread = results.get(&format!("wait-{connections}"), &server.name, metric)?;
                Some((*connections as f64, spread.median / divisor))
            });
            Line {
                label: server.name.clone(),
                points: points.filter(|(_, value)| *value > 0.0).collect(),
                dashed: server.family == "lesson",
                role: match server.family.as_str() {
                    "transom" => Role::Ours,
                    _ if PEERS.contains(&server.name.as_str()) => Role::Peer,
                    _ => Role::Other,
                },
            }
        })
        .filter(|line| !line.points.is_empty())
        .collect()
}
