//! The process itself, under the names that every Prometheus client uses, read from `/proc`.
//!
//! Read here rather than by the client library, whose reader would bring in three crates for seven numbers.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::pulled::{Pulled, Samples, Shape, only};

pub(super) fn collector() -> Pulled {
    let shapes = vec![
        Shape::process("open_fds", "Number of open file descriptors."),
        Shape::process("max_fds", "Maximum number of open file descriptors."),
        Shape::process("cpu_seconds_total", "Total user and system CPU time spent in seconds."),
        Shape::process("threads", "Number of OS threads in the process."),
        Shape::process("start_time_seconds", "Start time of the process since unix epoch in seconds."),
        Shape::process("virtual_memory_bytes", "Virtual memory size in bytes."),
        Shape::process("resident_memory_bytes", "Resident memory size in bytes."),
    ];
    Pulled::new(shapes, || {
        let mut read = vec![open_files().map_or_else(Vec::new, only), file_limit().map_or_else(Vec::new, only)];
        read.extend(stat().unwrap_or_default());
        read
    })
}

fn open_files() -> Option<f64> {
    // One of them is the folder that is being read.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

fn file_limit() -> Option<f64> {
    getrlimit(Resource::Nofile).current.map(|limit| limit as f64)
}

/// CPU time, threads, start, virtual and resident memory, from `/proc/self/stat` (proc_pid_stat(5)).
fn stat() -> Option<[Samples; 5]> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    // The program's name, in parentheses, may hold anything; what follows its last one is fields from the third on.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().map(|field| field.parse::<f64>().unwrap_or(0.0));
    let (user, system) = (fields.nth(14 - 3)?, fields.next()?);
    let (threads, started) = (fields.nth(20 - 16)?, fields.nth(22 - 21)?);
    let (virtual_bytes, resident_pages) = (fields.next()?, fields.next()?);
    Some([
        only((user + system) / ticks),
        only(threads),
        only(boot_time()? + started / ticks),
        only(virtual_bytes),
        only(resident_pages * rustix::param::page_size() as f64),
    ])
}

/// When the system started, Unix time in seconds.
fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime ")).and_then(|seconds| seconds.trim().parse().ok())
}
