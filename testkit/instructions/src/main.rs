//! Counts the CPU instructions that ssekit needs for fixed workloads, by callgrind, and compares them with `counts.txt`.
//!
//! `scripts/instructions` builds and runs this program. Each count is the difference between a long run and a short run
//! of one workload, divided by the number of extra events. Start-up and warm-up are in both runs and cancel out.

#![forbid(unsafe_code)]

mod body;
mod callgrind;
mod counts;
mod decode;
mod encode;
mod hub;
mod streams;

use std::path::Path;
use std::process::ExitCode;

use counts::{Counts, Environment};

/// The committed counts.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.txt");

const USAGE: &str = "\
usage: instructions                  counts all workloads and compares them with counts.txt
       instructions --print          only counts
       instructions --update         counts, and writes counts.txt
       instructions run NAME ROUNDS  runs one workload, for callgrind";

/// A fixed piece of work.
struct Workload {
    name: &'static str,
    /// The number of events in one round.
    events: u32,
    /// The number of rounds in the short run. They fill buffers and logs.
    warm_up: u32,
    /// The number of rounds that the long run adds.
    measured: u32,
    run: fn(rounds: u32),
}

fn workloads() -> impl Iterator<Item = Workload> {
    decode::WORKLOADS.into_iter().chain(encode::WORKLOADS).chain(body::WORKLOADS).chain(hub::WORKLOADS)
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        [] => compare(),
        ["--print"] => count().map(|counts| print!("{counts}")),
        ["--update"] => count().and_then(|counts| counts.write(Path::new(FILE))),
        ["run", name, rounds] => run(name, rounds),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, rounds: &str) -> Result<(), String> {
    let workload = workloads().find(|workload| workload.name == name).ok_or_else(|| format!("no workload {name:?}"))?;
    let rounds = rounds.parse().map_err(|error| format!("rounds {rounds:?}: {error}"))?;
    (workload.run)(rounds);
    Ok(())
}

fn count() -> Result<Counts, String> {
    let mut counts = Counts::new(Environment::current()?);
    for (name, count) in callgrind::count_all(&workloads().collect::<Vec<_>>())? {
        counts.insert(name, count);
    }
    Ok(counts)
}

fn compare() -> Result<(), String> {
    let committed = Counts::read(Path::new(FILE))?;
    let current = count()?;
    println!("{}", current.table(&committed));
    if current.environment != committed.environment {
        // `scripts/test` looks for this line.
        println!("skipped: instructions: counts.txt is from another environment");
        println!("  counts.txt: {}", committed.environment);
        println!("  here:       {}", current.environment);
        return Ok(());
    }
    match current.failures(&committed) {
        failures if failures.is_empty() => Ok(()),
        failures => Err(failures.join("\n")),
    }
}
