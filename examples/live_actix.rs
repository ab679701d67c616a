//! Live data of this machine as an event stream, and a page that shows it. On actix-web; `live` is the same on axum.
//!
//! `cargo run --release --example live_actix -- [--addr HOST:PORT] [--tail FILE]`

#[path = "live/app/mod.rs"]
mod app;
mod common;

use std::process::ExitCode;

use actix_web::web::{Data, Html, Redirect, get, to};
use actix_web::{HttpServer, Responder};
use ssekit::actix::{LastEventId, Sse, configure, serve};

use app::{App, PAGE};

#[tokio::main]
async fn main() -> ExitCode {
    app::main("live_actix", async |listener, app, signal| {
        let streams = app.streams.clone();
        let data = Data::new(app);
        let factory = move || {
            actix_web::App::new()
                .app_data(data.clone())
                .route("/", get().to(async || Html::new(PAGE)))
                .route("/events", get().to(events))
                .default_service(to(async || Redirect::to("/").see_other()))
        };
        // Of HTTP/2 too, for clients that start with it.
        let server = configure(HttpServer::new(factory), &streams).listen_auto_h2c(listener)?;
        serve(server.run(), signal, &streams, App::end()).await
    })
    .await
}

async fn events(app: Data<App>, LastEventId(last): LastEventId) -> impl Responder {
    Sse::from(app.events(last.as_ref().map(AsRef::as_ref)))
}
