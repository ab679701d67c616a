//! What is measured of a server, each as figures of one run.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Counts, Response};
use super::feed::{EVENT_LEN, Feed, now};
use super::{CONTESTANTS, Contestant, Setup};
use crate::process::{Host, Under, system_calls, wrong};
use crate::report::Figures;

/// With how many connections at once a server is loaded.
pub const CONNECTIONS: [usize; 2] = [1, 16];
/// How many streams are idle.
pub const IDLE: usize = 5000;
/// How many events are written while system calls are counted.
pub const TRACED: u64 = 50_000;
/// How many lone events each connection gets.
pub const TICKS: usize = 100;

/// How servers of idle streams are set up, and what that is called.
pub const SETUPS: [(&str, Setup); 3] = [
    ("3-routes", Setup { more_routes: 0, is_made: false }),
    ("100-routes", Setup { more_routes: 97, is_made: false }),
    ("100-routes-made", Setup { more_routes: 97, is_made: true }),
];

/// What a connection has before it counts: a server that has just started is none that runs.
const WARM_UP: u64 = 20_000;
const IDLE_WARM_UP: usize = 50;
const TICKS_WARM_UP: usize = 3;
/// How long a measurement is to take, about.
const TIME: Duration = Duration::from_millis(1200);

/// The CPU time of the server for each event, in ns.
pub fn firehose_id(connections: usize, contestant: &str) -> String {
    format!("firehose/{connections}/{contestant}")
}

/// The kernel's part in that, of 1.
pub fn system_id(connections: usize, contestant: &str) -> String {
    format!("system/{connections}/{contestant}")
}

/// Page faults for each event.
pub fn faults_id(connections: usize, contestant: &str) -> String {
    format!("faults/{connections}/{contestant}")
}

/// System calls that write, or all, for each event.
pub fn calls_id(are_writes: bool, contestant: &str) -> String {
    format!("{}/{contestant}", if are_writes { "writes" } else { "calls" })
}

/// Bytes for each idle stream.
pub fn idle_id(setup: &str, contestant: &str) -> String {
    format!("idle/{setup}/{contestant}")
}

/// From the publishing to the reading of a lone event, in ns, of which so many of a hundred take less.
pub fn latency_id(connections: usize, percent: usize, contestant: &str) -> String {
    format!("latency/{connections}/{percent}/{contestant}")
}

/// All of it, of those contestants, once.
///
/// # Errors
///
/// Those of the servers; that they send anything but what they have to.
pub fn run(host: &Host, is_of: impl Fn(&Contestant) -> bool) -> io::Result<Figures> {
    let mut figures = Figures::new();
    for contestant in CONTESTANTS.iter().filter(|contestant| is_of(contestant)) {
        eprintln!("  {}", contestant.name);
        firehose(host, contestant, &mut figures)?;
        latency(host, contestant, &mut figures)?;
        calls(host, contestant, &mut figures)?;
        for (name, setup) in &SETUPS[..if contestant.has_router { SETUPS.len() } else { 1 }] {
            figures.insert(idle_id(name, contestant.name), idle(host, contestant, *setup)?);
        }
    }
    Ok(figures)
}

/// Loads a server, and fails unless each connection gets exactly what it has to.
///
/// # Errors
///
/// That, and those of the connections.
pub fn load(address: SocketAddr, contestant: &Contestant, connections: usize, events: u64) -> io::Result<()> {
    let get = || {
        let mut counts = Counts::default();
        Response::get(address, &Feed::Events(events).path())?.read(|data| {
            counts.add(data);
            true
        })?;
        Ok(counts)
    };
    let all = thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(get)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("it does not panic");
        threads.into_iter().map(join).collect::<io::Result<Vec<Counts>>>()
    })?;
    let bytes = events * EVENT_LEN as u64;
    let is_right = |counts: &&Counts| {
        let comments = counts.blank_lines.wrapping_sub(events);
        comments <= 1 && counts.bytes == bytes + comments * contestant.comment.len() as u64
    };
    match all.iter().find(|counts| !is_right(counts)) {
        Some(counts) => Err(wrong(format!(
            "{} sent {} bytes and {} blank lines instead of {bytes} and {events}",
            contestant.name, counts.bytes, counts.blank_lines
        ))),
        None => Ok(()),
    }
}

/// For each lone event that each connection gets, how long it has taken, in ns.
///
/// # Errors
///
/// Those of the connections; what is no such event.
pub fn ticks(address: SocketAddr, connections: usize, count: usize) -> io::Result<Vec<u64>> {
    let get = || {
        let mut times = Vec::new();
        let mut is_wrong = false;
        Response::get(address, &Feed::Ticks.path())?.read(|data| {
            let read = now();
            let lines = data.split(|&byte| byte == b'\n').filter_map(|line| line.strip_prefix(b"data: "));
            for line in lines {
                let published = str::from_utf8(line).ok().and_then(|line| line.parse().ok());
                is_wrong |= published.is_none();
                times.push(read.saturating_sub(published.unwrap_or(0)));
            }
            times.len() < count && !is_wrong
        })?;
        if is_wrong { Err(wrong("an event is none of a tick".into())) } else { Ok(times) }
    };
    let all = thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(get)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("it does not panic");
        threads.into_iter().map(join).collect::<io::Result<Vec<_>>>()
    })?;
    Ok(all.into_iter().flat_map(|times| times.into_iter().skip(TICKS_WARM_UP)).collect())
}

fn firehose(host: &Host, contestant: &Contestant, figures: &mut Figures) -> io::Result<()> {
    let server = host.start(contestant.name, &Setup::default().args())?;
    for connections in CONNECTIONS {
        let start = Instant::now();
        let each = WARM_UP / connections as u64;
        load(server.address, contestant, connections, each)?;
        load(server.address, contestant, connections, each)?;
        let rate = (2 * WARM_UP) as f64 / start.elapsed().as_secs_f64();
        let each = (rate * TIME.as_secs_f64()) as u64 / connections as u64;

        let before = server.cpu()?;
        load(server.address, contestant, connections, each)?;
        let after = server.cpu()?;
        let events = (connections as u64 * each) as f64;
        figures.insert(firehose_id(connections, contestant.name), after.since(before) / events);
        figures.insert(system_id(connections, contestant.name), after.system_since(before));
        figures.insert(faults_id(connections, contestant.name), after.faults_since(before) / events);
    }
    server.stop().map(drop)
}

fn latency(host: &Host, contestant: &Contestant, figures: &mut Figures) -> io::Result<()> {
    let server = host.start(contestant.name, &Setup::default().args())?;
    for connections in CONNECTIONS {
        let mut times = ticks(server.address, connections, TICKS_WARM_UP + TICKS)?;
        times.sort_unstable();
        for percent in [50, 99] {
            let time = times[times.len() * percent / 100];
            figures.insert(latency_id(connections, percent, contestant.name), time as f64);
        }
    }
    server.stop().map(drop)
}

fn calls(host: &Host, contestant: &Contestant, figures: &mut Figures) -> io::Result<()> {
    let server = match host.start_under(Under::Strace, contestant.name, &Setup::default().args()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        server => server?,
    };
    load(server.address, contestant, 1, TRACED)?;
    let calls = system_calls(&server.stop()?);
    let of = |names: &[&str]| {
        let calls = calls.iter().filter(|(name, _)| names.contains(&name.as_str())).map(|(_, calls)| calls);
        calls.sum::<u64>() as f64 / TRACED as f64
    };
    let writes = ["write", "writev", "sendto", "sendmsg"];
    // Not what starting takes, nor memory.
    let others = ["read", "readv", "recvfrom", "recvmsg", "epoll_wait", "epoll_pwait", "epoll_ctl", "futex"];
    figures.insert(calls_id(true, contestant.name), of(&writes));
    figures.insert(calls_id(false, contestant.name), of(&writes) + of(&others));
    Ok(())
}

fn idle(host: &Host, contestant: &Contestant, setup: Setup) -> io::Result<f64> {
    let server = host.start(contestant.name, &setup.args())?;
    let get = |_| Response::get(server.address, &Feed::Idle.path());
    let warm_up = (0..IDLE_WARM_UP).map(get).collect::<io::Result<Vec<_>>>()?;
    let before = server.memory()?;
    let streams = (0..IDLE).map(get).collect::<io::Result<Vec<_>>>()?;
    let after = server.memory()?;
    drop((warm_up, streams));
    server.stop()?;
    Ok(after.saturating_sub(before) as f64 / IDLE as f64)
}
