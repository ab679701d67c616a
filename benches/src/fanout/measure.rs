//! What is measured of a server, each as figures of one run.

use std::hint::black_box;
use std::io::{self, ErrorKind};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::client::{Received, Subscribers};
use super::ladder::{Step, Tried, highest};
use super::publisher::{self, Job, Stamp};
use super::{CONTESTANTS, Contestant, OTHER_PATH, PATH};
use crate::Kind;
use crate::process::{Cpu, Host, Server, Under, waited, wrong};
use crate::report::Figures;
use crate::report::count::parse_collected;
use crate::serve::axum::block_on;

/// How many subscribers there are when the most is asked for.
pub const MANY: [usize; 2] = [1000, 5000];
/// How many there are when everyone keeps up, and how many events a second they get, for so many seconds.
pub const CALM: [(usize, f64, f64); 4] = [(1, 250.0, 4.0), (100, 100.0, 3.0), (CALM_MANY, 50.0, 4.0), (5000, 5.0, 3.0)];
/// With how many of them the CPU time is told.
pub const CALM_MANY: usize = 1000;
/// Of the times, so many of 1 take less.
pub const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];
/// How many subscribers are idle.
pub const IDLE: usize = 10_000;
/// How long the slowest of a hundred deliveries may take.
pub const LIMIT: Duration = Duration::from_millis(100);
/// How many subscribers there are while instructions are counted.
pub const COUNTED: usize = 50;

/// How many subscribers there are of something else while events are published that nobody gets.
pub const OTHERS: [usize; 2] = [0, 10_000];

/// How many events those are, after as many that do not count.
const PUBLISHED: u64 = 200_000;
/// The first rate that is tried, in deliveries a second.
const FIRST_RATE: f64 = 40_000.0;
const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_millis(1500);
/// From when on it does not matter any more whether something else has the CPU: with much else this would take for ever.
const SEARCH: Duration = Duration::from_secs(30);
/// For which part of the time something else may have the CPU of the server, or of the client, for a failure to count.
const DISTURBED: f64 = 0.02;
/// For how long a server has nothing to do when it is done. A thread that runs is charged for it more often.
const REST: Duration = Duration::from_millis(100);
/// How long a server may take for what it should have done already.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same where nothing is measured by it: under valgrind all takes long.
const MUCH_PATIENCE: Duration = Duration::from_secs(60);
/// What subscribers get before it counts: a server that has just started is none that runs.
const WARM_UP: u64 = 5;
const IDLE_WARM_UP: usize = 50;
/// How many events there are while instructions are counted, and that is less those of the first.
const COUNTED_EVENTS: [u64; 2] = [50, 250];

/// What there is to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Most,
    Calm,
    Instructions,
    Idle,
    Publishing,
}

impl What {
    pub const ALL: [(&str, Self); 5] = [
        ("most", Self::Most),
        ("calm", Self::Calm),
        ("instructions", Self::Instructions),
        ("idle", Self::Idle),
        ("publishing", Self::Publishing),
    ];

    fn measure(self) -> Measure {
        match self {
            Self::Most => most,
            Self::Calm => calm,
            Self::Instructions => instructions,
            Self::Idle => idle,
            Self::Publishing => publishing,
        }
    }
}

/// The time for each delivery when there are the most in a second, in ns.
pub fn most_id(subscribers: usize, contestant: &str) -> String {
    format!("most/{subscribers}/{contestant}")
}

/// The part of the time in which the client had its CPU then.
pub fn client_id(subscribers: usize, contestant: &str) -> String {
    format!("client/{subscribers}/{contestant}")
}

/// How many events were in a chunk then.
pub fn joined_id(subscribers: usize, contestant: &str) -> String {
    format!("joined/{subscribers}/{contestant}")
}

/// From an event's publishing to the reading of it, in ns, of which so many of 1 take less.
pub fn latency_id(subscribers: usize, quantile: f64, contestant: &str) -> String {
    format!("latency/{subscribers}/{quantile}/{contestant}")
}

/// The CPU time of the server for each delivery that is a write, in ns.
pub fn cpu_id(contestant: &str) -> String {
    format!("cpu/{contestant}")
}

/// The kernel's part in that, of 1.
pub fn system_id(contestant: &str) -> String {
    format!("system/{contestant}")
}

/// How many events were in a chunk then, which should be one.
pub fn calm_joined_id(contestant: &str) -> String {
    format!("calm-joined/{contestant}")
}

/// Instructions of the server's own for each delivery that is a write.
pub fn instructions_id(contestant: &str) -> String {
    format!("instructions/{contestant}")
}

/// Bytes for each idle subscriber.
pub fn idle_id(contestant: &str) -> String {
    format!("idle/{contestant}")
}

/// The CPU time for publishing an event that nobody gets, in ns, with so many subscribers of something else.
pub fn publishing_id(others: usize, contestant: &str) -> String {
    format!("publishing/{others}/{contestant}")
}

/// That, of those contestants, once.
///
/// # Errors
///
/// Those of the servers; that they do not send what they have to.
pub fn run(host: &Host, is_of: impl Fn(&Contestant) -> bool, has: impl Fn(What) -> bool) -> io::Result<Figures> {
    let mut figures = Figures::new();
    for contestant in CONTESTANTS.iter().filter(|contestant| is_of(contestant)) {
        for (name, what) in What::ALL.iter().filter(|(_, what)| has(*what)) {
            eprintln!("  {}, {name}", contestant.name);
            what.measure()(host, contestant, &mut figures)?;
        }
    }
    Ok(figures)
}

type Measure = fn(&Host, &Contestant, &mut Figures) -> io::Result<()>;

/// A server and its subscribers.
struct Session {
    server: Server,
    subscribers: Subscribers,
}

impl Session {
    fn start(host: &Host, contestant: &Contestant, subscribers: usize) -> io::Result<Self> {
        let server = host.start(contestant.name, &[])?;
        let subscribers = Subscribers::connect(server.address, PATH, subscribers)?;
        let mut session = Self { server, subscribers };
        session.publish(Job { events: WARM_UP, rate: 20.0, stamp: Stamp::Now }, MUCH_PATIENCE)?;
        Ok(session)
    }

    fn publish(&mut self, job: Job, patience: Duration) -> io::Result<Received> {
        self.server.say(&job.line())?;
        let time = Duration::from_secs_f64(job.events as f64 / job.rate);
        self.subscribers.receive(job.events, time + patience)
    }
}

fn most(host: &Host, contestant: &Contestant, figures: &mut Figures) -> io::Result<()> {
    for subscribers in MANY {
        let mut session = Some(Session::start(host, contestant, subscribers)?);
        let mut best = Received::default();
        let (start, mut tries, mut disturbed) = (Instant::now(), 0, 0);
        let try_once = |rate: f64, step| {
            tries += 1;
            let mut trying = match session.take() {
                Some(session) => session,
                None => Session::start(host, contestant, subscribers)?,
            };
            let time = if step == Step::Short { SHORT } else { LONG };
            let events = (rate * time.as_secs_f64()).ceil() as u64;
            let before = (trying.server.cpu()?, waited()?);
            let received = match trying.publish(Job { events, rate, stamp: Stamp::Due }, PATIENCE) {
                // It has lost one, or lost a connection, or is late.
                Err(error) if is_of_load(&error) => Received::default(),
                received => received?,
            };
            let waited = (trying.server.cpu()?.waited_since(before.0), waited()?.saturating_sub(before.1) as f64);
            if received.latency.quantile(0.99).is_some_and(|time| u128::from(time) < LIMIT.as_nanos()) {
                session = Some(trying);
                best = received;
                return Ok(Tried::KeepsUp);
            }
            let is_disturbed = waited.0.max(waited.1) > time.as_nanos() as f64 * DISTURBED;
            disturbed += usize::from(is_disturbed);
            Ok(if is_disturbed && start.elapsed() < SEARCH { Tried::Disturbed } else { Tried::Fails })
        };
        let rate = highest(FIRST_RATE / subscribers as f64, try_once)?;
        let Some(rate) = rate else {
            // Not wrong: it is enough that something else has the CPU. It has no figure.
            eprintln!("    keeps up with nothing to {subscribers}; {tries} tries, {disturbed} failed and disturbed");
            continue;
        };
        let deliveries = rate * subscribers as f64 / 1e3;
        eprintln!(
            "    {deliveries:.0} thousands a second to {subscribers}; {tries} tries, {disturbed} failed and disturbed"
        );
        figures.insert(most_id(subscribers, contestant.name), 1e9 / (rate * subscribers as f64));
        figures.insert(client_id(subscribers, contestant.name), best.busy);
        figures.insert(joined_id(subscribers, contestant.name), best.events as f64 / best.chunks as f64);
    }
    Ok(())
}

fn is_of_load(error: &io::Error) -> bool {
    [ErrorKind::InvalidData, ErrorKind::TimedOut, ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset]
        .contains(&error.kind())
}

fn calm(host: &Host, contestant: &Contestant, figures: &mut Figures) -> io::Result<()> {
    for (subscribers, rate, seconds) in CALM {
        let mut session = Session::start(host, contestant, subscribers)?;
        let before = session.server.cpu()?;
        let events = (rate * seconds) as u64;
        let received = session.publish(Job { events, rate, stamp: Stamp::Now }, MUCH_PATIENCE)?;
        let after = session.server.cpu()?;
        for quantile in QUANTILES {
            let time = received
                .latency
                .quantile(quantile)
                .map(|time| (latency_id(subscribers, quantile, contestant.name), time as f64));
            figures.extend(time);
        }
        if subscribers == CALM_MANY {
            figures.insert(cpu_id(contestant.name), after.since(before) / received.events as f64);
            figures.insert(system_id(contestant.name), after.system_since(before));
            figures.insert(calm_joined_id(contestant.name), received.events as f64 / received.chunks as f64);
        }
    }
    Ok(())
}

fn instructions(host: &Host, contestant: &Contestant, figures: &mut Figures) -> io::Result<()> {
    let mut counts = [0.0; 2];
    for (count, events) in counts.iter_mut().zip(COUNTED_EVENTS) {
        let mut server = match host.start_under(Under::Callgrind, contestant.name, &[]) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            server => server?,
        };
        let mut subscribers = Subscribers::connect(server.address, PATH, COUNTED)?;
        for _ in 0..events {
            // The next when all have this one, so that none are joined.
            server.say(&Job { events: 1, rate: 1.0, stamp: Stamp::Now }.line())?;
            subscribers.receive(1, MUCH_PATIENCE)?;
        }
        let said = server.stop()?;
        *count = parse_collected(&said).ok_or_else(|| wrong(format!("callgrind said {said}")))?;
    }
    let deliveries = (COUNTED_EVENTS[1] - COUNTED_EVENTS[0]) * COUNTED as u64;
    figures.insert(instructions_id(contestant.name), (counts[1] - counts[0]) / deliveries as f64);
    Ok(())
}

fn idle(host: &Host, contestant: &Contestant, figures: &mut Figures) -> io::Result<()> {
    let server = host.start(contestant.name, &[])?;
    let warm_up = Subscribers::connect(server.address, PATH, IDLE_WARM_UP)?;
    let before = server.memory()?;
    let subscribers = Subscribers::connect(server.address, PATH, IDLE)?;
    let after = server.memory()?;
    drop((warm_up, subscribers));
    figures.insert(idle_id(contestant.name), after.saturating_sub(before) as f64 / IDLE as f64);
    server.stop().map(drop)
}

/// Only of ours: with the others there are no topics, and nothing is kept if nobody has subscribed.
fn publishing(host: &Host, contestant: &Contestant, figures: &mut Figures) -> io::Result<()> {
    if contestant.kind != Kind::Ours {
        return Ok(());
    }
    // So many that all are due at once.
    let job = Job { events: PUBLISHED, rate: 1e9, stamp: Stamp::Due };
    let start = Instant::now();
    block_on(async {
        let (sender, jobs) = mpsc::unbounded_channel();
        // It is there to be received.
        let _ = sender.send(job);
        drop(sender);
        publisher::run(jobs, |text: &str| {
            black_box(text);
        })
        .await;
        Ok(())
    })?;
    let in_vain = start.elapsed().as_nanos() as f64;
    for others in OTHERS {
        let mut server = host.start(contestant.name, &[])?;
        let subscribers = Subscribers::connect(server.address, OTHER_PATH, others)?;
        let mut time = 0.0;
        for _ in 0..2 {
            let before = server.cpu()?;
            server.say(&job.line())?;
            time = rest(&server)?.since(before);
        }
        figures.insert(publishing_id(others, contestant.name), (time - in_vain) / PUBLISHED as f64);
        drop(subscribers);
        server.stop()?;
    }
    Ok(())
}

/// Waits until a server has nothing to do any more.
fn rest(server: &Server) -> io::Result<Cpu> {
    let mut last = server.cpu()?;
    loop {
        thread::sleep(REST);
        let now = server.cpu()?;
        if now.since(last) == 0.0 {
            return Ok(now);
        }
        last = now;
    }
}
