//! A server that event streams do well on.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use actix_http::Request;
use actix_service::IntoServiceFactory;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Response, Server, ServiceFactory};
use actix_web::{Error, HttpServer};
use ssekit_server::{DrainOptions, DrainReport, StreamGroup};
use tokio::time::{Instant, timeout_at};

/// What a server has at the least to send what it has, before it ends in any case.
const GRACE: Duration = Duration::from_millis(50);

/// The same server, set up for event streams; do this before it listens.
///
/// - A client that closes its connection has gone (`h1_allow_half_closed(false)`): its stream is dropped at once. By
///   default actix-web goes on writing to it, and notices at one of the next writes.
/// - Small events go out at once (`tcp_nodelay(true)`).
/// - It does not stop by signals (`disable_signals`), which would cut the streams off; stop it by [`serve`].
/// - Its connections are counted by `streams`, so that [`serve`] need not wait for the next second to see them gone. It
///   does so by `on_connect`: one of your own takes its place, and has to put a [`StreamGroup::connection`] into the
///   connection's data.
///
/// Let it listen on a listener of [`SocketOptions`](ssekit_server::SocketOptions), which notice clients that vanish.
pub fn configure<F, I, S, B>(server: HttpServer<F, I, S, B>, streams: &StreamGroup) -> HttpServer<F, I, S, B>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    B: MessageBody + 'static,
{
    let streams = streams.clone();
    server.h1_allow_half_closed(false).tcp_nodelay(true).disable_signals().on_connect(move |_, data| {
        data.insert(streams.connection());
    })
}

/// Runs a server until `signal`; then its streams are [drained](StreamGroup::drain), and it stops gracefully.
///
/// During the drain it goes on answering requests, new streams by when to come back. At the deadline it returns in any
/// case; what connections are open then, of clients that do not read or have said nothing yet, end with the process, or
/// by actix-web's own timeouts. It does not wait for HTTP/2 connections that had a stream,
/// since actix-web does not close them: a twentieth of a second after the drain, other requests on them are cut off.
///
/// # Errors
///
/// The server's own, if it fails.
pub async fn serve(
    server: Server,
    signal: impl Future<Output = ()>,
    streams: &StreamGroup,
    options: DrainOptions,
) -> io::Result<DrainReport> {
    let handle = server.handle();
    let is_draining = Cell::new(false);
    let mut work = pin!(async {
        signal.await;
        is_draining.set(true);
        let deadline = Instant::now() + options.deadline();
        let report = streams.drain(options).await;
        // The server itself looks but once a second whether its connections have gone.
        let stopped = handle.stop(true);
        let grace = Instant::now() + GRACE;
        let gone = async {
            if streams.counts_connections() {
                streams.connections_closed().await;
                // Those of HTTP/2 are not counted.
                let _ = timeout_at(grace, stopped).await;
            } else {
                stopped.await;
            }
        };
        let _ = timeout_at(deadline.max(grace), gone).await;
        report
    });
    let mut server = pin!(server);
    let mut is_running = true;
    let report = poll_fn(|cx| {
        if let Poll::Ready(report) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(Some(report)));
        }
        if is_running && server.as_mut().poll(cx)?.is_ready() {
            is_running = false;
        }
        if is_running || is_draining.get() { Poll::Pending } else { Poll::Ready(Ok(None)) }
    });
    match report.await {
        Ok(Some(report)) => Ok(report),
        // It was stopped by another, and has no streams left.
        Ok(None) => Ok(streams.drain(DrainOptions::new()).await),
        Err(error) => Err(error),
    }
}
