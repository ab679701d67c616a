//! The crate `eventsource-client`. Its events own `String`s.
//!
//! Its parser is private. But a client takes a transport of one's own, so here it gets one whose answer is there at
//! once, with the chunks as its body. That adds a request for each stream and two boxes, which is little beside a MiB.

use bytes::Bytes;
use eventsource_client::{Client, ClientBuilder, Error, ReconnectOptions, SSE};
use futures_util::stream;
use http::{Request, Response};
use launchdarkly_sdk_transport::{ByteStream, HttpTransport, ResponseFuture};

use super::{Decoder, Gives, drain};
use crate::Totals;

#[derive(Clone)]
struct InMemory(Vec<Bytes>);

impl HttpTransport for InMemory {
    fn request(&self, _: Request<Option<Bytes>>) -> ResponseFuture {
        let body: ByteStream = Box::pin(stream::iter(self.0.clone().into_iter().map(Ok)));
        Box::pin(async { Ok(Response::new(body)) })
    }
}

pub(super) struct Rival;

impl Decoder for Rival {
    const NAME: &'static str = "eventsource-client";
    const GIVES: Gives = Gives::Owned;
    const IS_STREAM: bool = true;

    fn count(chunks: &[Bytes]) -> Totals {
        let client = ClientBuilder::for_url("http://localhost/")
            .expect("it is a URL")
            .reconnect(ReconnectOptions::reconnect(false).build())
            .build_with_transport(InMemory(chunks.to_vec()));
        drain(client.stream(), |totals, event| match event {
            Ok(SSE::Event(event)) => totals.add(&event.event_type, event.data, event.id.as_deref().unwrap_or_default()),
            Ok(SSE::Connected(_) | SSE::Comment(_)) | Err(Error::Eof) => {}
            Err(error) => panic!("the stream is valid, but: {error}"),
        })
    }
}
