//! warp 0.4.

use crate::events;

use ssekit::server::{DrainOptions, SseRequest, StreamGroup};
use tokio::net::TcpListener;
use warp::http::{HeaderMap, Method, Uri};
use warp::reply::{Reply, Response, stream};
use warp::{Filter, header, method, path};

fn respond(method: Method, headers: HeaderMap) -> Response {
    match SseRequest::from_head(&method, &Uri::default(), &headers) {
        Ok(request) => events(request).into_http().map(|body| stream(body).into_response().into_body()),
        Err(rejection) => rejection.into_http().into_response(),
    }
}

pub async fn run(listener: TcpListener, streams: StreamGroup, signal: impl Future<Output = ()> + Send + 'static) {
    let route = path!("events").and(method()).and(header::headers_cloned()).map(respond);
    let drain = async move {
        signal.await;
        streams.drain(DrainOptions::new()).await;
    };
    warp::serve(route).incoming(listener).graceful(drain).run().await;
}
