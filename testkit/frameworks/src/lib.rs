//! The programs of `docs/frameworks.md`, one module for each framework, and the event stream that all of them serve.
//!
//! `tests/frameworks.rs` runs the programs, and checks that the page shows the code of these modules.

#![forbid(unsafe_code)]

pub mod on_actix;
pub mod on_axum;
pub mod on_axum_adapter;
pub mod on_hyper;
pub mod on_poem;
pub mod on_salvo;
pub mod on_tower;
pub mod on_warp;

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use futures_util::{Stream, StreamExt, future, stream};
use ssekit::Event;
use ssekit::server::{CloseReason, EventBody, SseRequest, StreamGroup};
use tokio::sync::oneshot;

/// How a stream goes on after its first event.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    /// The stream ends.
    End,
    /// The stream fails.
    Fail,
}

/// The test's side of one stream. A request whose last event ID is `id` gets that stream.
#[derive(Debug)]
pub struct Trial {
    pub id: String,
    /// The stream stays open until it receives an ending.
    pub ending: oneshot::Sender<Ending>,
    /// Receives the reason when the stream is over.
    pub closed: oneshot::Receiver<CloseReason>,
}

/// The server's side of a [`Trial`].
struct Prepared {
    group: StreamGroup,
    ending: oneshot::Receiver<Ending>,
    closed: oneshot::Sender<CloseReason>,
}

static PREPARED: LazyLock<Mutex<HashMap<String, Prepared>>> = LazyLock::new(Mutex::default);

impl Trial {
    /// Prepares the stream for one request with the last event ID `id`, which no other test may use.
    pub fn prepare(id: &str, group: &StreamGroup) -> Self {
        let ((ending, ending_receiver), (closed_sender, closed)) = (oneshot::channel(), oneshot::channel());
        let prepared = Prepared { group: group.clone(), ending: ending_receiver, closed: closed_sender };
        PREPARED.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), prepared);
        Self { id: id.to_owned(), ending, closed }
    }
}

/// Returns the stream of the trial that the last event ID names, or an empty stream.
///
/// The first event has the last event ID as its data. The second item comes when the test says so.
pub fn events(
    request: SseRequest,
) -> EventBody<impl Stream<Item = Result<Event<'static>, &'static str>> + Send + Sync> {
    let id = request.last_event_id().map(|id| id.as_str().to_owned()).unwrap_or_default();
    let prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    let (group, ending, closed) = match prepared {
        Some(Prepared { group, ending, closed }) => (group, Some(ending), Some(closed)),
        None => (StreamGroup::new(), None, None),
    };
    let rest = async move {
        match ending?.await {
            Ok(Ending::Fail) => Some(Err("the source failed")),
            Ok(Ending::End) | Err(_) => None,
        }
    };
    let first = Event::data(format!("last event ID {id}"));
    let events = stream::iter([Ok(first)]).chain(stream::once(rest).filter_map(future::ready));
    EventBody::new(events).with_group(&group).on_close(move |reason| {
        if let Some(closed) = closed {
            let _ = closed.send(reason);
        }
    })
}
