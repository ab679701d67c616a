//! Live data of this machine and a chat as an event stream, and a page that shows them. On axum; `live_actix` is the same on
//! actix-web.
//!
//! `cargo run --release --example live -- [--addr HOST:PORT] [--tail FILE] [--redis URL]`

mod app;
#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::{get, post};
use ssekit::axum::{HubResponse, SseRequest, serve};

use app::{Answer, App, MAX_BODY, PAGE};

#[tokio::main]
async fn main() -> ExitCode {
    app::main("live", async |listener, app, signal| {
        let streams = app.hub.streams().clone();
        let router = Router::new()
            .route("/", get(async || Html(PAGE)))
            .route("/events", get(events))
            .route("/chat", post(chat).layer(DefaultBodyLimit::max(MAX_BODY)))
            .route("/hub_stats", get(hub_stats))
            .route("/ready", get(ready))
            .route("/live", get(async || "live"))
            .fallback(async || Redirect::to("/"))
            .with_state(app);
        Ok(serve(listener, router)?.with_shutdown(signal, &streams, App::end()).await)
    })
    .await
}

async fn events(State(app): State<App>, request: SseRequest) -> impl IntoResponse {
    HubResponse::from(app.events(&request))
}

async fn chat(State(app): State<App>, body: Bytes) -> impl IntoResponse {
    answer(app.chat(&body).await)
}

async fn ready(State(app): State<App>) -> impl IntoResponse {
    answer(app.ready())
}

fn answer((status, text): Answer) -> impl IntoResponse {
    StatusCode::from_u16(status).map(|status| (status, text)).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn hub_stats(State(app): State<App>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], app.hub_stats())
}
