//! Measures servers of one publisher and many subscribers, and makes tables of it. It starts itself again as each of the
//! servers.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::path::Path;

use lexopt::{Arg, Parser, ValueExt};
use ssekit_benches::fanout::measure::What;
use ssekit_benches::fanout::{CONTESTANTS, Contestant, be_server, measure, tables};
use ssekit_benches::process;
use ssekit_benches::report::{Report, between_markers};

const USAGE: &str = "\
usage:
  fanout [--runs N] [--only WHAT]... [NAME...]
                                measures all, three times if not said, and writes the tables;
                                or only that, of those names, and prints it
  fanout --server NAME [--cpu N]
                                is that server until the standard input ends; prints its address; each
                                line, EVENTS RATE due|now, is published to who is there";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut args = Parser::from_env();
    let mut runs = 3;
    let (mut only, mut what) = (Vec::new(), Vec::new());
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("server") => return server(args),
            Arg::Long("runs") => runs = args.value()?.parse()?,
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
    measure(runs, &only, &what)
}

fn measure(runs: usize, only: &[&str], what: &[What]) -> Result<()> {
    process::allow_connections()?;
    let host = process::Host::new()?;
    let mut report = Report::default();
    for n in 1..=runs {
        eprintln!("run {n} of {runs}");
        let is_of = |contestant: &Contestant| only.is_empty() || only.contains(&contestant.name);
        report.runs.push(measure::run(&host, is_of, |one| what.is_empty() || what.contains(&one))?);
    }
    let tables = tables::all(&report);
    println!("{tables}");
    if only.is_empty() && what.is_empty() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let text = between_markers(&fs::read_to_string(&path)?, "fanout", &tables);
        fs::write(&path, text.ok_or("the README has no markers fanout")?)?;
    }
    Ok(())
}

fn server(mut args: Parser) -> Result<()> {
    let contestant = named(&args.value()?.string()?)?;
    let mut cpu = None;
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("cpu") => cpu = Some(args.value()?.parse()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(be_server(contestant, cpu)?)
}

fn measurement(name: &str) -> Result<What> {
    let what = What::ALL.iter().find(|(known, _)| *known == name);
    what.map(|(_, what)| *what).ok_or_else(|| format!("nothing to measure is called {name}").into())
}

fn named(name: &str) -> Result<&'static Contestant> {
    Contestant::named(name).ok_or_else(|| format!("no contestant is called {name}").into())
}
