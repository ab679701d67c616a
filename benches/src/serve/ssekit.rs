//! Ours.

use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use ssekit_axum::Sse;
use ssekit_core::{Event, Frame};

use super::axum::Responder;
use super::feed::{Feed, Text};
use crate::Kind;

/// The preamble.
const COMMENT: &str = ": \n\n";

fn frame(text: Text) -> Frame {
    Event::data(&text).into()
}

pub(super) struct Axum;

impl Responder for Axum {
    const NAME: &'static str = "ssekit-axum";
    const KIND: Kind = Kind::Ours;
    const COMMENT: &'static str = COMMENT;

    fn respond(feed: Feed) -> Response {
        Sse::new(feed.into_stream().map(frame)).into_response()
    }
}
