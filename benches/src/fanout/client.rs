//! All of the subscribers, on one thread, which looks at as little as it can: the first and the last event of each read.
//! Events are all of a length, with their IDs if they have any, so that it sees by the number of such a one that none is
//! missing before it.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use memchr::memmem;
use rustix::event::epoll;
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::event::{self, EVENT_LEN, HEAD_LEN};
use super::histogram::Histogram;
use crate::process::wrong;
use crate::serve::client::{Chunks, Response};
use crate::serve::feed::now;

const BUFFER: usize = 256 * 1024;
/// How many connections are asked for at once whether there is something to read.
const READY: usize = 1024;

/// Connections to one server.
pub struct Subscribers {
    epoll: rustix::fd::OwnedFd,
    list: Vec<Subscriber>,
    buffer: Vec<u8>,
}

struct Subscriber {
    stream: TcpStream,
    chunks: Chunks,
    events: Events,
}

/// What subscribers have got.
#[derive(Debug, Default)]
pub struct Received {
    pub events: u64,
    /// How many chunks of the body they came in. It is as many writes, or more.
    pub chunks: u64,
    /// From an event's time to the reading of it, in nanoseconds.
    pub latency: Histogram,
    /// From asking for it to the last of it.
    pub time: Duration,
    /// The part of that, of 1, in which this thread had a CPU.
    pub busy: f64,
}

impl Subscribers {
    /// Connects so many, one after the other, each of which has the head of its response.
    ///
    /// # Errors
    ///
    /// Those of the connections.
    pub fn connect(address: SocketAddr, path: &str, count: usize) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut list = Vec::with_capacity(count);
        for n in 0..count {
            let (stream, mut chunks, rest) = Response::get(address, path)?.into_parts();
            let mut events = Events::default();
            chunks.split(&rest, |data| {
                // A preamble, if anything: nothing has been published to it.
                let _ = events.take(data);
            })?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, epoll::EventData::new_u64(n as u64), epoll::EventFlags::IN)?;
            list.push(Subscriber { stream, chunks, events });
        }
        Ok(Self { epoll, list, buffer: vec![0; BUFFER] })
    }

    /// Reads until each has got so many events more.
    ///
    /// # Errors
    ///
    /// Those of the connections; an event that is missing or none, as [`InvalidData`](io::ErrorKind::InvalidData); the
    /// time that this may take is over, as [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn receive(&mut self, events: u64, timeout: Duration) -> io::Result<Received> {
        let (start, cpu) = (Instant::now(), cpu_time());
        let mut received = Received::default();
        let due = events * self.list.len() as u64;
        let mut ready = Vec::with_capacity(READY);
        while received.events < due {
            if start.elapsed() > timeout {
                return Err(io::ErrorKind::TimedOut.into());
            }
            ready.clear();
            let wait = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), Some(&wait))?;
            for event in &ready {
                self.list[event.data.u64() as usize].read(&mut self.buffer, &mut received)?;
            }
        }
        received.time = start.elapsed();
        received.busy = (cpu_time() - cpu).as_secs_f64() / received.time.as_secs_f64();
        if received.events > due || self.list.iter().any(|subscriber| subscriber.events != self.list[0].events) {
            return Err(wrong("one has got more than another".into()));
        }
        Ok(received)
    }
}

impl Subscriber {
    fn read(&mut self, buffer: &mut [u8], received: &mut Received) -> io::Result<()> {
        let n = match self.stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            n => n?,
        };
        let read = now();
        let (mut first, mut last) = (None, None);
        let before = self.events.number;
        self.chunks.split(&buffer[..n], |data| {
            received.chunks += 1;
            if let Some(heads) = self.events.take(data) {
                first = first.or(Some(heads.0));
                last = Some(heads.1);
            }
        })?;
        let events = self.events.number - before;
        received.events += events;
        // Those between have times between. An event whose head is cut is taken for the one beside it.
        if let (Some(first), Some(last)) = (first, last) {
            received.latency.add(read.saturating_sub(first.time()?), events / 2);
            received.latency.add(read.saturating_sub(last.time()?), events - events / 2);
        }
        Ok(())
    }
}

/// Where in the events of a body one is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Events {
    /// All up to the data of the first event.
    start: Vec<u8>,
    /// How many bytes an event has before its data, once that is known.
    lead: Option<usize>,
    /// How many are over.
    number: u64,
    /// How many bytes of the next have been.
    offset: usize,
    /// How many line ends have been one behind the other, in a comment.
    line_ends: Option<u8>,
}

/// An event's head, and which it has to be.
#[derive(Clone, Copy)]
struct Head<'a> {
    bytes: &'a [u8],
    number: u64,
}

impl Head<'_> {
    /// The time that it says.
    fn time(self) -> io::Result<u64> {
        match event::parse(self.bytes) {
            Some((number, time)) if number == self.number => Ok(time),
            found => Err(wrong(format!("{found:?} in the place of event {}", self.number))),
        }
    }
}

impl Events {
    /// Goes on, and hands out the heads of the first and the last event that begins here, if they are here as a whole.
    ///
    /// A comment is where servers have one: in a chunk of its own, or before the events of one.
    fn take<'a>(&mut self, mut data: &'a [u8]) -> Option<(Head<'a>, Head<'a>)> {
        let Some(lead) = self.lead else {
            self.begin(data);
            return None;
        };
        let event_len = lead + EVENT_LEN;
        while self.line_ends.is_some() || (self.offset == 0 && data.starts_with(b":")) {
            let mut ends = self.line_ends.unwrap_or(0);
            let end = data.iter().position(|&byte| {
                ends = if byte == b'\n' { ends + 1 } else { 0 };
                ends == 2
            });
            self.line_ends = if end.is_some() { None } else { Some(ends) };
            data = &data[end? + 1..];
        }
        let begun = self.offset > 0;
        let first_at = if begun { event_len - self.offset } else { 0 };
        let first_number = self.number + u64::from(begun);
        let all = self.offset + data.len();
        self.number += (all / event_len) as u64;
        self.offset = all % event_len;
        let more = data.len().checked_sub(first_at + lead + HEAD_LEN)? / event_len;
        let head = |n| Head { bytes: &data[first_at + n * event_len + lead..], number: first_number + n as u64 };
        Some((head(0), head(more)))
    }

    /// What comes before the first event is of no interest, but for the event's own ID.
    fn begin(&mut self, data: &[u8]) {
        self.start.extend_from_slice(data);
        let Some(at) = memmem::find(&self.start, event::START.as_bytes()) else { return };
        let start = std::mem::take(&mut self.start);
        let event_at = memmem::rfind(&start[..at], b"\n\n").map_or(0, |end| end + 2);
        self.lead = Some(at - event_at);
        // Their times are left out.
        let _ = self.take(&start[event_at..]);
    }
}

/// What this thread has had of a CPU.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
        let mut text = String::new();
        let event = |number| {
            event::write(&mut text, number, 1000 + number);
            format!("data: {text}\n\n")
        };
        numbers.into_iter().map(event).collect::<String>().into()
    }

    /// Behind the first event.
    fn begun(lead: usize) -> Events {
        Events { lead: Some(lead), number: 1, ..Events::default() }
    }

    #[test]
    fn the_start_is_found_however_it_is_cut() {
        let with_ids = String::from_utf8(body(0..2)).expect("it is ASCII").replace("data", "id: 7-654321\ndata");
        for (start, rest, lead) in
            [("", body(0..2), 0), (": \n\n", body(0..2), 0), (": \n\nid: 7-654320\n\n", with_ids.into(), 13)]
        {
            let body = [start.as_bytes(), &rest].concat();
            for cut in 0..=body.len() {
                let (first, second) = body.split_at(cut);
                let mut events = Events::default();
                events.take(first);
                events.take(second);
                assert_eq!(events, Events { number: 2, ..begun(lead) }, "{start:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn events_are_counted_however_they_are_cut() {
        let body = [&b": \n\n"[..], &body(1..4)].concat();
        for cut in 0..=body.len() {
            let (first, second) = body.split_at(cut);
            let mut events = begun(0);
            for part in [first, second] {
                if let Some((first, last)) = events.take(part) {
                    assert_eq!(
                        [first, last].map(|head| head.time().unwrap()),
                        [first, last].map(|head| 1000 + head.number)
                    );
                }
            }
            assert_eq!(events, Events { number: 4, ..begun(0) }, "cut at {cut}");
        }
    }

    #[test]
    fn all_heads_that_are_whole_are_handed_out() {
        let body = body(1..6);
        let take = |skip: usize, len: usize| {
            let mut events = begun(0);
            events.take(&body[..skip]);
            let heads = events.take(&body[skip..skip + len]);
            heads.map(|(first, last)| (first.number, last.number))
        };
        assert_eq!(take(0, HEAD_LEN - 1), None);
        assert_eq!(take(0, HEAD_LEN), Some((1, 1)));
        assert_eq!(take(0, EVENT_LEN + HEAD_LEN - 1), Some((1, 1)));
        assert_eq!(take(0, EVENT_LEN + HEAD_LEN), Some((1, 2)));
        assert_eq!(take(1, EVENT_LEN + HEAD_LEN - 1), Some((2, 2)));
        assert_eq!(take(1, body.len() - 1), Some((2, 5)));
    }

    #[test]
    fn a_gap_is_seen() {
        let body = body([1, 2, 4]);
        let mut events = begun(0);
        let (first, last) = events.take(&body).expect("both are whole");
        first.time().expect("it is the first");
        last.time().expect_err("it is not the third");
    }
}
