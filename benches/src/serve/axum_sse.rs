//! axum's own `Sse`. It has no keep-alive unless asked for one, which starts its timer anew with each event.

use std::convert::Infallible;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::axum::Responder;
use super::feed::{Feed, Text};
use super::{CHANNEL, KEEP_ALIVE};

fn event(text: Text) -> Result<Event, Infallible> {
    Ok(Event::default().data(text))
}

fn keep_alive() -> KeepAlive {
    KeepAlive::new().interval(KEEP_ALIVE)
}

pub(super) struct Stream;

impl Responder for Stream {
    const NAME: &'static str = "axum-sse";

    fn respond(feed: Feed) -> Response {
        Sse::new(feed.into_stream().map(event)).keep_alive(keep_alive()).into_response()
    }
}

pub(super) struct WithoutKeepAlive;

impl Responder for WithoutKeepAlive {
    const NAME: &'static str = "axum-sse-no-keep-alive";

    fn respond(feed: Feed) -> Response {
        Sse::new(feed.into_stream().map(event)).into_response()
    }
}

pub(super) struct Channel;

impl Responder for Channel {
    const NAME: &'static str = "axum-sse-channel";

    fn respond(feed: Feed) -> Response {
        let (sender, receiver) = mpsc::channel(CHANNEL);
        feed.send_to((sender, event as fn(_) -> _));
        Sse::new(ReceiverStream::new(receiver)).keep_alive(keep_alive()).into_response()
    }
}
