//! The server. It writes prepared events of a workload, as fast as the client reads them or one by one.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Gives;
use crate::Totals;
use crate::decoders::Ids;
use crate::workloads::{self, CHUNK_16K, Workload};

/// The names of the workloads.
pub const WORKLOADS: [&str; 4] = ["openai", "ticks", "multi-line", "long-lines"];
/// The time between two lone events.
pub const PACE: Duration = Duration::from_micros(200);
/// The least size of a workload, which is sent repeatedly.
const LEN: usize = 1 << 18;

/// The way in which a body is written. Each write is an HTTP chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// 16 KiB in each write, even if that cuts an event.
    Large,
    /// One event in each write.
    Each,
    /// One event in each write, at intervals of [`PACE`].
    Lone,
    /// One event, and then silence.
    Idle,
}

impl Writes {
    pub const ALL: [Self; 4] = [Self::Large, Self::Each, Self::Lone, Self::Idle];
}

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Large => "large",
            Self::Each => "each",
            Self::Lone => "lone",
            Self::Idle => "idle",
        })
    }
}

/// The content of a response: a workload, repeated `times` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feed {
    pub workload: &'static str,
    pub writes: Writes,
    pub times: u64,
}

impl Feed {
    /// Returns the feed with these names.
    pub fn named(workload: &str, writes: &str, times: u64) -> Option<Self> {
        let workload = WORKLOADS.into_iter().find(|known| *known == workload)?;
        let writes = Writes::ALL.into_iter().find(|known| known.to_string() == writes)?;
        Some(Self { workload, writes, times })
    }

    /// Parses the path of a request.
    fn from_path(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let (workload, writes, times) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        Self::named(workload, writes, times)
    }

    /// Returns the path of the request for this feed.
    pub fn path(self) -> String {
        format!("/{}/{}/{}", self.workload, self.writes, self.times)
    }

    pub fn url(self, address: SocketAddr) -> String {
        format!("http://{address}{}", self.path())
    }

    /// Returns the totals that a client of this kind must find. They are computed without a decoder.
    pub fn totals(self, gives: Gives) -> Totals {
        let workload = workloads::decoding(LEN).find(|workload| workload.name == self.workload);
        let totals = workload.map_or(Totals::default(), |workload| match gives {
            Gives::Bytes => Totals { data_bytes: workload.stream.len(), ..Totals::default() },
            Gives::Owned | Gives::Shared | Gives::Borrowed => workload.totals(Ids::Last),
        });
        let times = self.times as usize;
        Totals {
            events: totals.events * times,
            data_bytes: totals.data_bytes * times,
            type_bytes: totals.type_bytes * times,
            id_bytes: totals.id_bytes * times,
        }
    }
}

/// The HTTP chunks of a workload, with their sizes and ends.
struct Body {
    workload: &'static str,
    large: Vec<Vec<u8>>,
    each: Vec<Vec<u8>>,
}

impl From<Workload> for Body {
    fn from(workload: Workload) -> Self {
        Self {
            workload: workload.name,
            large: workload.chunks(CHUNK_16K.1).iter().map(|data| chunk(data)).collect(),
            each: workload.events().map(chunk).collect(),
        }
    }
}

/// Serves each connection in a thread of its own, until the process ends.
///
/// # Errors
///
/// The errors of the listener.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    let bodies = workloads::decoding(LEN).filter(|workload| WORKLOADS.contains(&workload.name));
    let bodies: Arc<[Body]> = bodies.map(Body::from).collect();
    for stream in listener.incoming() {
        let (stream, bodies) = (stream?, bodies.clone());
        // An error means that the client has gone.
        thread::spawn(move || answer(stream, &bodies));
    }
    Ok(())
}

fn answer(mut stream: TcpStream, bodies: &[Body]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(request) = lines.next() {
        let request = request?;
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let feed = request.split(' ').nth(1).and_then(Feed::from_path);
        let body = bodies.iter().find(|body| feed.is_some_and(|feed| feed.workload == body.workload));
        let Some((feed, body)) = feed.zip(body) else { return Err(io::ErrorKind::NotFound.into()) };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes())?;
        let mut due = Instant::now();
        match feed.writes {
            Writes::Idle => stream.write_all(&body.each[0])?,
            Writes::Large | Writes::Each | Writes::Lone => {
                let chunks = if feed.writes == Writes::Large { &body.large } else { &body.each };
                for chunk in (0..feed.times).flat_map(|_| chunks) {
                    if feed.writes == Writes::Lone {
                        due += PACE;
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                    }
                    stream.write_all(chunk)?;
                }
                stream.write_all(b"0\r\n\r\n")?;
            }
        }
    }
    Ok(())
}

fn chunk(data: &[u8]) -> Vec<u8> {
    let size = format!("{:x}\r\n", data.len());
    [size.as_bytes(), data, b"\r\n"].concat()
}
