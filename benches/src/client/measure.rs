//! The measurements of a client, as figures of one run.

use std::env;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::feed::{Feed, WORKLOADS, Writes};
use super::{CONTESTANTS, Contestant, Gives};
use crate::process::{Host, wrong};
use crate::report::Figures;
use crate::report::count::parse_collected;

/// The number of idle streams.
pub const IDLE: usize = 200;
/// The workload of lone events.
pub const LONE: &str = "openai";
/// The feeds for which instructions are counted.
pub const COUNTED: [(&str, Writes); 3] =
    [("openai", Writes::Large), ("ticks", Writes::Large), ("openai", Writes::Each)];
/// Returns the feeds that are read as fast as possible.
pub fn fast() -> Vec<(&'static str, Writes)> {
    let with = |writes| WORKLOADS.map(|workload| (workload, writes));
    [Writes::Large, Writes::Each].into_iter().flat_map(with).collect()
}

/// The repetitions of the two counted runs, whose difference is the result.
const COUNTED_TIMES: [u64; 2] = [1, 5];

/// A kind of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Fast,
    Lone,
    Idle,
    Instructions,
}

impl What {
    pub const ALL: [(&str, Self); 4] =
        [("fast", Self::Fast), ("lone", Self::Lone), ("idle", Self::Idle), ("instructions", Self::Instructions)];
}

/// Returns the ID of a figure: one of [`FIGURES`](super::job::FIGURES), or `instructions`.
pub fn id(figure: &str, workload: &str, writes: Writes, contestant: &str) -> String {
    format!("{figure}/{workload}/{writes}/{contestant}")
}

/// Measures the chosen contestants once. Each feed is read for about `time`.
///
/// # Errors
///
/// The errors of the processes, and wrong totals of a client.
pub fn run(
    host: &Host,
    time: Duration,
    is_of: impl Fn(&Contestant) -> bool,
    has: impl Fn(What) -> bool,
) -> io::Result<Figures> {
    let server = host.start("feed", &[])?;
    let place = Place { program: env::current_exe()?, server: server.address };
    let contestants: Vec<_> = CONTESTANTS.iter().filter(|contestant| is_of(contestant)).collect();
    let mut figures = Figures::new();
    for (name, what) in What::ALL.into_iter().filter(|(_, what)| has(*what)) {
        eprintln!("  {name}");
        let feeds: Vec<_> = match what {
            What::Fast => fast(),
            What::Lone => vec![(LONE, Writes::Lone)],
            What::Idle => vec![(LONE, Writes::Idle)],
            What::Instructions => COUNTED.to_vec(),
        };
        for (workload, writes) in feeds {
            // One after the other, so that other load on the machine affects all of them.
            for contestant in &contestants {
                let feed = Feed { workload, writes, times: 1 };
                let of_feed = match what {
                    What::Fast | What::Lone => place.read(contestant, feed, time)?,
                    What::Idle => place.client(&["--idle", contestant.name, &IDLE.to_string()])?,
                    What::Instructions => place.count(contestant, feed)?,
                };
                let named = |(figure, value): (String, _)| (id(&figure, workload, writes, contestant.name), value);
                figures.extend(of_feed.into_iter().map(named));
            }
        }
    }
    server.stop()?;
    Ok(figures)
}

/// The program of the clients, and the address of their server.
struct Place {
    program: PathBuf,
    server: SocketAddr,
}

impl Place {
    fn read(&self, contestant: &Contestant, feed: Feed, time: Duration) -> io::Result<Figures> {
        let (writes, time) = (feed.writes.to_string(), time.as_millis().to_string());
        self.client(&["--read", contestant.name, feed.workload, &writes, &time])
    }

    /// Runs a client, and returns the figures that it prints.
    fn client(&self, args: &[&str]) -> io::Result<Figures> {
        let mut client = Command::new(&self.program);
        let output = client.args(args).arg(self.server.to_string()).stderr(Stdio::inherit()).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let figures = said.lines().map(|line| {
            let (name, figure) = line.split_once(' ')?;
            Some((name.to_owned(), figure.parse().ok()?))
        });
        let figures = figures.collect::<Option<Figures>>().filter(|_| output.status.success());
        figures.ok_or_else(|| wrong(format!("the client {args:?} has said {said:?}")))
    }

    /// Counts the instructions of a client, if valgrind is installed.
    fn count(&self, contestant: &Contestant, feed: Feed) -> io::Result<Figures> {
        let mut counts = [0.0; 2];
        for (count, times) in counts.iter_mut().zip(COUNTED_TIMES) {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(&self.program);
            valgrind.args(["--once", contestant.name, feed.workload, &feed.writes.to_string(), &times.to_string()]);
            let output = match valgrind.arg(self.server.to_string()).output() {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Figures::new()),
                output => output?,
            };
            let said = String::from_utf8_lossy(&output.stderr);
            let collected = parse_collected(&said).filter(|_| output.status.success());
            *count = collected.ok_or_else(|| wrong(format!("callgrind on {}: {said}", contestant.name)))?;
        }
        let events = feed.totals(Gives::Owned).events as f64 * (COUNTED_TIMES[1] - COUNTED_TIMES[0]) as f64;
        Ok(Figures::from([("instructions".to_owned(), (counts[1] - counts[0]) / events)]))
    }
}
