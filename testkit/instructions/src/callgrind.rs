//! Runs workloads of this program under callgrind.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::Workload;

/// The instructions for one event of each workload. Runs as many workloads at once as the machine has cores.
pub(crate) fn count_all(workloads: &[Workload]) -> Result<Vec<(&'static str, f64)>, String> {
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(workload) = workloads.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let count = count(workload).map(|count| (workload.name, count));
                    counts.lock().unwrap_or_else(|error| error.into_inner()).push(count);
                }
            });
        }
    });
    counts.into_inner().unwrap_or_else(|error| error.into_inner()).into_iter().collect()
}

fn count(workload: &Workload) -> Result<f64, String> {
    let short = collected(workload.name, workload.warm_up)?;
    let long = collected(workload.name, workload.warm_up + workload.measured)?;
    let events = f64::from(workload.measured) * f64::from(workload.events);
    Ok((long as f64 - short as f64) / events)
}

fn collected(name: &str, rounds: u32) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| format!("path of this program: {error}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", name, &rounds.to_string()])
        // The environment is on the stack and can move what lies there.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let report = String::from_utf8_lossy(&output.stderr);
    let count = output.status.success().then(|| parse_collected(&report)).flatten();
    count.ok_or_else(|| format!("callgrind counted nothing for {name:?}:\n{report}"))
}

fn parse_collected(report: &str) -> Option<u64> {
    let (_, count) = report.lines().find_map(|line| line.split_once("Collected :"))?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_found_in_report_of_callgrind() {
        let report = "==7== \n==7== Events    : Ir\n==7== Collected : 123456\n==7== \n";
        assert_eq!(parse_collected(report), Some(123_456));
        assert_eq!(parse_collected("==7== Events    : Ir"), None);
    }
}
