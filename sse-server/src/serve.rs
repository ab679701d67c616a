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
use crate::control::StreamHandle;
use crate::drain::{DrainOptions, DrainReport, StreamGroup};
use crate::links::{Linked, Links, Order};
use crate::preface::{Protocol, Rewound, detect};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

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

/// Serves on `listener` what `make_service` makes for each connection, given its client's address: HTTP/1.1, and HTTP/2
/// for clients that start with it (h2c with prior knowledge). It is hyper, set up for event streams:
///
/// - It can be shut down with streams open: see [`with_shutdown`](Serve::with_shutdown).
/// - A connection on which a client takes nothing ends with its stream, when that is over as
///   [`CloseReason::SlowConsumer`], if the response has the [`StreamHandle`] in its extensions (HTTP/1.1; on HTTP/2 there
///   may be other streams).
/// - An idle connection takes little memory.
///
/// Socket options are the listener's: take one of [`SocketOptions`](crate::SocketOptions). It never ends by itself: when
/// no connection can be accepted, it tries again after half a second.
///
/// # Errors
///
/// The listener cannot be used by tokio.
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
///         let mut response = http::Response::new(body);
///         let content_type = http::HeaderValue::from_static("text/event-stream");
///         response.headers_mut().insert("content-type", content_type);
///         async { Ok::<_, Infallible>(response) }
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
pub struct Serve<M> {
    listener: TcpListener,
    make_service: M,
    signal: Pin<Box<dyn Future<Output = Shutdown> + Send>>,
    streams: StreamGroup,
    options: DrainOptions,
}

impl<M> Serve<M> {
    /// The same server, which drains `streams` at `signal`, and then ends.
    ///
    /// While they are [drained](StreamGroup::drain), it accepts connections and answers requests, new streams by when to come back. Then it
    /// accepts no more, and lets requests that are under way end. At the deadline, which is at least a tenth of a second after the
    /// drain, it ends in any case, and with it the connections of clients that do not read.
    ///
    /// A connection that was upgraded, to a WebSocket say, is no longer the server's: it ends with the runtime.
    ///
    /// The signal's output can say that this is a [`Shutdown::HandOver`].
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
        let links = StopWhenDropped(Arc::default());
        let report = {
            let mut accepting = pin!(accept(&listener, make_service, &streams, &links.0));
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
async fn accept<M, S, B>(
    listener: &TcpListener,
    make_service: M,
    streams: &StreamGroup,
    links: &Arc<Links>,
) -> Infallible
where
    M: Fn(SocketAddr) -> S,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let linked = links.add(streams.connection());
                tokio::spawn(begin(socket, make_service(peer), linked));
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
async fn begin<S, B>(socket: TcpStream, service: S, linked: Linked)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
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
        Some((Protocol::Http1, io)) => drop(tokio::spawn(http1(io, service, linked))),
        Some((Protocol::Http2, io)) => drop(tokio::spawn(http2(io, service, linked))),
    }
}

fn http1<S, B>(io: Rewound, service: S, linked: Linked) -> impl Future<Output = ()> + Send
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let link = linked.link.clone();
    let service = service_fn(move |request| {
        let (answer, link) = (service.call(request), link.clone());
        boxed(async move {
            let response = answer.await?;
            if let Some(stream) = response.extensions().get::<StreamHandle>() {
                // Of a client that does not read: nothing else would end its connection.
                stream.on_close(move |reason| {
                    if reason == CloseReason::SlowConsumer {
                        link.cut();
                    }
                });
            }
            Ok(response)
        })
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_BUFFER);
    let connection = builder.serve_connection(TokioIo::new(io), service).with_upgrades();
    Driven { connection, finish: |connection| connection.graceful_shutdown(), is_finishing: false, linked }
}

fn http2<S, B>(io: Rewound, service: S, linked: Linked) -> impl Future<Output = ()> + Send
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let service = service_fn(move |request| boxed(service.call(request)));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_INTERVAL);
    builder.max_send_buf_size(MAX_BUFFER).enable_connect_protocol();
    let connection = builder.serve_connection(TokioIo::new(io), service);
    Driven { connection, finish: |connection| connection.graceful_shutdown(), is_finishing: false, linked }
}

type Answer<B> = Pin<Box<dyn Future<Output = Result<Response<B>, Infallible>> + Send>>;

/// hyper keeps room for a service's future as long as the connection lives.
fn boxed<B>(answer: impl Future<Output = Result<Response<B>, Infallible>> + Send + 'static) -> Answer<B> {
    Box::pin(answer)
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
