//! A naive reference decoder, to compare a fast incremental decoder with.
//!
//! It sees the whole input at once and follows the steps of the HTML standard, section 9.2.6 "Interpreting an event
//! stream", in the standard's order. The limits are an addition to the standard.

/// A dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatched {
    /// The event type, `message` if the stream has none.
    pub event_type: String,
    /// The data: the values, joined by LF.
    pub data: String,
    /// The last event ID when the event was dispatched.
    pub last_event_id: String,
}

/// The limit that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// The limit for the joined data of one block.
    Data,
    /// The limit for the value of an `event` field.
    EventType,
    /// The limit for the value of an `id` field, up to its first NUL.
    LastEventId,
}

/// The result of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The block dispatched an event.
    Event(Dispatched),
    /// The block exceeded a limit and was dropped, up to and including the blank line that ends it.
    Exceeded(Exceeded),
}

/// The limits, in bytes of decoded text. Text of exactly the limit's length is allowed.
#[derive(Debug, Clone, Copy)]
pub struct ReferenceLimits {
    /// The maximum length of the joined data of one block.
    pub data: usize,
    /// The maximum length of the value of an `event` field.
    pub event_type: usize,
    /// The maximum length of the value of an `id` field, up to its first NUL.
    pub last_event_id: usize,
}

impl ReferenceLimits {
    /// Does not limit anything.
    pub const NONE: Self = Self { data: usize::MAX, event_type: usize::MAX, last_event_id: usize::MAX };
}

/// The result of a whole stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The events, and the blocks that exceeded a limit, in order.
    pub items: Vec<Item>,
    /// The last event ID at the end, as a reconnection would send it.
    pub last_event_id: String,
    /// The last reconnection time the stream set, in milliseconds.
    pub reconnection_time: Option<u64>,
    /// The text after the colon of each finished comment line, its leading space kept.
    pub comments: Vec<String>,
}

/// Decodes a whole stream.
pub fn decode(input: &[u8], limits: ReferenceLimits) -> Decoded {
    // Streams must be decoded using the UTF-8 decode algorithm, which strips one leading BOM, if any.
    let input = input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(input);
    let definite = definite(input);
    let text = String::from_utf8_lossy(definite);
    let (lines, unfinished) = split_lines(&text);
    let mut stream = Stream {
        limits,
        // When a stream is parsed, the data, event type and last event ID buffers start as empty strings.
        data_buffer: String::new(),
        event_type_buffer: String::new(),
        last_event_id_buffer: String::new(),
        dropping: false,
        out: Decoded { items: Vec::new(), last_event_id: String::new(), reconnection_time: None, comments: Vec::new() },
    };
    // Lines must be processed, in the order they are received.
    for line in lines {
        stream.process_line(line);
    }
    // At the end of the file, pending data must be discarded: a block without its final blank line dispatches nothing.
    // But a value that has begun may already exceed a limit.
    if let Some((field, value_so_far)) = unfinished.split_once(':') {
        let value = value_so_far.strip_prefix(' ').unwrap_or(value_so_far);
        let has_begun = !value.is_empty() || definite.len() < input.len();
        // `retry` takes effect only when its line ends. An empty name means a comment.
        if field != "retry" && has_begun {
            stream.process_field(field, value);
        }
    }
    stream.out
}

/// Returns whether a stream that ends here ends inside a line, or inside an event with data, an ID or a type.
pub fn has_unfinished_event(input: &[u8]) -> bool {
    let input = input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(input);
    let text = String::from_utf8_lossy(input);
    let (lines, unfinished) = split_lines(&text);
    let last = lines.iter().rposition(|line| line.is_empty()).map_or(&lines[..], |blank| &lines[blank + 1..]);
    // The last `event` field of a block counts.
    let mut has_type = false;
    let has_others = last.iter().any(|line| {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        if field == "event" {
            has_type = !value.is_empty();
        }
        field == "data" || (field == "id" && !value.contains('\0'))
    });
    !unfinished.is_empty() || has_type || has_others
}

/// Returns `input` without an incomplete UTF-8 sequence at its end.
fn definite(input: &[u8]) -> &[u8] {
    let tail = input.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    // The error has no length if the sequence is incomplete. An empty tail is not an error.
    let is_incomplete = std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
    if is_incomplete { &input[..input.len() - tail.len()] } else { input }
}

/// Lines are separated by CRLF, by a single LF, or by a single CR. The text after the last line end is unfinished.
fn split_lines(text: &str) -> (Vec<&str>, &str) {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\r', '\n']) {
        lines.push(&rest[..end]);
        rest = rest[end..].strip_prefix("\r\n").unwrap_or(&rest[end + 1..]);
    }
    (lines, rest)
}

struct Stream {
    limits: ReferenceLimits,
    data_buffer: String,
    event_type_buffer: String,
    last_event_id_buffer: String,
    /// Whether this block has exceeded a limit.
    dropping: bool,
    /// Its `last_event_id` is what the standard calls the last event ID string of the event source.
    out: Decoded,
}

impl Stream {
    fn process_line(&mut self, line: &str) {
        if line.is_empty() {
            // If the line is empty: dispatch the event.
            self.dispatch();
        } else if let Some(comment) = line.strip_prefix(':') {
            // If the line starts with a colon: ignore the line.
            self.out.comments.push(comment.to_owned());
        } else if let Some((field, value)) = line.split_once(':') {
            // If it contains a colon: the field is what precedes the first colon, and the value is what follows it. If
            // the value starts with a space, remove it.
            self.process_field(field, value.strip_prefix(' ').unwrap_or(value));
        } else {
            // Otherwise: the whole line is the field name, and the value is the empty string.
            self.process_field(line, "");
        }
    }

    /// Field names must be compared literally, with no case folding performed.
    fn process_field(&mut self, field: &str, value: &str) {
        match field {
            // If the value consists of only ASCII digits, interpret it as an integer in base ten and set the
            // reconnection time to it; otherwise, ignore the field.
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                // Parsing fails only if the number is too large.
                self.out.reconnection_time = Some(value.parse().unwrap_or(u64::MAX));
            }
            // Not in the standard: after a block has exceeded a limit, its other fields do not count.
            _ if self.dropping => {}
            // Set the event type buffer to the value.
            "event" => {
                self.event_type_buffer = value.to_owned();
                self.check(value.len(), self.limits.event_type, Exceeded::EventType);
            }
            // Append the value to the data buffer, then append a single LF to the data buffer.
            "data" => {
                self.data_buffer += value;
                // The LF that follows the last value is removed again before the event is dispatched.
                self.check(self.data_buffer.len(), self.limits.data, Exceeded::Data);
                self.data_buffer += "\n";
            }
            // If the value does not contain NUL, set the last event ID buffer to it; otherwise, ignore the field.
            "id" => {
                if !value.contains('\0') {
                    self.last_event_id_buffer = value.to_owned();
                }
                let before_nul = value.split('\0').next().unwrap_or_default();
                self.check(before_nul.len(), self.limits.last_event_id, Exceeded::LastEventId);
            }
            // Otherwise: the field is ignored.
            _ => {}
        }
    }

    /// Drops the block if `len` exceeds `limit`. The text in the buffers is discarded when the block ends.
    fn check(&mut self, len: usize, limit: usize, exceeded: Exceeded) {
        if len > limit {
            self.dropping = true;
            self.out.items.push(Item::Exceeded(exceeded));
        }
    }

    fn dispatch(&mut self) {
        let mut data = std::mem::take(&mut self.data_buffer);
        let event_type = std::mem::take(&mut self.event_type_buffer);
        if std::mem::take(&mut self.dropping) {
            // Not in the standard: the ID of such a block is discarded.
            self.last_event_id_buffer = self.out.last_event_id.clone();
            return;
        }
        // Step 1: set the last event ID string to the value of the last event ID buffer. The buffer is not reset.
        self.out.last_event_id = self.last_event_id_buffer.clone();
        // Steps 2 and 3: if the data buffer is the empty string, reset the buffers and return. Otherwise, if its last
        // character is LF, remove that.
        if data.pop().is_none() {
            return;
        }
        // Steps 4 to 7: the event's type is `message`, or the event type buffer where that is not the empty string.
        let event_type = if event_type.is_empty() { "message".to_owned() } else { event_type };
        // Step 8: queue a task that dispatches the event.
        let last_event_id = self.out.last_event_id.clone();
        self.out.items.push(Item::Event(Dispatched { event_type, data, last_event_id }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Formats the items as `type=data@id`, or `!` and the limit, each followed by `;`, then `#` and the last event ID.
    fn shown(input: &[u8], limits: ReferenceLimits) -> String {
        let decoded = decode(input, limits);
        let item = |item: &Item| match item {
            Item::Event(event) => format!("{}={}@{};", event.event_type, event.data, event.last_event_id),
            Item::Exceeded(exceeded) => format!("!{exceeded:?};"),
        };
        decoded.items.iter().map(item).collect::<String>() + "#" + &decoded.last_event_id
    }

    fn check(limits: ReferenceLimits, cases: &[(&[u8], &str)]) {
        for (input, expected) in cases {
            assert_eq!(shown(input, limits), *expected, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn without_limits() {
        let cases: [(&[u8], &str); 11] = [
            (b"data\n\nevent:\ndata:a\ndata\r\rdata:  b\r\n\r\n", "message=@;message=a\n@;message= b@;#"),
            (b"event:x\n\ndata:a\n\n", "message=a@;#"),
            (b"event:x\nevent\ndata:a\n\nData:b\n data:b\n\n", "message=a@;#"),
            (b"id:1\n\nid:2\0\ndata:a\n\nid:3\n", "message=a@1;#1"),
            (b"id:1\n\ndata:a\nid\n\n", "message=a@;#"),
            (b"data:a\n\ndata:b\n", "message=a@;#"),
            (b"data:a\r\n\r", "message=a@;#"),
            (b"\xEF\xBB\xBFdata:a\n\n\xEF\xBB\xBFdata:b\n\n", "message=a@;#"),
            (b"\xEF\xBB\xBF\xEF\xBB\xBFdata:a\n\n", "#"),
            (b"\xEF\xBB\ndata:a\n\n", "message=a@;#"),
            (b"data:\xF0\x9F\x98\n\ndata:\xE2\x82A\xFF\n\n", "message=\u{FFFD}@;message=\u{FFFD}A\u{FFFD}@;#"),
        ];
        check(ReferenceLimits::NONE, &cases);
    }

    #[test]
    fn limits() {
        let cases: [(&[u8], &str); 29] = [
            // A value of exactly the limit's length is allowed. One space is stripped.
            (b"id: 12\nevent: ab\ndata: abc\n\n", "ab=abc@12;#12"),
            (b"data:abcd", "!Data;#"),
            (b"data: abc", "#"),
            (b"data:  abc", "!Data;#"),
            (b"event:abc", "!EventType;#"),
            (b"event:abc\nevent:x\ndata\n\n", "!EventType;#"),
            (b"id:123", "!LastEventId;#"),
            (b"other:abcd\n:abcd\ndata\n\n:abcd", "message=@;#"),
            // The LF between two fields counts as soon as the second value begins or its line ends.
            (b"data:abc\ndata", "#"),
            (b"data:abc\ndata: ", "#"),
            (b"data:abc\ndata: \xE2", "!Data;#"),
            (b"data:abc\ndata\n", "!Data;#"),
            (b"data:a\ndata:b\n\n", "message=a\nb@;#"),
            (b"data\ndata\ndata\ndata\n\n", "message=\n\n\n@;#"),
            (b"data\ndata\ndata\ndata\ndata\n\n", "!Data;#"),
            // NUL in an ID.
            (b"id:12\x003", "#"),
            (b"id:123\0\ndata\n\n", "!LastEventId;#"),
            (b"id:12\x003\ndata\n\n", "message=@;#"),
            // A replacement character counts three bytes. An incomplete sequence that may still be valid counts nothing.
            (b"data:\xFF", "#"),
            (b"data:a\xFF", "!Data;#"),
            (b"data:abc\xE2\x82", "#"),
            (b"data:abc\xE2\x82\n", "!Data;#"),
            (b"data:abc\xE2\x82\xE2", "!Data;#"),
            (b"data:abc\xF0\x80", "!Data;#"),
            // Only the block and its ID are dropped, and the error is reported once.
            (b"id:1\n\nid:2\ndata:abcd\nid:3\n\ndata:a\n\n", "!Data;message=a@1;#1"),
            (b"event:abc\ndata:abcd\nid:123\n\n\ndata:abcd\r\rdata\n\n", "!EventType;!Data;message=@;#"),
            (b"id:123\r\n\r\ndata\r\n\r\n", "!LastEventId;message=@;#"),
            (b"data:ab\n\ndata:ab\n\n", "message=ab@;message=ab@;#"),
            (b"id:2\ndata:abcd", "!Data;#"),
        ];
        check(ReferenceLimits { data: 3, event_type: 2, last_event_id: 2 }, &cases);
    }

    #[test]
    fn retry_and_comments() {
        let limits = ReferenceLimits { data: 0, ..ReferenceLimits::NONE };
        let decode = |input: &[u8]| decode(input, limits);
        for ignored in ["retry:5", "retry\n", "retry:+5\n", "retry:5 \n", "retry:  5\n", "retry:\u{0665}\n"] {
            assert_eq!(decode(ignored.as_bytes()).reconnection_time, None, "{ignored}");
        }
        assert_eq!(decode(b"retry: 007\n").reconnection_time, Some(7));
        assert_eq!(decode(b"retry:18446744073709551616\n").reconnection_time, Some(u64::MAX));
        let dropped = decode(b": a\ndata:b\n:c\nretry:1\n\n:\n:d");
        assert_eq!(dropped.items, [Item::Exceeded(Exceeded::Data)]);
        assert_eq!(dropped.reconnection_time, Some(1));
        assert_eq!(dropped.comments, [" a", "c", ""]);
    }
}
