//! How often the event source allocates.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use ssekit_client::{EventSource, Item};

ssekit_testkit::count_allocations!();

/// In one write, which a client on the same machine reads as one chunk, or as a few.
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

/// How many events were given with no allocation at all, and how many there were.
fn given(body: String) -> (usize, usize) {
    let url = serve(body);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut source = EventSource::get(url).with_one_shot().build().unwrap();
        let (mut free, mut all) = (0, 0);
        loop {
            let mut next = Box::pin(source.next());
            let (item, count) = std::future::poll_fn(|cx| match allocations(|| next.as_mut().poll(cx)) {
                (std::task::Poll::Ready(item), count) => std::task::Poll::Ready((item, count)),
                (std::task::Poll::Pending, _) => std::task::Poll::Pending,
            })
            .await;
            match item {
                Some(Ok(Item::Event(event))) => {
                    assert!(event.data.len() > 20, "it is no short one");
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
fn nothing_is_allocated_for_an_event_that_lies_whole_in_its_chunk() {
    let token = "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"delta\":{\"content\":\" word\"}}]}\n\n";
    let (free, all) = given(token.repeat(1000));
    assert_eq!(all, 1000);
    // 70 KB are a few chunks, of 8 KiB at the least: for an event that is the first of one, or that two have a part of, some
    // is allocated.
    assert!(all - free <= 2 * 70_000 / 8192, "{} of {all} events cost an allocation", all - free);
}

#[test]
fn nor_for_the_same_long_id_again_and_again() {
    let first = "id: an ID of more bytes than are kept in place\n\n";
    let event = "event: kind\ndata: more than two dozen bytes of data\n\n";
    let (free, all) = given([first, &event.repeat(1000)].concat());
    assert_eq!(all, 1000);
    assert!(all - free <= 2 * 60_000 / 8192, "{} of {all} events cost an allocation", all - free);
}
