//! The tables of a report.

use std::fmt::Write;

use super::svg::number;
use crate::results::Results;
use crate::scenario::{Kind, Scenario};
use crate::servers::Server;
use crate::stats::Spread;

/// Ours, and what is not a server that somebody would use instead.
const NOT_PEERS: [&str; 3] = ["transom", "lesson", "limit"];

/// A column: its title and how its cell is made.
struct Column {
    title: &'static str,
    cell: Cell,
}

enum Cell {
    /// A metric over a divisor, with its reach.
    Spread(&'static str, f64),
    /// Its median alone.
    Plain(&'static str, f64),
    /// In per cent.
    Percent(&'static str),
    /// Context switches of both kinds.
    Switches,
    ToLimit,
    ToPeer,
}

fn columns(scenario: &Scenario) -> Vec<Column> {
    use Cell::{Percent, Plain, Spread, Switches, ToLimit, ToPeer};
    let cells: Vec<(&str, Cell)> = match (&scenario.kind, scenario.group) {
        (Kind::Load(_), "wait") => vec![
            ("requests/s", Spread("rate", 1.0)),
            ("of the ideal", Percent("fraction")),
            ("x peer", ToPeer),
            ("p50 ms", Plain("p50_us", 1e3)),
            ("p99 ms", Spread("p99_us", 1e3)),
            ("CPU µs/request", Plain("cpu_us", 1.0)),
            ("peak MiB", Plain("peak_kib", 1024.0)),
            ("threads", Plain("threads", 1.0)),
            ("switches/request", Switches),
            ("starved", Plain("starved", 1.0)),
        ],
        (Kind::Load(_), "down" | "up" | "file") => vec![
            ("CPU µs/MiB", Spread("cpu_us_mib", 1.0)),
            ("x peer", ToPeer),
            ("MiB/s", Spread("mib_rate", 1.0)),
            ("answers/s", Plain("rate", 1.0)),
            ("p50 ms", Plain("p50_us", 1e3)),
            ("p99 ms", Plain("p99_us", 1e3)),
            ("switches/request", Switches),
            ("peak MiB", Plain("peak_kib", 1024.0)),
            ("starved", Plain("starved", 1.0)),
        ],
        (Kind::Load(_), "events") => vec![
            ("CPU µs/event", Spread("cpu_us", 1.0)),
            ("x peer", ToPeer),
            ("events/s", Plain("rate", 1.0)),
            ("of the ideal", Percent("fraction")),
            ("p50 ms", Plain("p50_us", 1e3)),
            ("p99 ms", Spread("p99_us", 1e3)),
            ("switches/event", Switches),
            ("threads", Plain("threads", 1.0)),
            ("peak MiB", Plain("peak_kib", 1024.0)),
        ],
        (Kind::Load(_), _) => vec![
            ("CPU µs/request", Spread("cpu_us", 1.0)),
            ("x limit", ToLimit),
            ("x peer", ToPeer),
            ("requests/s", Spread("rate", 1.0)),
            ("p50 ms", Plain("p50_us", 1e3)),
            ("p99 ms", Plain("p99_us", 1e3)),
            ("p99.9 ms", Plain("p999_us", 1e3)),
            ("switches/request", Switches),
            ("peak MiB", Plain("peak_kib", 1024.0)),
            ("starved", Plain("starved", 1.0)),
        ],
        (Kind::Idle { .. }, _) => vec![
            ("bytes/connection", Plain("idle_bytes", 1.0)),
            ("x peer", ToPeer),
            ("resident MiB in all", Plain("resident_kib", 1024.0)),
        ],
        (Kind::Slow(..), _) => vec![
            ("p99 ms beside slow", Spread("p99_slow_us", 1e3)),
            ("p99 ms alone", Spread("p99_alone_us", 1e3)),
            ("ratio", Spread("p99_ratio", 1.0)),
            ("p50 ms beside slow", Plain("p50_slow_us", 1e3)),
            ("p50 ms alone", Plain("p50_alone_us", 1e3)),
            ("slow ones put out", Plain("slow_closed", 1.0)),
            ("peak MiB", Plain("peak_kib", 1024.0)),
        ],
        (Kind::Start, _) => vec![
            ("ms to the first connection", Spread("start_ms", 1.0)),
            ("binary MiB", Plain("binary_kib", 1024.0)),
            ("crates", Plain("crates", 1.0)),
            ("clean build s", Plain("build_s", 1.0)),
        ],
    };
    cells.into_iter().map(|(title, cell)| Column { title, cell }).collect()
}

/// The section of a scenario: its table and its refusals.
pub fn scenario(scenario: &Scenario, servers: &[Server], results: &Results) -> String {
    let id = scenario.id.as_str();
    let primary =
        |server: &&Server| results.get(id, &server.name, scenario.primary).map(|spread| spread.median);
    let mut ranked: Vec<_> = servers.iter().filter(|server| primary(server).is_some()).collect();
    ranked.sort_by(|a, b| primary(a).unwrap_or_default().total_cmp(&primary(b).unwrap_or_default()));
    if scenario.most_is_best() {
        ranked.reverse();
    }
    let refused: Vec<_> = servers
        .iter()
        .filter_map(|server| Some((&server.name, results.refusal(id, &server.name)?)))
        .collect();
    if ranked.is_empty() && refused.is_empty() {
        return String::new();
    }
    let columns = columns(scenario);
    let limit = results.get(id, "limit", scenario.primary).map(|spread| spread.median);
    let peer = ranked.iter().find(|server| !NOT_PEERS.contains(&server.family.as_str())).and_then(primary);
    let cell = |server: &Server, column: &Column| -> String {
        let get = |metric: &str| results.get(id, &server.name, metric);
        let ratio = |to: Option<f64>| Some(number(get(scenario.primary)?.median / to?));
        let text = match &column.cell {
            Cell::Spread(metric, divisor) => get(metric).map(|spread| reach(spread, *divisor)),
            Cell::Plain(metric, divisor) => get(metric).map(|spread| number(spread.median / divisor)),
            Cell::Percent(metric) => get(metric).map(|spread| format!("{:.1} %", spread.median * 100.0)),
            Cell::Switches => get("voluntary")
                .zip(get("involuntary"))
                .map(|(own, forced)| number(own.median + forced.median)),
            Cell::ToLimit => ratio(limit),
            Cell::ToPeer => ratio(peer),
        };
        text.unwrap_or_default()
    };
    let mut header = vec!["server"];
    header.extend(columns.iter().map(|column| column.title));
    let rows = ranked.iter().map(|server| {
        let name =
            if server.family == "transom" { format!("**{}**", server.name) } else { server.name.clone() };
        std::iter::once(name).chain(columns.iter().map(|column| cell(server, column))).collect()
    });
    let mut text = format!("\n### {}: {}\n\n", scenario.id, scenario.title);
    text.push_str(&markdown(&header, &rows.collect::<Vec<_>>()));
    if !refused.is_empty() {
        text.push_str("\nRefused:\n\n");
        for (name, why) in refused {
            let _ = writeln!(text, "- {name}: {why}");
        }
    }
    text
}

/// The main figures of every server, for who reads one table only.
pub fn summary(servers: &[Server], results: &Results) -> String {
    const MAIN: [(&str, &str, &str, f64); 9] = [
        ("small-64", "cpu_us", "small, CPU µs", 1.0),
        ("browser-64", "cpu_us", "browser, CPU µs", 1.0),
        ("pipelined-16", "cpu_us", "pipelined, CPU µs", 1.0),
        ("close-64", "cpu_us", "new connection, CPU µs", 1.0),
        ("down-1m", "cpu_us_mib", "1 MiB down, CPU µs/MiB", 1.0),
        ("up-1m", "cpu_us_mib", "1 MiB up, CPU µs/MiB", 1.0),
        ("wait-1000", "rate", "1,000 waiting, requests/s", 1.0),
        ("wait-1000", "p99_us", "and p99 ms", 1e3),
        ("idle-10000", "idle_bytes", "bytes/idle connection", 1.0),
    ];
    let value = |server: &Server, at: usize| -> Option<f64> {
        let (scenario, metric, _, divisor) = MAIN[at];
        Some(results.get(scenario, &server.name, metric)?.median / divisor)
    };
    let shown: Vec<_> =
        (0..MAIN.len()).filter(|&at| servers.iter().any(|server| value(server, at).is_some())).collect();
    if shown.is_empty() {
        return String::new();
    }
    let mut ranked: Vec<_> =
        servers.iter().filter(|server| shown.iter().any(|&at| value(server, at).is_some())).collect();
    ranked.sort_by(|a, b| {
        let first = |server: &Server| value(server, shown[0]).unwrap_or(f64::INFINITY);
        first(a).total_cmp(&first(b))
    });
    let mut header = vec!["server"];
    header.extend(shown.iter().map(|&at| MAIN[at].2));
    let rows = ranked.iter().map(|server| {
        let name =
            if server.family == "transom" { format!("**{}**", server.name) } else { server.name.clone() };
        let cells = shown.iter().map(|&at| {
            let starved =
                results.get(MAIN[at].0, &server.name, "starved").is_some_and(|spread| spread.median > 0.0);
            let mark = if starved { " \\*" } else { "" };
            value(server, at).map(|value| number(value) + mark).unwrap_or_default()
        });
        std::iter::once(name).chain(cells).collect()
    });
    let table = markdown(&header, &rows.collect::<Vec<_>>());
    format!(
        "\n## Summary\n\n{table}\n\\* Some connections got no answer at all; the figure is of those that did.\n"
    )
}

/// `median (lowest-highest)`.
fn reach(spread: Spread, divisor: f64) -> String {
    let median = number(spread.median / divisor);
    let (low, high) = (number(spread.low / divisor), number(spread.high / divisor));
    if spread.count < 2 || low == high { median } else { format!("{median} ({low}-{high})") }
}

pub fn markdown(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", header.join(" | "), "---|".repeat(header.len()));
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_reaches() {
        let spread = Spread { median: 2000.0, low: 1500.0, high: 2500.0, count: 3 };
        assert_eq!(reach(spread, 1e3), "2 (1.5-2.5)");
        assert_eq!(reach(Spread { count: 1, ..spread }, 1.0), "2,000");
        assert_eq!(
            markdown(&["a", "b"], &[vec!["x|y".into(), "1".into()]]),
            "| a | b |\n|---|---|\n| x\\|y | 1 |\n"
        );
    }
}
