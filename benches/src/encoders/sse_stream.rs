//! The crate `sse-stream`. Its events own `String`s, so the strings are copied into them first.
//!
//! As with axum, an event's bytes can be had as the frames of a response's body only; here it is polled without a box.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use futures_util::{FutureExt, stream};
use http_body_util::BodyExt;
use sse_stream::{Sse, SseBody};

use super::{Encoder, Sink};
use crate::workloads::{Message, Workload};

fn event(message: &Message) -> Sse {
    let event = Sse::default().data(message.data.as_str());
    let event = message.event_type.into_iter().fold(event, Sse::event);
    message.id.iter().fold(event, Sse::id)
}

#[derive(Default)]
pub(super) struct Rival;

impl Encoder for Rival {
    const NAME: &'static str = "sse-stream";

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>) {
        let messages = Arc::clone(&workload.messages);
        let events = (0..messages.len()).map(move |n| Ok::<_, Infallible>(event(&messages[n])));
        let mut body = pin!(SseBody::new(stream::iter(events)));
        let drain = async {
            while let Some(frame) = body.frame().await {
                let bytes = frame.ok().and_then(|frame| frame.into_data().ok());
                sink(&bytes.expect("the body has nothing but data"));
            }
        };
        drain.now_or_never().expect("all events are there");
    }
}
