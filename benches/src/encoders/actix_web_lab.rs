//! `sse` of the crate `actix-web-lab`, which encodes by `russe`.
//!
//! As with axum, an event's bytes can be had as the chunks of a response's body only; here it is polled without a box.
//! Its events own `ByteString`s, so the strings are copied into them first.

use std::pin::pin;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web_lab::sse::{self, Sse};
use bytestring::ByteString;
use futures_util::{FutureExt, future, stream};

use super::{Encoder, Sink};
use crate::workloads::{Message, Workload};

fn with_head(data: sse::Data, message: &Message) -> sse::Event {
    let data = message.event_type.into_iter().map(ByteString::from_static).fold(data, sse::Data::event);
    message.id.iter().map(String::as_str).fold(data, sse::Data::id).into()
}

fn encode(workload: &Workload, sink: Sink<'_>, event: fn(&Message) -> sse::Event) {
    let messages = Arc::clone(&workload.messages);
    let events = (0..messages.len()).map(move |n| event(&messages[n]));
    let mut body = pin!(Sse::from_infallible_stream(stream::iter(events)));
    let drain = async {
        while let Some(bytes) = future::poll_fn(|context| body.as_mut().poll_next(context)).await {
            sink(&bytes.expect("type and ID are one line each"));
        }
    };
    drain.now_or_never().expect("all events are there");
}

#[derive(Default)]
pub(super) struct Data;

impl Encoder for Data {
    const NAME: &'static str = "actix-web-lab";

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>) {
        encode(workload, sink, |message| with_head(sse::Data::new(&*message.data), message));
    }
}

#[derive(Default)]
pub(super) struct JsonData;

impl Encoder for JsonData {
    const NAME: &'static str = "actix-web-lab-json";

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>) {
        encode(workload, sink, |message| {
            with_head(sse::Data::new_json(&message.json).expect("the value is plain"), message)
        });
    }
}
