//! An HTTP server, by hyper, that can shut down while event streams are open.

use std::convert::Infallible;
use std::fmt;
use std::future::{IntoFuture, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::close::CloseReason;
use crate::connections::{Connections, OpenConnection, ShutdownStage};
use crate::drain::{DrainOptions, DrainReport, StreamGroup};
use crate::http_version::{HttpVersion, ReplayedSocket, detect};
use crate::stream_handle::StreamHandle;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a client may take to send the head of a request, or its first bytes.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How often an HTTP/2 connection is pinged, and how long the client may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// The most bytes that are buffered for a stream whose client does not read, and for the head of an HTTP/1.1 request.
const MAX_BUFFER: usize = 128 << 10;
/// How long the server pauses after a failed accept. Most failures are a lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(500);
/// How long an accepted client may take to send its first byte when the server stops for good.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_millis(500);
/// The least time after the deadline in which a connection can send its buffered bytes.
const GRACE: Duration = Duration::from_millis(100);

/// Serves HTTP/1.1 and HTTP/2 on `listener`, with hyper set up for event streams.
///
/// `make_service` makes a service for each connection, from the address of its client. HTTP/2 is for clients that start
/// with it (h2c with prior knowledge).
///
/// - The server can shut down while streams are open: see [`with_shutdown`](Serve::with_shutdown).
/// - On HTTP/1.1, the connection of a client that reads nothing closes when its stream closes as
///   [`CloseReason::SlowConsumer`]. For this, the response must hold the [`StreamHandle`] in its extensions, as
///   [`into_http`](crate::EventBody::into_http) puts it there. An HTTP/2 connection stays open, because it may carry other
///   streams.
/// - An idle connection takes about 11 KiB of memory.
///
/// The listener determines the socket options: create it with [`SocketOptions`](crate::SocketOptions). The server never
/// ends by itself. When it cannot accept a connection, it tries again after half a second.
///
/// # Errors
///
/// Fails when tokio cannot use the listener.
///
/// ```no_run
/// use std::convert::Infallible;
/// use futures_util::stream;
/// use hyper::service::service_fn;
/// use ssekit_core::Event;
/// use ssekit_server::{DrainOptions, EventBody, SocketOptions, StreamGroup, serve};
///
/// # async fn run(signal: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
/// let streams = StreamGroup::new();
/// let listener = SocketOptions::new().listen(([127, 0, 0, 1], 8080).into())?;
/// let all = streams.clone();
/// let server = serve(listener, move |_peer| {
///     let streams = all.clone();
///     service_fn(move |_request| {
///         let body = EventBody::new(stream::iter([Event::data("hello")])).with_group(&streams);
///         async { Ok::<_, Infallible>(body.into_http()) }
///     })
/// })?;
/// let report = server.with_shutdown(signal, &streams, DrainOptions::new()).await;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
pub fn serve<M>(listener: std::net::TcpListener, make_service: M) -> io::Result<Serve<M>> {
    listener.set_nonblocking(true)?;
    Ok(Serve {
        listener: TcpListener::from_std(listener)?,
        make_service,
        signal: Box::pin(pending()),
        streams: StreamGroup::new(),
        options: DrainOptions::new(),
    })
}

/// The way in which a server shuts down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shutdown {
    /// The server stops for good. It accepts connections until its streams are drained.
    #[default]
    Stop,
    /// Another process has the same listening socket and continues to serve.
    ///
    /// This server accepts no more connections. A client that was accepted before may send its first request until the
    /// deadline, so no client is refused.
    HandOver,
}

impl From<()> for Shutdown {
    fn from((): ()) -> Self {
        Self::Stop
    }
}

/// A server that runs while it is awaited; made by [`serve()`].
///
/// Dropping it closes all its connections.
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve<M> {
    listener: TcpListener,
    make_service: M,
    signal: Pin<Box<dyn Future<Output = Shutdown> + Send>>,
    streams: StreamGroup,
    options: DrainOptions,
}

impl<M> Serve<M> {
    /// Drains `streams` when `signal` completes, and then shuts the server down.
    ///
    /// 1. During the [drain](StreamGroup::drain) the server accepts connections and answers requests. A new stream is
    ///    told when to reconnect.
    /// 2. After the drain it accepts no more connections, and finishes the requests that it has read.
    /// 3. At the deadline, but at least 100 ms after the drain, it closes all connections that are left.
    ///
    /// An upgraded connection, such as a WebSocket, no longer belongs to the server. It ends with the runtime.
    ///
    /// A signal with the output [`Shutdown::HandOver`] leaves new connections to another process.
    pub fn with_shutdown<F>(mut self, signal: F, streams: &StreamGroup, options: DrainOptions) -> Self
    where
        F: Future<Output: Into<Shutdown>> + Send + 'static,
    {
        self.signal = Box::pin(async { signal.await.into() });
        self.streams = streams.clone();
        self.options = options;
        self
    }
}

impl<M> fmt::Debug for Serve<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl<M, S, B> IntoFuture for Serve<M>
where
    M: Fn(SocketAddr) -> S + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Output = DrainReport;
    type IntoFuture = Pin<Box<dyn Future<Output = DrainReport> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<M, S, B> Serve<M>
where
    M: Fn(SocketAddr) -> S + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    async fn run(self) -> DrainReport {
        let Self { listener, make_service, mut signal, streams, options } = self;
        let deadline = options.deadline();
        let connections = StopOnDrop(Arc::default());
        let report = {
            let mut accepting = pin!(accept(&listener, make_service, &streams, &connections.0));
            // The signal is polled first, so that a connection which arrives together with it sees the shutdown.
            let shutdown = poll_fn(|cx| match signal.as_mut().poll(cx) {
                Poll::Ready(shutdown) => Poll::Ready(shutdown),
                Poll::Pending => accepting.as_mut().poll(cx).map(|never| match never {}),
            })
            .await;
            connections.0.set_first_byte_timeout(match shutdown {
                Shutdown::Stop => FIRST_BYTE_TIMEOUT,
                Shutdown::HandOver => deadline,
            });
            let mut drain = pin!(streams.drain(options));
            poll_fn(|cx| {
                if shutdown == Shutdown::Stop {
                    let _ = accepting.as_mut().poll(cx);
                }
                drain.as_mut().poll(cx)
            })
            .await
        };
        drop(listener);
        connections.0.advance(ShutdownStage::Finishing);
        if timeout(deadline.saturating_sub(report.took).max(GRACE), connections.0.all_closed()).await.is_err() {
            connections.0.advance(ShutdownStage::Stopping);
            connections.0.all_closed().await;
        }
        report
    }
}

/// Closes all connections of a server when the server is dropped.
struct StopOnDrop(Arc<Connections>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.advance(ShutdownStage::Stopping);
    }
}

/// Accepts connections forever.
async fn accept<M, S, B>(
    listener: &TcpListener,
    make_service: M,
    streams: &StreamGroup,
    connections: &Arc<Connections>,
) -> Infallible
where
    M: Fn(SocketAddr) -> S,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let connection = connections.add(streams.connection());
                tokio::spawn(serve_connection(socket, make_service(peer), connection));
            }
            // This one connection failed before it was accepted.
            Err(error) if is_connection_error(&error) => {}
            Err(_) => sleep(PAUSE).await,
        }
    }
}

fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

/// Waits for the first bytes of a connection, and then serves it.
async fn serve_connection<S, B>(socket: TcpStream, service: S, connection: OpenConnection)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let detected = {
        let mut detected = pin!(timeout(HEAD_TIMEOUT, detect(socket)));
        // The first request of the client may be on its way. It would be lost if the connection closed at once.
        let mut timed_out = pin!(async {
            connection.reached(ShutdownStage::Finishing).await;
            let _ = timeout(connection.first_byte_timeout(), connection.reached(ShutdownStage::Stopping)).await;
        });
        poll_fn(|cx| match detected.as_mut().poll(cx) {
            Poll::Ready(detected) => Poll::Ready(detected.ok().and_then(Result::ok)),
            Poll::Pending => timed_out.as_mut().poll(cx).map(|()| None),
        })
        .await
    };
    // A new task, so that a connection takes only the memory that its HTTP version needs.
    match detected {
        None => {}
        Some((HttpVersion::Http1, io)) => drop(tokio::spawn(http1(io, service, connection))),
        Some((HttpVersion::Http2, io)) => drop(tokio::spawn(http2(io, service, connection))),
    }
}

fn http1<S, B>(io: ReplayedSocket, service: S, open: OpenConnection) -> impl Future<Output = ()> + Send
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let abort = open.abort.clone();
    let service = service_fn(move |request| {
        let (answer, abort) = (service.call(request), abort.clone());
        boxed(async move {
            let response = answer.await?;
            if let Some(stream) = response.extensions().get::<StreamHandle>() {
                // Nothing else closes the connection of a client that does not read.
                stream.on_close(move |reason| {
                    if reason == CloseReason::SlowConsumer {
                        abort.abort();
                    }
                });
            }
            Ok(response)
        })
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_BUFFER);
    let connection = builder.serve_connection(TokioIo::new(io), service).with_upgrades();
    Driven { connection, finish: |connection| connection.graceful_shutdown(), is_finishing: false, open }
}

fn http2<S, B>(io: ReplayedSocket, service: S, open: OpenConnection) -> impl Future<Output = ()> + Send
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let service = service_fn(move |request| boxed(service.call(request)));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_INTERVAL);
    builder.max_send_buf_size(MAX_BUFFER).enable_connect_protocol();
    let connection = builder.serve_connection(TokioIo::new(io), service);
    Driven { connection, finish: |connection| connection.graceful_shutdown(), is_finishing: false, open }
}

type Answer<B> = Pin<Box<dyn Future<Output = Result<Response<B>, Infallible>> + Send>>;

/// Boxes the future of a service, because hyper keeps room for it for as long as the connection lives.
fn boxed<B>(answer: impl Future<Output = Result<Response<B>, Infallible>> + Send + 'static) -> Answer<B> {
    Box::pin(answer)
}

pin_project! {
    /// Drives a connection until it closes, the server stops, or the connection is aborted.
    struct Driven<C> {
        #[pin]
        connection: C,
        finish: fn(Pin<&mut C>),
        is_finishing: bool,
        open: OpenConnection,
    }
}

impl<C: Future> Future for Driven<C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            let stage = this.open.poll_stage(cx);
            // Poll before finishing. A connection that has read nothing yet would otherwise close with its request unread.
            if stage == ShutdownStage::Stopping || this.connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if stage == ShutdownStage::Running || *this.is_finishing {
                return Poll::Pending;
            }
            (this.finish)(this.connection.as_mut());
            *this.is_finishing = true;
        }
    }
}
