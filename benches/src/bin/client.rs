//! Measures clients, and makes tables of it. It starts itself again as the server, and as each of the clients.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};
use ssekit_benches::client::feed::{self, Feed};
use ssekit_benches::client::job::Job;
use ssekit_benches::client::measure::What;
use ssekit_benches::client::{CONTESTANTS, Contestant, measure, tables};
use ssekit_benches::process;
use ssekit_benches::report::{Report, between_markers};

#[macro_use]
#[path = "../../../testkit/src/alloc_count.rs"]
mod alloc_count;

count_allocations!();

const USAGE: &str = "\
usage:
  client [--runs N] [--quick] [--only WHAT]... [NAME...]
                                measures all, three times if not said, and writes the tables;
                                or quickly and roughly, or only that, of those names, and prints it
  client --server NAME [--cpu N]
                                is the server, whatever its name, until the standard input ends; prints
                                its address
  client --read NAME WORKLOAD WRITES MILLISECONDS ADDRESS
                                reads that for about so long; prints what each event takes
  client --once NAME WORKLOAD WRITES TIMES ADDRESS
                                reads that so many times over, for a profiler
  client --idle NAME STREAMS ADDRESS
                                has so many idle streams; prints what each takes";

/// How long reading takes.
const TIME: Duration = Duration::from_millis(250);
const QUICK: Duration = Duration::from_millis(25);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut args = Parser::from_env();
    let (mut runs, mut time) = (3, TIME);
    let (mut only, mut what) = (Vec::new(), Vec::new());
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("server") => return server(args),
            Arg::Long(job @ ("read" | "once" | "idle")) => {
                let job = job.to_owned();
                return client(&job, args);
            }
            Arg::Long("runs") => runs = args.value()?.parse()?,
            Arg::Long("quick") => (runs, time) = (1, QUICK),
            Arg::Long("only") => what.push(measurement(&args.value()?.string()?)?),
            Arg::Long("help") => {
                println!("{USAGE}\nwhat:");
                What::ALL.iter().for_each(|(name, _)| println!("  {name}"));
                println!("names:");
                CONTESTANTS.iter().for_each(|contestant| println!("  {}", contestant.name));
                return Ok(());
            }
            Arg::Value(name) => only.push(named(&name.string()?)?.name),
            other => return Err(other.unexpected().into()),
        }
    }
    measure(runs, time, &only, &what)
}

fn measure(runs: usize, time: Duration, only: &[&str], what: &[What]) -> Result<()> {
    let host = process::Host::new()?;
    let is_whole = only.is_empty() && what.is_empty() && time == TIME;
    let mut report = Report::default();
    for n in 1..=runs {
        eprintln!("run {n} of {runs}");
        let is_of = |contestant: &Contestant| only.is_empty() || only.contains(&contestant.name);
        let has = |one| match what {
            // Counts hardly differ, and take long.
            [] => one != What::Instructions || n == 1 && time == TIME,
            what => what.contains(&one),
        };
        report.runs.push(measure::run(&host, time, is_of, has)?);
    }
    let tables = tables::all(&report);
    println!("{tables}");
    if is_whole {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let text = between_markers(&fs::read_to_string(&path)?, "client", &tables);
        fs::write(&path, text.ok_or("the README has no markers client")?)?;
    }
    Ok(())
}

fn server(mut args: Parser) -> Result<()> {
    // There is but one.
    args.value()?;
    let mut cpu = None;
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("cpu") => cpu = Some(args.value()?.parse()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(process::be_server(cpu, |_| (), feed::serve)?)
}

fn client(job: &str, mut args: Parser) -> Result<()> {
    process::allow_connections()?;
    let contestant = named(&args.value()?.string()?)?;
    let job = if job == "idle" {
        Job::Idle(args.value()?.parse()?)
    } else {
        let (workload, writes) = (args.value()?.string()?, args.value()?.string()?);
        let number = args.value()?.parse()?;
        let times = if job == "once" { number } else { 1 };
        let feed = Feed::named(&workload, &writes, times);
        let feed = feed.ok_or_else(|| format!("there is no {workload} in writes called {writes}"))?;
        if job == "once" { Job::Once(feed) } else { Job::Read(feed, Duration::from_millis(number)) }
    };
    let figures = (contestant.run)(args.value()?.parse()?, job, |work| allocations(work).1)?;
    figures.iter().for_each(|(name, figure)| println!("{name} {figure}"));
    Ok(())
}

fn named(name: &str) -> Result<&'static Contestant> {
    Contestant::named(name).ok_or_else(|| format!("no contestant is called {name}").into())
}

fn measurement(name: &str) -> Result<What> {
    let known = What::ALL.iter().find(|(known, _)| *known == name);
    known.map(|(_, what)| *what).ok_or_else(|| format!("nothing that is measured is called {name}").into())
}
