//! axum 0.8 with the adapter.

use crate::events;

use std::{io, net::TcpListener};

use axum::{Router, response::IntoResponse, routing::get};
use ssekit::axum::{DrainOptions, Sse, SseRequest, StreamGroup, serve};

async fn respond(request: SseRequest) -> impl IntoResponse {
    Sse::from(events(request.0))
}

pub async fn run(
    listener: TcpListener,
    streams: StreamGroup,
    signal: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = Router::new().route("/events", get(respond));
    let report = serve(listener, app)?.with_shutdown(signal, &streams, DrainOptions::new()).await;
    println!("{report}");
    Ok(())
}
