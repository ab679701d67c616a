//! Measures a node on Redis, and makes tables of it. It starts a server of Redis of its own, and itself again under
//! callgrind.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::path::Path;

use lexopt::{Arg, Parser, ValueExt};
use ssekit_benches::redis::counted::{self, Job};
use ssekit_benches::redis::measure::{self, What};
use ssekit_benches::redis::{Place, tables};
use ssekit_benches::report::{Report, between_markers};

const USAGE: &str = "\
usage:
  redis [--runs N] [--only WHAT]...
                                measures all, three times if not said, and writes the tables;
                                or only that, and prints it
  redis --job NAME URL EVENTS SUBSCRIBERS
                                does that once by the server there, for a profiler";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut args = Parser::from_env();
    let (mut runs, mut only) = (3, Vec::new());
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("job") => return job(args),
            Arg::Long("runs") => runs = args.value()?.parse()?,
            Arg::Long("only") => only.push(named(&What::ALL, &args.value()?.string()?)?),
            Arg::Long("help") => {
                println!("{USAGE}\nwhat:");
                What::ALL.iter().for_each(|(name, _)| println!("  {name}"));
                println!("jobs:");
                Job::ALL.iter().for_each(|(name, _)| println!("  {name}"));
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let place = Place::new()?;
    let mut report = Report::default();
    for n in 1..=runs {
        eprintln!("run {n} of {runs}");
        // Counts hardly differ.
        let is_of_run = |what| n == 1 || what != What::Instructions;
        report.runs.push(measure::run(&place, |what| is_of_run(what) && (only.is_empty() || only.contains(&what)))?);
    }
    let tables = tables::all(&report);
    println!("{tables}");
    if only.is_empty() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let text = between_markers(&fs::read_to_string(&path)?, "redis", &tables);
        fs::write(&path, text.ok_or("the README has no markers redis")?)?;
    }
    Ok(())
}

fn job(mut args: Parser) -> Result<()> {
    let job = named(&Job::ALL, &args.value()?.string()?)?;
    let (url, events, subscribers) = (args.value()?.string()?, args.value()?.parse()?, args.value()?.parse()?);
    Ok(counted::work(job, &url, events, subscribers)?)
}

fn named<T: Copy>(all: &[(&str, T)], name: &str) -> Result<T> {
    let found = all.iter().find(|(known, _)| *known == name);
    found.map(|(_, found)| *found).ok_or_else(|| format!("nothing is called {name}").into())
}
