//! poem 3, on the server of `ssekit::server`.

use crate::events;

use std::net::{SocketAddr, TcpListener};
use std::{convert::Infallible, io, sync::Arc};

use hyper::service::service_fn;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Body, Endpoint, Request, Response, ResponseParts, Route, get, handler};
use ssekit::server::{DrainOptions, SseRequest, StreamGroup, serve};

#[handler]
fn respond(request: &Request) -> Response {
    let answer = match SseRequest::from_head(request.method(), request.uri(), request.headers()) {
        Ok(request) => events(request).into_http().map(Body::from_bytes_stream),
        Err(rejection) => rejection.into_http().map(Body::from_string),
    };
    let (head, body) = answer.into_parts();
    let (status, version, headers, extensions) = (head.status, head.version, head.headers, head.extensions);
    Response::from_parts(ResponseParts { status, version, headers, extensions }, body)
}

pub async fn run(
    listener: TcpListener,
    streams: StreamGroup,
    signal: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = Arc::new(Route::new().at("/events", get(respond)));
    let server = serve(listener, move |client: SocketAddr| {
        let app = app.clone();
        service_fn(move |request| {
            let app = app.clone();
            let request = Request::from((request, LocalAddr::default(), RemoteAddr(client.into()), Scheme::HTTP));
            async move { Ok::<_, Infallible>(http::Response::from(app.get_response(request).await)) }
        })
    })?;
    let report = server.with_shutdown(signal, &streams, DrainOptions::new()).await;
    println!("{report}");
    Ok(())
}
