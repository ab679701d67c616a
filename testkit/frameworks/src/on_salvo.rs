//! salvo 0.85.

use crate::events;

use std::io;

use salvo::conn::tcp::TcpAcceptor;
use salvo::http::body::ResBody;
use salvo::{Request, Response, Router, Server, handler};
use ssekit::server::{DrainOptions, SseRequest, StreamGroup};
use tokio::net::TcpListener;

#[handler]
async fn respond(request: &Request, response: &mut Response) {
    let answer = match SseRequest::from_head(request.method(), request.uri(), request.headers()) {
        Ok(request) => events(request).into_http().map(ResBody::stream),
        Err(rejection) => rejection.into_http().map(ResBody::from),
    };
    let (head, body) = answer.into_parts();
    response.status_code(head.status);
    response.set_headers(head.headers);
    response.body(body);
}

pub async fn run(
    listener: TcpListener,
    streams: StreamGroup,
    signal: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::with_path("events").get(respond).head(respond);
    let server = Server::new(TcpAcceptor::try_from(listener)?);
    let handle = server.handle();
    tokio::spawn(async move {
        signal.await;
        streams.drain(DrainOptions::new()).await;
        handle.stop_graceful(None);
    });
    server.try_serve(router).await
}
