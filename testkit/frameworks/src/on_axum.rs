//! axum 0.8 without the adapter.

use crate::events;

use std::io;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use ssekit::server::{DrainOptions, SseRequest, StreamGroup};
use tokio::net::TcpListener;

async fn respond(request: Request) -> Response {
    match SseRequest::from_http(&request) {
        Ok(request) => events(request).into_http().into_response(),
        Err(rejection) => rejection.into_http().into_response(),
    }
}

pub async fn run(
    listener: TcpListener,
    streams: StreamGroup,
    signal: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = Router::new().route("/events", get(respond));
    let drain = async move {
        signal.await;
        streams.drain(DrainOptions::new()).await;
    };
    axum::serve(listener, app.into_make_service()).with_graceful_shutdown(drain).await
}
