//! Measures servers of events, and makes tables of it. It starts itself again as each of the servers.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::path::Path;

use lexopt::{Arg, Parser, ValueExt};
use ssekit_benches::process;
use ssekit_benches::report::{Report, between_markers};
use ssekit_benches::serve::{CONTESTANTS, Contestant, Setup, measure, tables};

const USAGE: &str = "\
usage:
  serve [--runs N] [NAME...]    measures all, three times if not said, and writes the tables;
                                or only those of these names, and prints them
  serve --server NAME [--more-routes N] [--make-service] [--cpu N]
                                is that server until the standard input ends; prints its address
  serve --load NAME ADDRESS CONNECTIONS EVENTS
                                loads that server; checks that each connection gets so many events
names:";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut args = Parser::from_env();
    let mut runs = 3;
    let mut only = Vec::new();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("server") => return server(args),
            Arg::Long("load") => return load(args),
            Arg::Long("runs") => runs = args.value()?.parse()?,
            Arg::Long("help") => {
                println!("{USAGE}");
                CONTESTANTS.iter().for_each(|contestant| println!("  {}", contestant.name));
                return Ok(());
            }
            Arg::Value(name) => only.push(named(&name.string()?)?.name),
            other => return Err(other.unexpected().into()),
        }
    }
    measure(runs, &only)
}

fn measure(runs: usize, only: &[&str]) -> Result<()> {
    process::allow_connections()?;
    let host = process::Host::new()?;
    let mut report = Report::default();
    for n in 1..=runs {
        eprintln!("run {n} of {runs}");
        report.runs.push(measure::run(&host, |contestant| only.is_empty() || only.contains(&contestant.name))?);
    }
    let tables = tables::all(&report);
    println!("{tables}");
    if only.is_empty() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let text = between_markers(&fs::read_to_string(&path)?, "serving", &tables);
        fs::write(&path, text.ok_or("the README has no markers serving")?)?;
    }
    Ok(())
}

fn server(mut args: Parser) -> Result<()> {
    let contestant = named(&args.value()?.string()?)?;
    let (mut setup, mut cpu) = (Setup::default(), None);
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("more-routes") => setup.more_routes = args.value()?.parse()?,
            Arg::Long("make-service") => setup.is_made = true,
            Arg::Long("cpu") => cpu = Some(args.value()?.parse()?),
            other => return Err(other.unexpected().into()),
        }
    }
    // It is told nothing.
    Ok(process::be_server(cpu, |_| (), |listener| (contestant.serve)(listener, setup))?)
}

fn load(mut args: Parser) -> Result<()> {
    let contestant = named(&args.value()?.string()?)?;
    let (address, connections, events) = (args.value()?.parse()?, args.value()?.parse()?, args.value()?.parse()?);
    Ok(measure::load(address, contestant, connections, events)?)
}

fn named(name: &str) -> Result<&'static Contestant> {
    Contestant::named(name).ok_or_else(|| format!("no contestant is called {name}").into())
}
