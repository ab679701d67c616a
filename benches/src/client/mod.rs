//! The clients, each a [`Contestant`], their server, and their measurements.
//!
//! A client is a process of its own: this program, started again. It has one thread with a current-thread runtime, and measures
//! itself. The server is another process on another CPU, and writes prepared bytes.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::report::Figures;
use crate::{Kind, Totals};
use feed::Feed;
use job::{Counter, Job};

mod eventsource_client;
pub mod feed;
mod floors;
pub mod job;
pub mod measure;
mod reqwest_eventsource;
mod ssekit;
pub mod tables;

/// All clients, in the order of the tables.
pub const CONTESTANTS: [Contestant; 8] = [
    Contestant::new::<ssekit::EventSource>(),
    Contestant::new::<ssekit::WithIdleTimeout>(),
    Contestant::new::<ssekit::Machine>(),
    Contestant::new::<reqwest_eventsource::Rival>(),
    Contestant::new::<eventsource_client::Rival>(),
    Contestant::new::<floors::Reqwest>(),
    Contestant::new::<floors::OldReqwest>(),
    Contestant::new::<floors::Tcp>(),
];

/// The kind of items that a client returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// Events that own their strings.
    Owned,
    /// Events whose strings are reference-counted bytes.
    Shared,
    /// Events that borrow until the next one.
    Borrowed,
    /// Bytes without a decoder.
    Bytes,
}

impl fmt::Display for Gives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owned => "owned",
            Self::Shared => "shared",
            Self::Borrowed => "borrowed",
            Self::Bytes => "none: bytes",
        })
    }
}

/// A client for any number of streams.
trait Client: Sized {
    const NAME: &'static str;
    const KIND: Kind;
    const GIVES: Gives;
    /// A response whose head was received.
    type Stream;

    fn new() -> io::Result<Self>;

    async fn open(&self, address: SocketAddr, feed: Feed) -> io::Result<Self::Stream>;

    /// Adds the next item to the totals: one or more events, or the number of bytes for [`Gives::Bytes`]. Returns false at the
    /// end.
    async fn next(stream: &mut Self::Stream, totals: &mut Totals) -> io::Result<bool>;
}

/// A client, as a value.
pub struct Contestant {
    pub name: &'static str,
    pub kind: Kind,
    pub gives: Gives,
    /// Does a job with the server at this address.
    pub run: fn(SocketAddr, Job, Counter) -> io::Result<Figures>,
}

impl Contestant {
    const fn new<C: Client>() -> Self {
        Self { name: C::NAME, kind: C::KIND, gives: C::GIVES, run: job::run::<C> }
    }

    /// Returns the contestant with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        CONTESTANTS.iter().find(|contestant| contestant.name == name)
    }
}

/// Returns the error for a stream with an unexpected end.
fn unexpected(what: impl fmt::Debug) -> io::Error {
    crate::process::wrong(format!("the stream has {what:?}"))
}
