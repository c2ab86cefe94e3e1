//! What a process and its descendants use, read from /proc and the CPU clocks.

use std::collections::HashMap;
use std::fs;
use std::time::Instant;

use nix::sys::time::TimeValLike;
use nix::time::ClockId;
use nix::unistd::Pid;

/// A moment's reading of a process and its descendants.
#[derive(Clone, Debug)]
pub struct Usage {
    pub at: Instant,
    /// Seconds, user and system, also of threads that have ended.
    pub cpu: f64,
    pub voluntary: u64,
    pub involuntary: u64,
    pub threads: u64,
    pub resident_kib: u64,
    /// The sum of each process's peak since it started.
    pub peak_kib: u64,
}

impl Usage {
    pub fn read(root: u32) -> Self {
        let at = Instant::now();
        let tree = tree(root);
        let mut usage = Self {
            at,
            cpu: tree.iter().map(|&pid| cpu_seconds(pid)).sum(),
            voluntary: 0,
            involuntary: 0,
            threads: 0,
            resident_kib: 0,
            peak_kib: 0,
        };
        for &pid in &tree {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            usage.threads += field(&status, "Threads:");
            usage.resident_kib += field(&status, "VmRSS:");
            usage.peak_kib += field(&status, "VmHWM:");
            for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
                let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
                usage.voluntary += field(&status, "voluntary_ctxt_switches:");
                usage.involuntary += field(&status, "nonvoluntary_ctxt_switches:");
            }
        }
        usage
    }
}

/// Resident bytes, counted page by page: slower than what `status` says, and exact.
pub fn resident_bytes(root: u32) -> u64 {
    let rollup = |pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    tree(root).into_iter().map(|pid| field(&rollup(pid), "Rss:") * 1024).sum()
}

/// CPU time of a process on its own clock, which counts nanoseconds where /proc/PID/stat counts
/// hundredths of a second. Zero when it has ended.
pub fn cpu_seconds(pid: u32) -> f64 {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid as i32));
    let time = clock.and_then(|clock| clock.now());
    time.map_or(0.0, |time| time.num_nanoseconds() as f64 / 1e9)
}

/// The process and all that descend from it.
fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(parent) = parent(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        found.extend(children.remove(&found[at]).unwrap_or_default());
        at += 1;
    }
    found
}

/// The parent in a line of /proc/PID/stat, whose second field may hold anything.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc() {
        assert_eq!(parent("12 (a) b) S 7 12 12"), Some(7));
        let status = "VmHWM:\t  300 kB\nnonvoluntary_ctxt_switches:\t9\nThreads:\t3\n";
        assert_eq!(field(status, "VmHWM:"), 300);
        assert_eq!(field(status, "voluntary_ctxt_switches:"), 0);
        assert_eq!(field(status, "nonvoluntary_ctxt_switches:"), 9);
    }

    #[test]
    fn this_process() {
        let usage = Usage::read(std::process::id());
        assert!(usage.cpu > 0.0 && usage.threads > 0 && usage.peak_kib >= usage.resident_kib, "{usage:?}");
        assert!(resident_bytes(std::process::id()) > 100_000);
    }
}
