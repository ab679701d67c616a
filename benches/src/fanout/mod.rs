//! One publisher and many subscribers: servers that send the same events to all, each a [`Contestant`], the client that
//! has all of the subscribers, and what is measured between the two.
//!
//! A server is a process of its own: this program, started again. One thread of it does the work, which publishes as well.

use std::io;
use std::net::TcpListener;

use tokio::sync::mpsc;

use crate::Kind;
use publisher::Jobs;

mod actix_web_lab;
mod axum_sse;
pub mod client;
pub mod event;
pub mod histogram;
mod hyper_body;
pub mod ladder;
pub mod measure;
pub mod publisher;
mod raw;
mod ssekit;
pub mod tables;

/// Where the events are to be had.
pub const PATH: &str = "/feed";
/// The same of what is not published to, of those that have more than one topic.
pub const OTHER_PATH: &str = "/other";
/// How many events are kept for subscribers that lag behind: as many as ssekit's hub keeps unless told otherwise.
const RING: usize = 65_536;

/// Everyone, in the order of the tables.
pub const CONTESTANTS: [Contestant; 8] = [
    Contestant { name: "axum-sse", kind: Kind::Rival, serve: axum_sse::serve },
    Contestant { name: "ssekit-axum", kind: Kind::Ours, serve: ssekit::serve_axum },
    Contestant { name: "ssekit-axum-serve", kind: Kind::Ours, serve: ssekit::serve_axum_serve },
    Contestant { name: "actix-web-lab-stream", kind: Kind::Rival, serve: actix_web_lab::serve },
    Contestant { name: "ssekit-actix", kind: Kind::Ours, serve: ssekit::serve_actix },
    Contestant { name: "hyper-body", kind: Kind::Floor, serve: hyper_body::serve },
    Contestant { name: "raw", kind: Kind::Floor, serve: raw::serve },
    Contestant { name: "raw-joined", kind: Kind::Floor, serve: raw::serve_joined },
];

/// A server as a value.
pub struct Contestant {
    pub name: &'static str,
    pub kind: Kind,
    /// Serves until the process ends, and does what there is to publish.
    pub serve: fn(TcpListener, Jobs) -> io::Result<()>,
}

impl Contestant {
    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        CONTESTANTS.iter().find(|contestant| contestant.name == name)
    }
}

/// Is that server, on that CPU, until the standard input ends, the lines of which are jobs.
///
/// # Errors
///
/// Those of the server.
pub fn be_server(contestant: &Contestant, cpu: Option<usize>) -> io::Result<()> {
    let (sender, jobs) = mpsc::unbounded_channel();
    let listen = move |line: &str| match line.parse() {
        // Who does not take jobs any more is about to end.
        Ok(job) => drop(sender.send(job)),
        Err(error) => eprintln!("{error}"),
    };
    crate::process::be_server(cpu, listen, |listener| (contestant.serve)(listener, jobs))
}
