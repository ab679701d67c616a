//! A server that is set up for event streams and drains them when it stops.

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

/// The least time that connections have to send what they have buffered.
const GRACE: Duration = Duration::from_millis(50);

/// Sets a server up for event streams. Call this before the server listens.
///
/// - The stream of a client that closes its connection is dropped at once (`h1_allow_half_closed(false)`). By default,
///   actix-web notices the closed connection only at one of the next writes.
/// - Small events go out at once (`tcp_nodelay(true)`).
/// - Signals do not stop the server (`disable_signals`), because they would cut the streams off. [`serve`] stops it.
/// - `streams` counts the connections (`on_connect`), so that [`serve`] sees at once when they have closed. If you call
///   `on_connect` yourself, put a [`StreamGroup::connection`] into the data of the connection.
///
/// Bind the server to a listener of [`SocketOptions`](ssekit_server::SocketOptions), to notice clients that vanish.
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

/// Runs a server until `signal` completes, then [drains](StreamGroup::drain) its streams and stops it gracefully.
///
/// - During the drain the server answers requests. A new stream is told when to reconnect.
/// - At the deadline this function returns. The connections that are still open end with the process, or by the timeouts
///   of actix-web.
/// - actix-web does not close HTTP/2 connections. Requests on a connection that had a stream are cut off 50 ms after the
///   drain.
///
/// # Errors
///
/// Fails when the server fails.
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
        // The server itself checks only once a second whether its connections have closed.
        let stopped = handle.stop(true);
        let grace = Instant::now() + GRACE;
        let gone = async {
            if streams.counts_connections() {
                streams.connections_closed().await;
                // HTTP/2 connections are not counted.
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
        // Somebody else stopped the server, so no streams are left.
        Ok(None) => Ok(streams.drain(DrainOptions::new()).await),
        Err(error) => Err(error),
    }
}
