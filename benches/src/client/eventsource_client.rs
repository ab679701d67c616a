//! The crate `eventsource-client`, on its makers' transport by hyper. Its events own `String`s.

use std::io;
use std::net::SocketAddr;

use eventsource_client::{BoxStream, Client as _, ClientBuilder, Error, ReconnectOptions, SSE};
use futures_util::StreamExt;
use launchdarkly_sdk_transport::HyperTransport;

use super::feed::Feed;
use super::{Client, Gives, unexpected};
use crate::{Kind, Totals};

pub(super) struct Rival(HyperTransport);

impl Client for Rival {
    const NAME: &'static str = "eventsource-client";
    const KIND: Kind = Kind::Rival;
    const GIVES: Gives = Gives::Owned;
    type Stream = BoxStream<Result<SSE, Error>>;

    fn new() -> io::Result<Self> {
        HyperTransport::builder().disable_proxy().build_http().map(Self)
    }

    async fn open(&self, address: SocketAddr, feed: Feed) -> io::Result<Self::Stream> {
        let builder = ClientBuilder::for_url(&feed.url(address)).map_err(io::Error::other)?;
        let builder = builder.reconnect(ReconnectOptions::reconnect(false).build());
        let mut stream = builder.build_with_transport(self.0.clone()).stream();
        match stream.next().await {
            Some(Ok(SSE::Connected(_))) => Ok(stream),
            other => Err(unexpected(other)),
        }
    }

    async fn next(stream: &mut Self::Stream, totals: &mut Totals) -> io::Result<bool> {
        match stream.next().await {
            Some(Ok(SSE::Event(event))) => {
                totals.add(&event.event_type, event.data, event.id.as_deref().unwrap_or_default());
                Ok(true)
            }
            Some(Err(Error::Eof)) => Ok(false),
            other => Err(unexpected(other)),
        }
    }
}
