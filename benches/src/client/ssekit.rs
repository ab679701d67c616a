//! Our clients: `EventSource`, and its machine directly on hyper's client.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use ssekit_client::machine::{self, Action, Failure, ResponseHead};
use ssekit_client::{RetryPolicy, SourceItem, client_builder, reqwest};
use tokio::net::TcpStream;

use super::feed::Feed;
use super::{Client, Gives, unexpected};
use crate::{Kind, Totals};

/// An event source for each stream, on a shared reqwest client.
pub(super) struct EventSource(reqwest::Client);

impl Client for EventSource {
    const NAME: &'static str = "ssekit-event-source";
    const KIND: Kind = Kind::Ours;
    const GIVES: Gives = Gives::Shared;
    type Stream = ssekit_client::EventSource;

    fn new() -> io::Result<Self> {
        client_builder().no_proxy().build().map(Self).map_err(io::Error::other)
    }

    async fn open(&self, address: SocketAddr, feed: Feed) -> io::Result<Self::Stream> {
        open(&self.0, address, feed, None).await
    }

    async fn next(stream: &mut Self::Stream, totals: &mut Totals) -> io::Result<bool> {
        match stream.next().await {
            Some(Ok(SourceItem::Event(event))) => {
                totals.add(&event.event_type, event.data.as_str(), &event.last_event_id);
                Ok(true)
            }
            Some(Err(error)) if *error.failure() == Failure::StreamEnd => Ok(false),
            other => Err(unexpected(other)),
        }
    }
}

/// An event source with an idle timeout, and so a timer.
pub(super) struct WithIdleTimeout(EventSource);

impl Client for WithIdleTimeout {
    const NAME: &'static str = "ssekit-event-source-timeout";
    const KIND: Kind = Kind::Ours;
    const GIVES: Gives = Gives::Shared;
    type Stream = ssekit_client::EventSource;

    fn new() -> io::Result<Self> {
        EventSource::new().map(Self)
    }

    async fn open(&self, address: SocketAddr, feed: Feed) -> io::Result<Self::Stream> {
        open(&self.0.0, address, feed, Some(Duration::from_secs(30))).await
    }

    async fn next(stream: &mut Self::Stream, totals: &mut Totals) -> io::Result<bool> {
        EventSource::next(stream, totals).await
    }
}

async fn open(
    client: &reqwest::Client,
    address: SocketAddr,
    feed: Feed,
    idle_timeout: Option<Duration>,
) -> io::Result<ssekit_client::EventSource> {
    let source = ssekit_client::EventSource::get(feed.url(address)).with_client(client.clone());
    let source = source.with_retry_policy(RetryPolicy::never()).with_idle_timeout(idle_timeout).build();
    let mut source = source.map_err(io::Error::other)?;
    match source.next().await {
        Some(Ok(SourceItem::Opened(_))) => Ok(source),
        other => Err(unexpected(other)),
    }
}

/// The machine, whose events borrow. It has no connection pool, and follows no redirects.
pub(super) struct Machine;

pub(super) struct Driven {
    machine: machine::ClientMachine,
    start: Instant,
    body: Incoming,
    /// Keeps the connection open.
    _connection: SendRequest<Empty<Bytes>>,
}

impl Client for Machine {
    const NAME: &'static str = "ssekit-machine-hyper";
    const KIND: Kind = Kind::Ours;
    const GIVES: Gives = Gives::Borrowed;
    type Stream = Driven;

    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn open(&self, address: SocketAddr, feed: Feed) -> io::Result<Driven> {
        let mut machine = machine::ClientMachine::new(&feed.url(address), 1).map_err(io::Error::other)?;
        let start = Instant::now();
        let Action::SendRequest = machine.next_action(start.elapsed()) else { return Err(unexpected("no request")) };
        let stream = TcpStream::connect(address).await?;
        let (mut connection, work) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(work);
        let mut request = hyper::Request::get(feed.path()).header(HOST, address.to_string());
        for (name, value) in machine.request().headers() {
            request = request.header(name, value);
        }
        let request = request.body(Empty::new()).map_err(io::Error::other)?;
        let (head, body) = connection.send_request(request).await.map_err(io::Error::other)?.into_parts();
        let content_type = head.headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
        let mut response = ResponseHead::new(head.status.as_u16());
        response.content_type = content_type;
        if !machine.receive_head(start.elapsed(), response) {
            return Err(unexpected(machine.next_action(start.elapsed())));
        }
        Ok(Driven { machine, start, body, _connection: connection })
    }

    async fn next(stream: &mut Driven, totals: &mut Totals) -> io::Result<bool> {
        let Driven { machine, start, body, .. } = stream;
        match machine.next_action(start.elapsed()) {
            Action::ReadBody { until: None } => {}
            other => return Err(unexpected(other)),
        }
        let Some(frame) = body.frame().await else { return Ok(false) };
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            machine.receive_chunk(&data);
            let mut rest = &data[..];
            while let Some(event) = machine.next_event(&mut rest).map_err(io::Error::other)? {
                totals.add(event.event_type, event.data, event.last_event_id);
            }
        }
        Ok(true)
    }
}
