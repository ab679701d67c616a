//! Live data of this machine as an event stream, and a page that shows it. On axum; `live_actix` is the same on actix-web.
//!
//! `cargo run --release --example live -- [--addr HOST:PORT] [--tail FILE]`

mod app;
#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;

use axum::Router;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::get;
use ssekit::axum::{LastEventId, Sse, serve};

use app::{App, PAGE};

#[tokio::main]
async fn main() -> ExitCode {
    app::main("live", async |listener, app, signal| {
        let streams = app.streams.clone();
        let router = Router::new()
            .route("/", get(async || Html(PAGE)))
            .route("/events", get(events))
            .fallback(async || Redirect::to("/"))
            .with_state(app);
        Ok(serve(listener, router)?.with_shutdown(signal, &streams, App::end()).await)
    })
    .await
}

async fn events(State(app): State<App>, LastEventId(last): LastEventId) -> impl IntoResponse {
    Sse::from(app.events(last.as_ref().map(AsRef::as_ref)))
}
