//! `sse` of the crate `actix-web-lab`. Its events own their strings, so a text is copied into them.

use actix_web::{HttpRequest, HttpResponse, Responder as _};
use actix_web_lab::sse::{Data, Event, Sse};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::actix::Responder;
use super::feed::{Feed, Text};
use super::{CHANNEL, KEEP_ALIVE};

/// It keeps a stream alive at once, if it is pending when it is first polled or at any later time.
const COMMENT: &str = ": keep-alive\n\n";

fn event(text: Text) -> Event {
    Data::new(&*text).into()
}

pub(super) struct Stream;

impl Responder for Stream {
    const NAME: &'static str = "actix-web-lab";
    const COMMENT: &'static str = COMMENT;

    fn respond(feed: Feed, request: &HttpRequest) -> HttpResponse {
        let events = feed.into_stream().map(event);
        Sse::from_infallible_stream(events).with_keep_alive(KEEP_ALIVE).respond_to(request)
    }
}

pub(super) struct Channel;

impl Responder for Channel {
    const NAME: &'static str = "actix-web-lab-channel";
    const COMMENT: &'static str = COMMENT;

    fn respond(feed: Feed, request: &HttpRequest) -> HttpResponse {
        let (sender, receiver) = mpsc::channel(CHANNEL);
        feed.send_to((sender, event as fn(_) -> _));
        Sse::from_infallible_receiver(receiver).with_keep_alive(KEEP_ALIVE).respond_to(request)
    }
}
