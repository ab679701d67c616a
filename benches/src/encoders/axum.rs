//! axum's own `Event`.
//!
//! It is written into its buffer as it is built, and its bytes can be had in one way only: as the frames of a
//! response's body. So what is measured is the building and, for each event, a poll of that body, behind axum's
//! `Box<dyn Body>`; the response itself is one for all events. An application pays for the same, but it is more than
//! encoding.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures_util::{FutureExt, stream};
use http_body_util::BodyExt;

use super::{Encoder, Sink};
use crate::workloads::{Message, Workload};

fn head(message: &Message) -> Event {
    let event = Event::default();
    let event = message.event_type.into_iter().fold(event, Event::event);
    message.id.iter().fold(event, Event::id)
}

fn encode(workload: &Workload, sink: Sink<'_>, event: fn(&Message) -> Event) {
    let messages = Arc::clone(&workload.messages);
    let events = (0..messages.len()).map(move |n| Ok::<_, Infallible>(event(&messages[n])));
    let mut body = Sse::new(stream::iter(events)).into_response().into_body();
    let drain = async {
        while let Some(frame) = body.frame().await {
            let bytes = frame.ok().and_then(|frame| frame.into_data().ok());
            sink(&bytes.expect("the body has nothing but data"));
        }
    };
    drain.now_or_never().expect("all events are there");
}

#[derive(Default)]
pub(super) struct Data;

impl Encoder for Data {
    const NAME: &'static str = "axum";

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>) {
        encode(workload, sink, |message| head(message).data(&message.data));
    }
}

#[derive(Default)]
pub(super) struct JsonData;

impl Encoder for JsonData {
    const NAME: &'static str = "axum-json";

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>) {
        encode(workload, sink, |message| head(message).json_data(&message.json).expect("the value is plain"));
    }
}
