//! Servers of events, each a [`Contestant`], the client that loads them, and what is measured between the two.
//!
//! A server is a process of its own: this program, started again. It has one thread that does the work, so that its CPU
//! time is that of what it sends.

use std::io;
use std::net::TcpListener;

use crate::Kind;

mod actix;
mod actix_web_lab;
pub(crate) mod axum;
mod axum_sse;
pub mod client;
pub mod feed;
mod floors;
pub mod measure;
mod ssekit;
pub mod tables;

/// How long a stream is idle before it is kept alive: axum's and ssekit's own.
pub(crate) const KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(15);
/// How many events a channel holds.
const CHANNEL: usize = 64;

/// Everyone, in the order of the tables: by what they stand on, and of that our own last but for the floors.
pub const CONTESTANTS: [Contestant; 15] = [
    Contestant::on_axum::<axum_sse::Stream>(),
    Contestant::on_axum::<axum_sse::WithoutKeepAlive>(),
    Contestant::on_axum::<axum_sse::Channel>(),
    Contestant::on_axum::<ssekit::Axum>(),
    Contestant::on_axum::<ssekit::AxumItems>(),
    Contestant::on_axum::<ssekit::AxumChannel>(),
    Contestant { name: "ssekit-axum-serve", serve: ssekit::serve_axum, ..Contestant::on_axum::<ssekit::Axum>() },
    Contestant::on_axum::<floors::Axum>(),
    Contestant {
        name: "hyper-body",
        has_router: false,
        serve: floors::serve_hyper,
        ..Contestant::on_axum::<floors::Axum>()
    },
    Contestant::on_actix::<actix_web_lab::Stream>(),
    Contestant::on_actix::<actix_web_lab::Channel>(),
    Contestant::on_actix::<ssekit::Actix>(),
    Contestant::on_actix::<ssekit::ActixItems>(),
    Contestant::on_actix::<ssekit::ActixChannel>(),
    Contestant::on_actix::<floors::Actix>(),
];

/// How a server is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// How many routes it has that nobody asks for.
    pub more_routes: usize,
    /// Whether the router goes by way of axum's `into_make_service`.
    pub is_made: bool,
}

impl Setup {
    /// As a server of its own is told.
    fn args(self) -> Vec<String> {
        let is_made = self.is_made.then(|| "--make-service".into());
        ["--more-routes".into(), self.more_routes.to_string()].into_iter().chain(is_made).collect()
    }
}

/// A server as a value.
pub struct Contestant {
    pub name: &'static str,
    pub kind: Kind,
    /// A comment that it may send by itself, once in a stream that is not idle.
    pub comment: &'static str,
    /// Whether a router of axum's is before it, which some have a copy of for each connection.
    pub has_router: bool,
    /// Serves until the process ends.
    pub serve: fn(TcpListener, Setup) -> io::Result<()>,
}

impl Contestant {
    const fn on_axum<R: axum::Responder>() -> Self {
        Self { name: R::NAME, kind: R::KIND, comment: R::COMMENT, has_router: true, serve: axum::serve::<R> }
    }

    const fn on_actix<R: actix::Responder>() -> Self {
        Self { name: R::NAME, kind: R::KIND, comment: R::COMMENT, has_router: false, serve: actix::serve::<R> }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        CONTESTANTS.iter().find(|contestant| contestant.name == name)
    }
}
