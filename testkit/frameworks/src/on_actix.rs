//! actix-web 4 with the adapter.

use crate::events;

use std::{io, net::TcpListener};

use actix_web::{App, HttpServer, Responder, web};
use ssekit::actix::{DrainOptions, Sse, SseRequest, StreamGroup, configure, serve};

async fn respond(request: SseRequest) -> impl Responder {
    Sse::from(events(request.0))
}

pub async fn run(listener: TcpListener, streams: StreamGroup, signal: impl Future<Output = ()>) -> io::Result<()> {
    let app = || App::new().service(web::resource("/events").get(respond).head(respond));
    let server = configure(HttpServer::new(app), &streams).listen(listener)?.run();
    let report = serve(server, signal, &streams, DrainOptions::new()).await?;
    println!("{report}");
    Ok(())
}
