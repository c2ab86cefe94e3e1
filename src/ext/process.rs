//! Process: metrics of the process, as Linux tells them.

use std::fs;

use super::value::{MetricKind, MetricValue};

/// The unit of the times in `/proc/self/stat` (`USER_HZ`, time(7)). It is part of Linux's interface to
/// programs on x86, ARM, RISC-V, POWER and s390x, whatever the kernel's own ticks are.
const TICKS_PER_SECOND: f64 = 100.0;

/// The metrics of the process: name, kind, unit, meaning.
pub(super) const FAMILIES: [(&str, MetricKind, &str, &str); 3] = [
    ("process.resident_memory", MetricKind::Gauge, "By", "Resident memory of the process."),
    ("process.cpu", MetricKind::Counter, "s", "CPU time of the process, user and system."),
    ("process.start_time", MetricKind::Gauge, "s", "The start of the process, since the Unix epoch."),
];

/// Returns the metrics of the process. None on systems without Linux's `/proc`.
pub(super) fn values() -> Vec<MetricValue> {
    let read = || Some([resident_memory()?, cpu_seconds()?, start_time()?]);
    let values = read().into_iter().flatten();
    FAMILIES
        .into_iter()
        .zip(values)
        .map(|((name, kind, unit, description), value)| MetricValue {
            name,
            description,
            unit,
            kind,
            label: None,
            value,
        })
        .collect()
}

fn resident_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn cpu_seconds() -> Option<f64> {
    Some((field(14)? + field(15)?) / TICKS_PER_SECOND)
}

/// Returns the start in whole seconds: the system tells its own start no finer.
fn start_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some((boot + field(22)? / TICKS_PER_SECOND).floor())
}

/// Returns a field of `/proc/self/stat` (proc(5)), of which the first is number 1.
fn field(number: usize) -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program is the second, and may hold spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn the_process_is_told_of() {
        let values = values();
        let [memory, cpu, start] = &values[..] else { panic!("{values:?}") };
        assert!(memory.value > 1e5 && memory.value < 1e12, "{memory:?}");
        assert!(cpu.value >= 0.0 && cpu.value < 1e6, "{cpu:?}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(start.value > now - 1e5 && start.value < now + 2.0, "{start:?} {now}");
    }
}
