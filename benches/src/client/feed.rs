//! The server: events of a workload, made beforehand, written as fast as they are read, or each by itself.

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

/// Which workloads there are.
pub const WORKLOADS: [&str; 4] = ["openai", "ticks", "multi-line", "long-lines"];
/// How often there is a lone event.
pub const PACE: Duration = Duration::from_micros(200);
/// How many bytes of a workload are sent over and over, or a little more.
const LEN: usize = 1 << 18;

/// How a body is written. Each write is a chunk of HTTP's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// 16 KiB, wherever that cuts an event.
    Large,
    /// An event.
    Each,
    /// The same, one every [`PACE`].
    Lone,
    /// One event, and then nothing more.
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

/// What is asked for: a workload so many times over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feed {
    pub workload: &'static str,
    pub writes: Writes,
    pub times: u64,
}

impl Feed {
    /// The one of these names.
    pub fn named(workload: &str, writes: &str, times: u64) -> Option<Self> {
        let workload = WORKLOADS.into_iter().find(|known| *known == workload)?;
        let writes = Writes::ALL.into_iter().find(|known| known.to_string() == writes)?;
        Some(Self { workload, writes, times })
    }

    /// By a request's path.
    fn from_path(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let (workload, writes, times) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        Self::named(workload, writes, times)
    }

    /// The path of a request for it.
    pub fn path(self) -> String {
        format!("/{}/{}/{}", self.workload, self.writes, self.times)
    }

    pub fn url(self, address: SocketAddr) -> String {
        format!("http://{address}{}", self.path())
    }

    /// What has to be found in it, by a client of this kind. By no decoder.
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

/// A workload as it is written: chunks, with their sizes and ends.
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

/// Serves until the process ends, each connection by a thread.
///
/// # Errors
///
/// Those of the listener.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    let bodies = workloads::decoding(LEN).filter(|workload| WORKLOADS.contains(&workload.name));
    let bodies: Arc<[Body]> = bodies.map(Body::from).collect();
    for stream in listener.incoming() {
        let (stream, bodies) = (stream?, bodies.clone());
        // A client that goes is none of the server's business.
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
