//! Live data of this machine and a chat as an event stream, and a page that shows them. On actix-web; `live` is the same on
//! axum.
//!
//! `cargo run --release --example live_actix -- [--addr HOST:PORT] [--tail FILE] [--redis URL]`

#[path = "live/app/mod.rs"]
mod app;
mod common;

use std::process::ExitCode;

use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::web::{Bytes, Data, Html, PayloadConfig, Redirect, get, post, to};
use actix_web::{HttpResponse, HttpServer, Responder};
use ssekit::actix::{HubResponse, SseRequest, configure, serve};

use app::{Answer, App, MAX_BODY, PAGE};

#[tokio::main]
async fn main() -> ExitCode {
    app::main("live_actix", async |listener, app, signal| {
        let streams = app.hub.streams().clone();
        let data = Data::new(app);
        let factory = move || {
            actix_web::App::new()
                .app_data(data.clone())
                .app_data(PayloadConfig::new(MAX_BODY))
                .route("/", get().to(async || Html::new(PAGE)))
                .route("/events", get().to(events))
                .route("/chat", post().to(chat))
                .route("/hub_stats", get().to(hub_stats))
                .route("/ready", get().to(ready))
                .route("/live", get().to(async || "live"))
                .default_service(to(async || Redirect::to("/").see_other()))
        };
        // Of HTTP/2 too, for clients that start with it.
        let server = configure(HttpServer::new(factory), &streams).listen_auto_h2c(listener)?;
        serve(server.run(), signal, &streams, App::end()).await
    })
    .await
}

async fn events(app: Data<App>, request: SseRequest) -> impl Responder {
    HubResponse::from(app.events(&request))
}

async fn chat(app: Data<App>, body: Bytes) -> impl Responder {
    answer(app.chat(&body).await)
}

async fn ready(app: Data<App>) -> impl Responder {
    answer(app.ready())
}

fn answer((status, text): Answer) -> impl Responder {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status).body(text)
}

async fn hub_stats(app: Data<App>) -> impl Responder {
    HttpResponse::Ok().content_type(ContentType::json()).body(app.hub_stats())
}
