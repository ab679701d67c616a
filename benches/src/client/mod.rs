//! Clients, each a [`Contestant`], the server that they read from, and what is measured of them.
//!
//! A client is a process of its own: this program, started again. It has one thread, with a current-thread runtime of
//! tokio's, and says itself what it has taken. The server is another, on another CPU, and writes what it has ready.

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

/// Everyone, in the order of the tables.
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

/// What a client makes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// Events whose strings are of their own.
    Owned,
    /// Events whose strings are reference-counted bytes.
    Shared,
    /// Events whose strings are gone at the next one.
    Borrowed,
    /// The bytes as they are, of which nothing is made.
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

/// A client of any number of streams.
trait Client: Sized {
    const NAME: &'static str;
    const KIND: Kind;
    const GIVES: Gives;
    /// A response, of which the head is here.
    type Stream;

    fn new() -> io::Result<Self>;

    async fn open(&self, address: SocketAddr, feed: Feed) -> io::Result<Self::Stream>;

    /// Adds what comes next: an event, or all that come at once, or for [`Gives::Bytes`] how many bytes of data it is.
    /// False at the end.
    async fn next(stream: &mut Self::Stream, totals: &mut Totals) -> io::Result<bool>;
}

/// A client as a value.
pub struct Contestant {
    pub name: &'static str,
    pub kind: Kind,
    pub gives: Gives,
    /// Does that by the server there.
    pub run: fn(SocketAddr, Job, Counter) -> io::Result<Figures>,
}

impl Contestant {
    const fn new<C: Client>() -> Self {
        Self { name: C::NAME, kind: C::KIND, gives: C::GIVES, run: job::run::<C> }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        CONTESTANTS.iter().find(|contestant| contestant.name == name)
    }
}

/// The stream is over, and not by an end that it is said to have.
fn unexpected(what: impl fmt::Debug) -> io::Error {
    crate::process::wrong(format!("the stream has {what:?}"))
}
