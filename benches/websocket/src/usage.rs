//! The CPU time and the memory of a process and its children.

use std::fs;

use anyhow::{Context as _, Result};

/// The process and all below it.
fn tree(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    found
}

/// Returns the CPU time of all threads, in nanoseconds. Threads that have ended are missing.
pub fn cpu(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for pid in tree(pid) {
        for task in fs::read_dir(format!("/proc/{pid}/task")).context("the server is gone")? {
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            sum += text.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(sum)
}

/// Returns the bytes of memory that are not shared with other processes.
pub fn memory(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for pid in tree(pid) {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("the server is gone")?;
        let private = text.lines().filter(|line| line.starts_with("Private_"));
        sum += private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum::<u64>();
    }
    Ok(sum * 1024)
}
