//! The machine that measures: its cores, its limits, and what else runs on it.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The kernel's unit of CPU time in /proc/stat: USER_HZ, 100 a second on every Linux.
const TICKS: f64 = 100.0;

/// The cores of a run. With one core both are the same.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    pub server: usize,
    pub load: usize,
}

impl Cores {
    pub fn find() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let cores: Vec<_> = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect();
        let server = *cores.first().context("no core to run on")?;
        Ok(Self { server, load: *cores.get(1).unwrap_or(&server) })
    }

    pub fn shared(&self) -> bool {
        self.server == self.load
    }

    pub fn count(&self) -> usize {
        if self.shared() { 1 } else { 2 }
    }
}

/// Pins the calling thread, and what it starts from now on, to a core.
pub fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).context("pin to a core")
}

/// Runs `action` pinned to a core, so that a process that it starts is.
pub fn pinned<T>(core: usize, action: impl FnOnce() -> T) -> Result<T> {
    let before = sched_getaffinity(None)?;
    pin(core)?;
    let value = action();
    sched_setaffinity(None, &before)?;
    Ok(value)
}

/// Raises the limit of open files as far as it goes, for this process and its children.
pub fn raise_open_files() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// Seconds that the two cores have been busy with anything, and that were stolen from them.
pub fn busy(cores: Cores) -> Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let wanted = [format!("cpu{}", cores.server), format!("cpu{}", cores.load)];
    Ok(busy_ticks(&text, &wanted) / TICKS)
}

/// Waits until the cores are busy with less than this share, or for as long as `most`; how long.
pub fn wait_for_quiet(cores: Cores, share: f64, most: Duration) -> Duration {
    const LOOK: Duration = Duration::from_millis(200);
    let began = Instant::now();
    while began.elapsed() + LOOK <= most {
        let before = busy(cores).unwrap_or_default();
        sleep(LOOK);
        let used = busy(cores).unwrap_or_default() - before;
        if used / LOOK.as_secs_f64() / cores.count() as f64 <= share {
            break;
        }
    }
    began.elapsed()
}

fn busy_ticks(stat: &str, cores: &[String]) -> f64 {
    let lines = stat.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let wanted =
        lines.filter(|words| words.first().is_some_and(|name| cores.iter().any(|core| core == name)));
    // user nice system idle iowait irq softirq steal: all but idle and iowait.
    let busy = |words: &[&str]| -> f64 {
        let at = [1, 2, 3, 6, 7, 8];
        at.iter().filter_map(|&at| words.get(at)?.parse::<f64>().ok()).sum()
    };
    wanted.map(|words| busy(&words)).sum()
}

/// What a report says of the machine, line by line.
pub fn describe(cores: Cores) -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim()).to_owned()
    };
    let cpuinfo = read("/proc/cpuinfo");
    let processors = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let virtual_machine = field(&cpuinfo, "flags").split(' ').any(|flag| flag == "hypervisor");
    let pinned = if cores.shared() {
        "one core only: server and load share it, so rates and latencies say little".to_owned()
    } else {
        format!("server on core {}, load on core {}", cores.server, cores.load)
    };
    let sysctl = |name: &str| format!("{name} = {}", read(&format!("/proc/sys/{}", name.replace('.', "/"))));
    let kernel = ["net.core.somaxconn", "net.ipv4.tcp_max_syn_backlog", "net.ipv4.tcp_abort_on_overflow"];
    vec![
        ("CPU", field(&cpuinfo, "model name") + if virtual_machine { ", a virtual machine" } else { "" }),
        ("cores", format!("{processors}; {pinned}")),
        ("memory", field(&read("/proc/meminfo"), "MemTotal")),
        ("kernel", read("/proc/sys/kernel/osrelease").split('-').next().unwrap_or_default().to_owned()),
        ("settings", kernel.map(sysctl).join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_leaves_idle_out() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 1000 500 4 5 6 0 0\ncpu1 1 0 0 7 7 0 0 0 0 0\ncpu10 50 0 0 0 0 0 0 0\n";
        assert!((busy_ticks(stat, &["cpu0".into(), "cpu1".into()]) - 22.0).abs() < 1e-9);
    }
}
