//! One program, three models: what a hundred slow clients do to a fast one.

use anyhow::Result;

use super::Story;
use crate::load::Plan;
use crate::load::plan::Slow;
use crate::measure;
use crate::process::Running;
use crate::report::chart::{Bar, Bars};
use crate::report::svg::number;
use crate::scenario::head;

const SLOW: usize = 100;
/// Seconds that a slow client takes for its request head.
const DRIBBLE: f64 = 10.0;
const RATE: f64 = 20.0;
const TIMEOUT: f64 = 5.0;

pub fn run(story: &Story) -> Result<()> {
    let slow_head = head("GET", "/plain", "User-Agent: a client on a slow line\r\nAccept: */*\r\n");
    let fast = Plan {
        // As many as can be due until the first of them times out, and more.
        connections: (RATE * TIMEOUT) as usize * 2,
        fresh: true,
        rate: Some(RATE),
        head: head("GET", "/plain", "Connection: close\r\n"),
        expect: Some(5),
        warm: 3.0,
        seconds: story.options.seconds.unwrap_or(20.0),
        timeout: TIMEOUT,
        slow: Slow { clients: SLOW, pause: DRIBBLE / slow_head.len() as f64, head: slow_head },
        ..Plan::default()
    };
    let alone = Plan { slow: Slow::default(), warm: 0.5, seconds: fast.seconds.min(5.0), ..fast.clone() };
    let header = [
        "server",
        "requests due",
        "answered",
        "failed",
        "p50 ms",
        "p99 ms",
        "p99 ms without slow clients",
        "slow clients answered",
        "slow clients put out",
        "threads",
    ];
    let (mut rows, mut p99s, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for server in &story.servers {
        let quiet = {
            let running = Running::start(server, story.places, story.cores.server)?;
            measure::run(&running, &alone, story.cores)?.tally
        };
        let running = Running::start(server, story.places, story.cores.server)?;
        let sample = measure::run(&running, &fast, story.cores)?;
        let tally = &sample.tally;
        let lost = tally.due.saturating_sub(tally.answers);
        let ms = |micros: f64, answers: u64| if answers == 0 { "none".into() } else { number(micros / 1e3) };
        rows.push(vec![
            server.name.clone(),
            tally.due.to_string(),
            tally.answers.to_string(),
            lost.to_string(),
            ms(tally.p50_us, tally.answers),
            ms(tally.p99_us, tally.answers),
            ms(quiet.p99_us, quiet.answers),
            tally.slow_answered.to_string(),
            tally.slow_closed.to_string(),
            sample.threads.to_string(),
        ]);
        eprintln!("  {}", rows[rows.len() - 1].join(", "));
        let bar = |value: f64| Bar {
            label: server.name.clone(),
            value,
            low: value,
            high: value,
            colour: if server.family == "transom" { "#d55e00" } else { "#999999" },
        };
        failed.push(bar(lost as f64 / tally.due.max(1) as f64 * 100.0));
        if tally.answers > 0 {
            p99s.push(bar(tally.p99_us / 1e3));
        }
    }
    let text = format!(
        "{SLOW} clients send a request head over {DRIBBLE:.0} s each, a byte at a time, again and again. One more \
         client asks {RATE:.0} times a second on new connections, in an open loop: its latency counts from when \
         each request was due, and what is not answered within {TIMEOUT:.0} s has failed."
    );
    story.table("slow-clients", &text, &header, &rows)?;
    let legend = vec![("#999999", "the lesson's servers"), ("#d55e00", "Transom")];
    let charts = [
        (
            "slow-clients-p99",
            "A fast client beside 100 slow ones",
            "99th percentile of its answers, ms, logarithmic",
            true,
            p99s,
        ),
        (
            "slow-clients-failed",
            "A fast client beside 100 slow ones",
            "requests without an answer within 5 s, per cent",
            false,
            failed,
        ),
    ];
    for (name, title, axis, logarithmic, bars) in charts {
        story.plot(name, &Bars { title, axis, logarithmic, bars, legend: legend.clone() }.draw())?;
    }
    Ok(())
}
