//! The crate `reqwest-eventsource`, on reqwest 0.12 and `eventsource-stream`. Its events own three `String`s.

use std::io;
use std::net::SocketAddr;

use futures_util::StreamExt;
use reqwest_eventsource::retry::Never;
use reqwest_eventsource::{Error, Event, EventSource};

use super::feed::Feed;
use super::{Client, Gives, unexpected};
use crate::{Kind, Totals};

pub(super) struct Rival(reqwest_0_12::Client);

impl Client for Rival {
    const NAME: &'static str = "reqwest-eventsource";
    const KIND: Kind = Kind::Rival;
    const GIVES: Gives = Gives::Owned;
    type Stream = EventSource;

    fn new() -> io::Result<Self> {
        reqwest_0_12::Client::builder().no_proxy().build().map(Self).map_err(io::Error::other)
    }

    async fn open(&self, address: SocketAddr, feed: Feed) -> io::Result<EventSource> {
        let mut source = EventSource::new(self.0.get(feed.url(address))).map_err(io::Error::other)?;
        source.set_retry_policy(Box::new(Never));
        match source.next().await {
            Some(Ok(Event::Open)) => Ok(source),
            other => Err(unexpected(other)),
        }
    }

    async fn next(source: &mut EventSource, totals: &mut Totals) -> io::Result<bool> {
        match source.next().await {
            Some(Ok(Event::Message(event))) => {
                totals.add(&event.event, event.data, &event.id);
                Ok(true)
            }
            Some(Err(Error::StreamEnded)) => Ok(false),
            other => Err(unexpected(other)),
        }
    }
}
