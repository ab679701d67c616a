//! A server that event streams do well on.

use std::convert::Infallible;
use std::fmt;
use std::future::{IntoFuture, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use ssekit_server::{CloseReason, DrainOptions, DrainReport, StreamHandle, Streams};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tower_service::Service;

use crate::links::{Linked, Links, Order};
use crate::preface::{Protocol, Rewound, detect};

/// How long a client may take to send the head of a request, and to say which HTTP it speaks.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How often an HTTP/2 connection is pinged, and how long it has to answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// What is held of a stream that its client does not take, and on HTTP/1.1 of a request's head.
const MAX_BUFFER: usize = 128 << 10;
/// How long nothing is accepted when that has failed, for want of file descriptors mostly.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a client that has been accepted may take to say something when the server ends, if no other goes on.
const FIRST_WORD: Duration = Duration::from_millis(500);
/// What a connection has at the least to send what it has, when the deadline has come.
const GRACE: Duration = Duration::from_millis(100);

/// Serves `app`, a [`Router`](axum::Router) or any other service, on `listener`: HTTP/1.1, and HTTP/2 for clients that
/// start with it (h2c with prior knowledge).
///
/// It stands in for `axum::serve`, and does what event streams want:
///
/// - It can be shut down with streams open: see [`with_shutdown`](Serve::with_shutdown).
/// - A connection on which a client takes nothing ends with its stream, when that is over as
///   [`CloseReason::SlowConsumer`] (HTTP/1.1; on HTTP/2 there may be other streams).
/// - An idle connection takes half the memory.
///
/// Socket options are the listener's: take one of [`SocketOptions`](ssekit_server::SocketOptions). Handlers can extract
/// [`ConnectInfo<SocketAddr>`]. It never ends by itself: when no connection can be accepted, it tries again after
/// half a second.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use ssekit_axum::{DrainOptions, SocketOptions, Streams, serve};
///
/// # async fn run() -> std::io::Result<()> {
/// let streams = Streams::new();
/// let app = Router::new().route("/", get(|| async { "hello" }));
/// let listener = SocketOptions::new().listen(([127, 0, 0, 1], 8080).into())?;
/// let signal = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
/// let report = serve(listener, app)?.with_shutdown(signal, &streams, DrainOptions::new()).await;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The listener cannot be used by tokio.
pub fn serve<A>(listener: std::net::TcpListener, app: A) -> io::Result<Serve<A>> {
    listener.set_nonblocking(true)?;
    Ok(Serve {
        listener: TcpListener::from_std(listener)?,
        app,
        signal: Box::pin(pending()),
        streams: Streams::new(),
        options: DrainOptions::new(),
    })
}

/// How a server ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shutdown {
    /// For good: until its streams are drained, it answers those who come.
    #[default]
    Stop,
    /// Another process has the same listening socket. So it accepts no more connections, and a client that was accepted
    /// before, and has not sent its request yet, has until the deadline to do so: nobody is refused.
    HandOver,
}

impl From<()> for Shutdown {
    fn from((): ()) -> Self {
        Self::Stop
    }
}

/// A server to be awaited; made by [`serve()`]. Dropped, it ends all its connections.
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve<A> {
    listener: TcpListener,
    app: A,
    signal: Pin<Box<dyn Future<Output = Shutdown> + Send>>,
    streams: Streams,
    options: DrainOptions,
}

impl<A> Serve<A> {
    /// The same server, which drains `streams` at `signal`, and then ends.
    ///
    /// While they are [drained](Streams::drain), it accepts connections and answers requests, new streams by when to come back. Then it
    /// accepts no more, and lets requests that are under way end. At the deadline, which is at least a tenth of a second after the
    /// drain, it ends in any case, and with it the connections of clients that do not read.
    ///
    /// The signal's output can say that this is a [`Shutdown::HandOver`].
    pub fn with_shutdown<F>(mut self, signal: F, streams: &Streams, options: DrainOptions) -> Self
    where
        F: Future<Output: Into<Shutdown>> + Send + 'static,
    {
        self.signal = Box::pin(async { signal.await.into() });
        self.streams = streams.clone();
        self.options = options;
        self
    }
}

impl<A> fmt::Debug for Serve<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl<A> IntoFuture for Serve<A>
where
    A: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    A::Future: Send,
{
    type Output = DrainReport;
    type IntoFuture = Pin<Box<dyn Future<Output = DrainReport> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<A> Serve<A>
where
    A: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    A::Future: Send,
{
    async fn run(self) -> DrainReport {
        let Self { listener, app, mut signal, streams, options } = self;
        let deadline = options.deadline();
        let links = StopWhenDropped(Arc::default());
        let report = {
            let mut accepting = pin!(accept(&listener, app, &streams, &links.0));
            // The signal first, before a connection that comes with it.
            let shutdown = poll_fn(|cx| match signal.as_mut().poll(cx) {
                Poll::Ready(shutdown) => Poll::Ready(shutdown),
                Poll::Pending => accepting.as_mut().poll(cx).map(|never| match never {}),
            })
            .await;
            links.0.wait_for_first_word(match shutdown {
                Shutdown::Stop => FIRST_WORD,
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
        links.0.tell(Order::Finish);
        if timeout(deadline.saturating_sub(report.took).max(GRACE), links.0.emptied()).await.is_err() {
            links.0.tell(Order::Stop);
            links.0.emptied().await;
        }
        report
    }
}

/// The connections of a server, which end with it in any case.
struct StopWhenDropped(Arc<Links>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.tell(Order::Stop);
    }
}

/// Accepts connections, for ever.
async fn accept<A>(listener: &TcpListener, app: A, streams: &Streams, links: &Arc<Links>) -> Infallible
where
    A: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    A::Future: Send,
{
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let linked = links.add(streams.connection());
                tokio::spawn(begin(socket, peer, app.clone(), linked));
            }
            // The connection's own error, before it was accepted.
            Err(error) if is_of_connection(&error) => {}
            Err(_) => sleep(PAUSE).await,
        }
    }
}

fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

/// Waits for the first bytes of a connection.
async fn begin<A>(socket: TcpStream, peer: SocketAddr, app: A, linked: Linked)
where
    A: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    A::Future: Send,
{
    let detected = {
        let mut detected = pin!(timeout(HEAD_TIMEOUT, detect(socket)));
        // Its request may be on the way, and would be lost with the connection.
        let mut given_up = pin!(async {
            linked.told(Order::Finish).await;
            let _ = timeout(linked.first_word(), linked.told(Order::Stop)).await;
        });
        poll_fn(|cx| match detected.as_mut().poll(cx) {
            Poll::Ready(detected) => Poll::Ready(detected.ok().and_then(Result::ok)),
            Poll::Pending => given_up.as_mut().poll(cx).map(|()| None),
        })
        .await
    };
    // A task anew, so that a connection takes no more memory than its own kind needs.
    match detected {
        None => {}
        Some((Protocol::Http1, io)) => drop(tokio::spawn(http1(io, peer, app, linked))),
        Some((Protocol::Http2, io)) => drop(tokio::spawn(http2(io, peer, app, linked))),
    }
}

fn http1<A>(io: Rewound, peer: SocketAddr, app: A, linked: Linked) -> impl Future<Output = ()> + Send
where
    A: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    A::Future: Send,
{
    let link = linked.link.clone();
    let service = service_fn(move |request| {
        let (answer, link) = (answer(app.clone(), request, peer), link.clone());
        boxed(async move {
            let response = answer.await;
            if let Some(stream) = response.extensions().get::<StreamHandle>() {
                // Of a client that does not read: nothing else would end its connection.
                stream.on_close(move |reason| {
                    if reason == CloseReason::SlowConsumer {
                        link.cut();
                    }
                });
            }
            response
        })
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_BUFFER);
    let connection = builder.serve_connection(TokioIo::new(io), service).with_upgrades();
    Driven { connection, finish: |connection| connection.graceful_shutdown(), is_finishing: false, linked }
}

fn http2<A>(io: Rewound, peer: SocketAddr, app: A, linked: Linked) -> impl Future<Output = ()> + Send
where
    A: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    A::Future: Send,
{
    let service = service_fn(move |request| boxed(answer(app.clone(), request, peer)));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_INTERVAL);
    builder.max_send_buf_size(MAX_BUFFER).enable_connect_protocol();
    let connection = builder.serve_connection(TokioIo::new(io), service);
    Driven { connection, finish: |connection| connection.graceful_shutdown(), is_finishing: false, linked }
}

/// hyper keeps room for a service's future as long as the connection lives.
fn boxed(
    answer: impl Future<Output = Response> + Send + 'static,
) -> Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>> {
    Box::pin(async { Ok(answer.await) })
}

async fn answer<A>(mut app: A, request: hyper::Request<Incoming>, peer: SocketAddr) -> Response
where
    A: Service<Request, Response = Response, Error = Infallible>,
{
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    let ready = poll_fn(|cx| app.poll_ready(cx)).await;
    match ready.map(|()| app.call(request)) {
        Ok(answer) => answer.await.unwrap_or_else(|never| match never {}),
        Err(never) => match never {},
    }
}

pin_project! {
    /// Drives a connection to its end, to that of the server, or until it is cut.
    struct Driven<C> {
        #[pin]
        connection: C,
        finish: fn(Pin<&mut C>),
        is_finishing: bool,
        linked: Linked,
    }
}

impl<C: Future> Future for Driven<C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            let order = this.linked.order(cx);
            // Before it is to finish, since one that has read nothing yet would do so with its request unread.
            if order == Order::Stop || this.connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if order == Order::Go || *this.is_finishing {
                return Poll::Pending;
            }
            (this.finish)(this.connection.as_mut());
            *this.is_finishing = true;
        }
    }
}
