//! Ten thousand reconnections must leave no memory and no open files behind.

#![cfg(target_os = "linux")]

#[path = "../../tests/support/usage.rs"]
mod usage;

use std::io;
use std::time::Duration;

use socket2::SockRef;
use ssekit_client::{EventSource, Failure, RetryPolicy, SourceItem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use usage::{memory, open_files};

const RECONNECTIONS: usize = 10_000;

/// The growth that an allocator may cause. A leak of 200 bytes for each reconnection would be 2 MB.
const MEMORY: usize = 2 << 20;

/// The longest wait for something that happens at once on an idle machine.
const SOON: Duration = Duration::from_secs(60);

/// Answers the requests of a connection, by the number of each answer, until one answer ends the connection.
async fn serve(mut stream: TcpStream, answers: &mut usize) -> io::Result<()> {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut request = Vec::new();
    loop {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let n = *answers;
        *answers += 1;
        let event = format!("id: {n}\ndata: {}\n\n", "x".repeat(n % 3000));
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        // Covers all ways in which a stream ends or fails to open.
        match n % 7 {
            0 | 1 => stream.write_all(format!("{CHUNKED}{chunk}0\r\n\r\n").as_bytes()).await?,
            2 => return stream.write_all(format!("{CHUNKED}{chunk}fff\r\ndata: unfinished").as_bytes()).await,
            3 => {
                stream.write_all(format!("{CHUNKED}{chunk}").as_bytes()).await?;
                return SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            4 => stream.write_all(b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy").await?,
            5 => stream.write_all(b"HTTP/1.1 307 No\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n").await?,
            _ => return Ok(()),
        }
    }
}

/// Retries every transient failure at once.
fn without_delay() -> RetryPolicy {
    RetryPolicy::new()
        .with_retry_if(Failure::is_transient)
        .with_reconnection_time(Duration::ZERO)
        .with_backoff(Duration::ZERO, Duration::ZERO)
        .with_min_delay(Duration::ZERO)
}

#[tokio::test]
async fn ten_thousand_reconnections_leave_nothing_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut answers = 0;
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // An error means that the client has gone.
            let _ = serve(stream, &mut answers).await;
        }
    });
    let mut source = EventSource::get(url).with_retry_policy(without_delay()).with_idle_timeout(SOON).build().unwrap();
    let (mut opened, mut failed, mut events) = (0, 0, 0);
    let mut reconnect = async |times: usize| {
        for n in 0..times {
            loop {
                match timeout(SOON, source.next()).await.expect("an item in time").expect("an item before the end") {
                    Ok(SourceItem::Opened(_)) => opened += 1,
                    Ok(_) => events += 1,
                    Err(error) => {
                        assert!(error.retry_delay().is_some(), "{error}");
                        failed += 1;
                        break;
                    }
                }
                // Sometimes the program restarts an open source.
                if n % 10 == 9 && source.ready_state() == ssekit_client::ReadyState::Open {
                    source.restart();
                    break;
                }
            }
        }
    };
    // Warms up the allocator, buffers and pools.
    reconnect(1_000).await;
    let (files, before) = (open_files(), memory());
    reconnect(RECONNECTIONS).await;
    let more = memory().saturating_sub(before);
    eprintln!("{opened} opened, {failed} failed, {events} events; {} KiB more", more >> 10);
    assert!(opened > RECONNECTIONS / 2 && failed > RECONNECTIONS / 2 && events > RECONNECTIONS / 4);
    assert!(more < MEMORY, "{more} bytes are left after {RECONNECTIONS} reconnections");
    // At most one connection, with both of its ends.
    assert!(open_files() <= files + 4, "{} files were open before, and {} after", files, open_files());
    drop(source);
    server.abort();
}
