//! A naive reference decoder, for a fast incremental one to be held against.
//!
//! It sees the whole input at once and takes the steps of the HTML standard, section 9.2.6 "Interpreting an event
//! stream", in the standard's order. The limits are an addition to the standard.

/// An event as dispatched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatched {
    /// Its type, `message` where the stream gave none.
    pub event_type: String,
    /// Its data, the values joined by LF.
    pub data: String,
    /// The last event ID as it stood when the event was dispatched.
    pub last_event_id: String,
}

/// Which limit was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// That of the joined data of one block.
    Data,
    /// That of the value of an `event` field.
    EventType,
    /// That of the value of an `id` field, up to its first NUL.
    LastEventId,
}

/// What a block came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// It dispatched an event.
    Event(Dispatched),
    /// It went over a limit and was dropped, up to and including the blank line that ends it.
    Exceeded(Exceeded),
}

/// The limits, in bytes of decoded text. What is just as long as a limit is within it.
#[derive(Debug, Clone, Copy)]
pub struct ReferenceLimits {
    /// Of the joined data of one block.
    pub data: usize,
    /// Of the value of an `event` field.
    pub event_type: usize,
    /// Of the value of an `id` field, up to its first NUL.
    pub last_event_id: usize,
}

impl ReferenceLimits {
    /// No limits.
    pub const NONE: Self = Self { data: usize::MAX, event_type: usize::MAX, last_event_id: usize::MAX };
}

/// All that a stream comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The events, and the blocks that went over a limit, in order.
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
    // Yet once the value of a field has begun, what is there of it may be over a limit.
    if let Some((field, value_so_far)) = unfinished.split_once(':') {
        let value = value_so_far.strip_prefix(' ').unwrap_or(value_so_far);
        let has_begun = !value.is_empty() || definite.len() < input.len();
        // No retry: it takes effect when its line ends. And an empty name is that of a comment.
        if field != "retry" && has_begun {
            stream.process_field(field, value);
        }
    }
    stream.out
}

/// Whether a stream that ends here ends inside a line, or inside an event with data, an ID or a type.
pub fn has_unfinished_event(input: &[u8]) -> bool {
    let input = input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(input);
    let text = String::from_utf8_lossy(input);
    let (lines, unfinished) = split_lines(&text);
    let last = lines.iter().rposition(|line| line.is_empty()).map_or(&lines[..], |blank| &lines[blank + 1..]);
    // Of an event type the last one counts.
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

/// `input` without the sequence at its end that is valid UTF-8 so far but incomplete, if there is one.
fn definite(input: &[u8]) -> &[u8] {
    let tail = input.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    // This error has no length if the input ended where more was wanted. An empty tail is no error.
    let is_incomplete = std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
    if is_incomplete { &input[..input.len() - tail.len()] } else { input }
}

/// Lines are separated by CRLF, by a single LF, or by a single CR. What follows the last of these is unfinished.
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
    /// Whether this block went over a limit.
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
                // Only one that is too large does not parse.
                self.out.reconnection_time = Some(value.parse().unwrap_or(u64::MAX));
            }
            // Not in the standard: of a block that went over a limit, no other field counts.
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

    /// Drops the block if `len` is over `limit`. What the buffers still hold is discarded when the block ends.
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

    /// The items as `type=data@id`, or `!` and the limit, each followed by `;`, then `#` and the last event ID.
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
            // What is as long as the limit is within it. One space is stripped.
            (b"id: 12\nevent: ab\ndata: abc\n\n", "ab=abc@12;#12"),
            (b"data:abcd", "!Data;#"),
            (b"data: abc", "#"),
            (b"data:  abc", "!Data;#"),
            (b"event:abc", "!EventType;#"),
            (b"event:abc\nevent:x\ndata\n\n", "!EventType;#"),
            (b"id:123", "!LastEventId;#"),
            (b"other:abcd\n:abcd\ndata\n\n:abcd", "message=@;#"),
            // The LF between two fields counts from when the value of the second begins or its line ends.
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
            // Replacements count three bytes; what may still turn out valid counts nothing.
            (b"data:\xFF", "#"),
            (b"data:a\xFF", "!Data;#"),
            (b"data:abc\xE2\x82", "#"),
            (b"data:abc\xE2\x82\n", "!Data;#"),
            (b"data:abc\xE2\x82\xE2", "!Data;#"),
            (b"data:abc\xF0\x80", "!Data;#"),
            // Only the block is dropped, once, and with it its ID.
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
