//! One application for the servers of all adapters, so that the adapters cannot drift apart.

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use actix_web::middleware::{Compress, Condition};
use actix_web::{HttpServer, Responder, web};
use axum::extract::State;
use axum::routing::get;
use axum::{Router, response::IntoResponse};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http_body_util::{BodyStream, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Method, Request, Response, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ssekit::hub::{Hub, SessionPolicy, Subscribe};
use ssekit::server::{BoxError, CloseReason, DrainOptions, DrainReport, EventBody, Sender, SseRequest, StreamGroup};
use ssekit::{EncodedEvent, Event, EventStream, ReceivedEvent, actix as on_actix, axum as on_axum};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

/// Only a failure takes this long.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The stall timeout of the hub's streams.
const STALL: Duration = Duration::from_secs(1);

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The server `axum::serve`.
    Axum,
    /// The server `ssekit::axum::serve`.
    AxumServe,
    /// actix-web's `HttpServer` with `ssekit::actix::configure` and `serve`.
    Actix,
    /// actix-web's `HttpServer` without `configure`.
    ActixDefault,
}

/// The kinds that all cases run on.
pub(crate) const KINDS: [Kind; 3] = [Kind::Axum, Kind::AxumServe, Kind::Actix];

/// The HTTP version of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

pub(crate) type Body = EventBody<BoxStream<'static, io::Result<EncodedEvent>>>;

/// An application: `/events` is the handler of the test, `/channel` and `/callback` count to three, and `/hub/TOPIC` is a
/// topic of a hub.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) streams: StreamGroup,
    pub(crate) hub: Hub,
    handler: Arc<dyn Fn(SseRequest) -> Body + Send + Sync>,
    is_compressed: bool,
    closed: Arc<Mutex<Vec<CloseReason>>>,
}

impl App {
    pub(crate) fn new(handler: impl Fn(SseRequest) -> Body + Send + Sync + 'static) -> Self {
        let hub = Hub::default();
        let streams = hub.streams().clone();
        Self { streams, hub, handler: Arc::new(handler), is_compressed: false, closed: Arc::default() }
    }

    /// Creates an application with this hub, and with an empty stream at `/events`.
    pub(crate) fn with_hub(hub: Hub) -> Self {
        let app = Self::new(|_| EventBody::new(futures_util::stream::empty().boxed()));
        Self { streams: hub.streams().clone(), hub, ..app }
    }

    /// Adds the compression layer of the framework.
    pub(crate) fn compressed(mut self) -> Self {
        self.is_compressed = true;
        self
    }

    /// Returns the close reasons of the streams, in order.
    pub(crate) fn closed(&self) -> Vec<CloseReason> {
        self.closed.lock().unwrap().clone()
    }

    fn subscribe(topic: &str) -> Subscribe {
        let subscribe = Subscribe::topic(topic);
        if topic == "session" { subscribe.with_session("s", SessionPolicy::TakeOver) } else { subscribe }
    }

    fn body(&self, request: SseRequest) -> Body {
        let closed = self.closed.clone();
        let body = (self.handler)(request).with_group(&self.streams);
        body.on_close(move |reason| closed.lock().unwrap().push(reason))
    }

    /// Starts a server on a free port, which drains with these options.
    pub(crate) async fn start(&self, kind: Kind, options: DrainOptions) -> Server {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        self.start_on(kind, options, listener).await
    }

    pub(crate) async fn start_on(&self, kind: Kind, options: DrainOptions, listener: std::net::TcpListener) -> Server {
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let (report, reported) = oneshot::channel();
        let signal = async { stopped.await.unwrap_or_default() };
        let app = self.clone();
        // Each server runs in its own thread, because actix-web needs one.
        thread::spawn(move || match kind {
            Kind::Axum => block_on(async {
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let (streams, drained) = (app.streams.clone(), Arc::new(Mutex::new(None)));
                let kept = drained.clone();
                let signal = async move {
                    signal.await;
                    let report = streams.drain(options).await;
                    *kept.lock().unwrap() = Some(report);
                };
                axum::serve(listener, app.on_axum().into_make_service()).with_graceful_shutdown(signal).await.unwrap();
                let _ = report.send(drained.lock().unwrap().take().unwrap());
            }),
            Kind::AxumServe => block_on(async {
                let streams = app.streams.clone();
                let server = on_axum::serve(listener, app.on_axum()).unwrap();
                let _ = report.send(server.with_shutdown(signal, &streams, options).await);
            }),
            Kind::Actix | Kind::ActixDefault => actix_web::rt::System::new().block_on(async {
                let streams = app.streams.clone();
                let server = HttpServer::new(move || app.on_actix()).workers(1);
                let server = match kind {
                    Kind::Actix => on_actix::configure(server, &streams),
                    _ => server.disable_signals(),
                };
                let server = server.listen_auto_h2c(listener).unwrap();
                let _ = report.send(on_actix::serve(server.run(), signal, &streams, options).await.unwrap());
            }),
        });
        Server { addr, stop: Some(stop), reported }
    }

    fn on_axum(self) -> Router {
        async fn events(State(app): State<App>, request: on_axum::SseRequest) -> impl IntoResponse {
            on_axum::Sse::from(app.body(request.0))
        }
        async fn channel() -> impl IntoResponse {
            let (sender, sse) = on_axum::Sse::channel(1);
            tokio::spawn(count(sender));
            sse
        }
        async fn hub(
            State(app): State<App>,
            axum::extract::Path(topic): axum::extract::Path<String>,
            request: on_axum::SseRequest,
        ) -> impl IntoResponse {
            app.hub.respond(&request, App::subscribe(&topic)).with_stall_timeout(STALL)
        }
        let is_compressed = self.is_compressed;
        let router = Router::new()
            .route("/events", get(events))
            .route("/hub/{topic}", get(hub).post(hub))
            .route("/channel", get(channel))
            .route("/callback", get(async || on_axum::Sse::from_fn(count)))
            .with_state(self);
        // By default, the layer does not compress event streams.
        if is_compressed { router.layer(CompressionLayer::new().compress_when(SizeAbove::new(0))) } else { router }
    }

    fn on_actix(
        &self,
    ) -> actix_web::App<
        impl actix_web::dev::ServiceFactory<
            actix_web::dev::ServiceRequest,
            Config = (),
            Response = actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody + use<>>,
            Error = actix_web::Error,
            InitError = (),
        > + use<>,
    > {
        async fn events(app: web::Data<App>, request: on_actix::SseRequest) -> impl Responder {
            on_actix::Sse::from(app.body(request.0))
        }
        async fn channel() -> impl Responder {
            let (sender, sse) = on_actix::Sse::channel(1);
            actix_web::rt::spawn(count(sender));
            sse
        }
        async fn hub(app: web::Data<App>, topic: web::Path<String>, request: on_actix::SseRequest) -> impl Responder {
            app.hub.respond(&request, App::subscribe(&topic)).with_stall_timeout(STALL)
        }
        actix_web::App::new()
            .wrap(Condition::new(self.is_compressed, Compress::default()))
            .app_data(web::Data::new(self.clone()))
            .route("/events", web::get().to(events))
            .route("/hub/{topic}", web::get().to(hub))
            .route("/hub/{topic}", web::post().to(hub))
            .route("/channel", web::get().to(channel))
            .route("/callback", web::get().to(async || on_actix::Sse::from_fn(count)))
    }
}

/// Sends three events and finishes.
async fn count(sender: Sender) -> Result<(), BoxError> {
    for n in 1..=3 {
        sender.send(Event::data(n.to_string())).await?;
    }
    sender.finish();
    Ok(())
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

/// A running server.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    reported: oneshot::Receiver<DrainReport>,
}

impl Server {
    /// Starts the shutdown, and returns at once.
    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Waits for the end of the server, and returns the report of the drain.
    pub(crate) async fn ended(mut self) -> DrainReport {
        soon(&mut self.reported).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Stops a server that the test did not stop.
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

/// A connection of one client, for one request at a time over HTTP/1.1 and for many over HTTP/2.
pub(crate) struct Client {
    addr: SocketAddr,
    sender: Connection,
}

enum Connection {
    One(http1::SendRequest<Empty<Bytes>>),
    Two(http2::SendRequest<Empty<Bytes>>),
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr, http: Http) -> Self {
        Self::over(soon(TcpStream::connect(addr)).await.unwrap(), addr, http).await
    }

    pub(crate) async fn over(stream: TcpStream, addr: SocketAddr, http: Http) -> Self {
        let io = TokioIo::new(stream);
        let sender = match http {
            Http::One => {
                let (sender, connection) = http1::handshake(io).await.unwrap();
                tokio::spawn(connection);
                Connection::One(sender)
            }
            Http::Two => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
                tokio::spawn(connection);
                Connection::Two(sender)
            }
        };
        Self { addr, sender }
    }

    pub(crate) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        self.send(Method::GET, path, headers).await
    }

    pub(crate) async fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        let uri = match self.sender {
            Connection::One(_) => path.to_owned(),
            Connection::Two(_) => format!("http://{}{path}", self.addr),
        };
        let mut request = Request::builder().method(method).uri(uri);
        if let Connection::One(_) = self.sender {
            request = request.header(header::HOST, self.addr.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::new()).unwrap();
        match &mut self.sender {
            Connection::One(sender) => soon(sender.send_request(request)).await.unwrap(),
            Connection::Two(sender) => soon(sender.send_request(request)).await.unwrap(),
        }
    }
}

/// Returns the chunks of a response, until its end or its failure.
pub(crate) fn chunks(response: Response<Incoming>) -> impl Stream<Item = Result<Bytes, hyper::Error>> + Unpin + Send {
    let data = |frame: hyper::body::Frame<Bytes>| frame.into_data().ok().filter(|chunk| !chunk.is_empty());
    // Over HTTP/2, the end may come as an empty chunk.
    BodyStream::new(response.into_body()).try_filter_map(move |frame| ready(Ok(data(frame)))).boxed()
}

/// Returns the events of a response, whose body must not fail.
pub(crate) fn events(response: Response<Incoming>) -> impl Stream<Item = ReceivedEvent> + Unpin + Send {
    EventStream::new(chunks(response)).map(|event| event.unwrap()).boxed()
}

/// Checks repeatedly until `look` returns true.
pub(crate) async fn until(what: &str, look: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !look() {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.expect("it takes too long")
}
