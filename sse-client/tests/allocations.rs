//! The allocations of an event source.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use ssekit_client::{EventSource, SourceItem};

ssekit_testkit::count_allocations!();

/// Serves the body in one write, which a client on the same machine reads as a few chunks.
fn serve(body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let mut len = 0;
        while !request[..len].ends_with(b"\r\n\r\n") {
            len += stream.read(&mut request[len..]).unwrap();
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        stream.write_all([head, &body].concat().as_bytes()).unwrap();
    });
    url
}

/// Returns the number of events that were returned without an allocation, and the number of all events.
fn given(body: String) -> (usize, usize) {
    let url = serve(body);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut source = EventSource::get(url).with_single_response().build().unwrap();
        let (mut free, mut all) = (0, 0);
        loop {
            let mut next = Box::pin(source.next());
            let (item, count) = std::future::poll_fn(|cx| match allocations(|| next.as_mut().poll(cx)) {
                (std::task::Poll::Ready(item), count) => std::task::Poll::Ready((item, count)),
                (std::task::Poll::Pending, _) => std::task::Poll::Pending,
            })
            .await;
            match item {
                Some(Ok(SourceItem::Event(event))) => {
                    assert!(event.data.len() > 20, "the data is too long to be kept in place");
                    all += 1;
                    free += usize::from(count == 0);
                }
                Some(item) => drop(item.unwrap()),
                None => return (free, all),
            }
        }
    })
}

#[test]
fn event_within_one_chunk_costs_no_allocation() {
    let token = "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"delta\":{\"content\":\" word\"}}]}\n\n";
    let (free, all) = given(token.repeat(1000));
    assert_eq!(all, 1000);
    // 70 KB are at most 9 chunks. The first event of a chunk allocates, and so does an event that lies in two.
    assert!(all - free <= 2 * 70_000 / 8192, "{} of {all} events cost an allocation", all - free);
}

#[test]
fn repeated_long_id_costs_no_allocation() {
    let first = "id: an ID of more bytes than are kept in place\n\n";
    let event = "event: kind\ndata: more than two dozen bytes of data\n\n";
    let (free, all) = given([first, &event.repeat(1000)].concat());
    assert_eq!(all, 1000);
    assert!(all - free <= 2 * 60_000 / 8192, "{} of {all} events cost an allocation", all - free);
}
