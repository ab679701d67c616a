//! Event streams made up in code: the same bytes in every run.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::Totals;
use crate::decoders::Ids;

/// The chunk sizes that streams are decoded in, and their names.
pub const CHUNK_SIZES: [(&str, usize); 4] = [("64", 64), ("1400", 1400), CHUNK_16K, ("whole", WHOLE)];
/// What a reader's buffer mostly is, where a report has room for one size only.
pub const CHUNK_16K: (&str, usize) = ("16384", 16384);
/// One chunk.
pub const WHOLE: usize = usize::MAX;

/// How long a stream to be decoded is, when it is timed.
pub const DECODED_LEN: usize = 1 << 20;
/// How long the events to be encoded are in all, when they are timed: as much as stays in a CPU's cache, since an event
/// is as a rule made just before it is sent.
pub const ENCODED_LEN: usize = 1 << 16;

/// A stream, and what it was made from.
pub struct Workload {
    pub name: &'static str,
    pub stream: Bytes,
    pub messages: Arc<[Message]>,
    /// Where in the stream each message's event ends.
    pub ends: Vec<usize>,
}

/// An event as a sender has it. The data has LF for its line breaks, if any.
#[derive(Default)]
pub struct Message {
    pub event_type: Option<&'static str>,
    pub id: Option<String>,
    pub data: String,
    /// What `data` is the JSON of, in the workload `openai`.
    pub json: Option<Completion>,
}

#[derive(Serialize)]
pub struct Completion {
    id: String,
    object: &'static str,
    created: u64,
    model: &'static str,
    system_fingerprint: &'static str,
    choices: [Choice; 1],
}

#[derive(Serialize)]
struct Choice {
    index: u32,
    delta: Delta,
    logprobs: Option<u32>,
    finish_reason: Option<&'static str>,
}

#[derive(Serialize)]
struct Delta {
    content: String,
}

/// How a workload is made.
struct Recipe {
    name: &'static str,
    line_end: &'static str,
    /// Stands in the stream before each event.
    before: &'static str,
    message: fn(usize, &mut Random) -> Message,
}

const DECODING: [Recipe; 8] = [
    Recipe { name: "openai", line_end: "\n", before: "", message: openai },
    Recipe { name: "anthropic", line_end: "\n", before: "", message: anthropic },
    Recipe { name: "ticks", line_end: "\n", before: "", message: tick },
    Recipe { name: "multi-line", line_end: "\n", before: "", message: multi_line },
    Recipe { name: "long-lines", line_end: "\n", before: "", message: long_line },
    Recipe { name: "heartbeats", line_end: "\n", before: ":\n\n", message: heartbeat },
    Recipe { name: "openai-crlf", line_end: "\r\n", before: "", message: openai },
    Recipe { name: "cjk", line_end: "\n", before: "", message: chinese },
];

const ENCODING: [Recipe; 8] = [
    Recipe { name: "five-bytes", line_end: "\n", before: "", message: five_bytes },
    Recipe { name: "event-id-250", line_end: "\n", before: "", message: event_id_250 },
    Recipe { name: "eight-lines", line_end: "\n", before: "", message: eight_lines },
    Recipe { name: "long-line", line_end: "\n", before: "", message: long_line },
    Recipe { name: "openai", line_end: "\n", before: "", message: openai },
    Recipe { name: "anthropic", line_end: "\n", before: "", message: anthropic },
    Recipe { name: "ticks", line_end: "\n", before: "", message: tick },
    Recipe { name: "multi-line", line_end: "\n", before: "", message: multi_line },
];

/// What is decoded: streams of `len` bytes or, to end with an event, a little more.
pub fn decoding(len: usize) -> impl Iterator<Item = Workload> {
    DECODING.iter().map(move |recipe| recipe.make(len))
}

/// What is encoded: events of `len` bytes or a little more in all.
pub fn encoding(len: usize) -> impl Iterator<Item = Workload> {
    ENCODING.iter().map(move |recipe| recipe.make(len))
}

impl Recipe {
    fn make(&self, len: usize) -> Workload {
        let (mut stream, mut messages, mut ends) = (String::new(), Vec::new(), Vec::new());
        let mut random = Random(1);
        while stream.len() < len {
            let message = (self.message)(messages.len(), &mut random);
            stream.push_str(self.before);
            let mut line = |name, value| stream.extend([name, ": ", value, self.line_end]);
            message.event_type.into_iter().for_each(|event_type| line("event", event_type));
            message.id.iter().for_each(|id| line("id", id));
            message.data.split('\n').for_each(|data| line("data", data));
            stream.push_str(self.line_end);
            messages.push(message);
            ends.push(stream.len());
        }
        Workload { name: self.name, stream: stream.into(), messages: messages.into(), ends }
    }
}

impl Workload {
    /// The stream, cut into chunks of `size` that share it.
    pub fn chunks(&self, size: usize) -> Vec<Bytes> {
        let len = self.stream.len();
        let size = size.min(len);
        (0..len).step_by(size).map(|start| self.stream.slice(start..len.min(start + size))).collect()
    }

    /// Whether its data is the JSON of values that there are.
    pub fn has_json(&self) -> bool {
        self.messages.iter().all(|message| message.json.is_some())
    }

    /// What it is called where those values are encoded.
    pub fn json_name(&self) -> String {
        format!("{}-json", self.name)
    }

    /// Each event's bytes.
    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.stream[start..end])
    }

    /// What a decoder should find in the stream: counted from the messages, by no decoder.
    pub fn totals(&self, ids: Ids) -> Totals {
        let mut totals = Totals::default();
        let mut last_event_id = "";
        for message in &*self.messages {
            let id = message.id.as_deref();
            last_event_id = id.unwrap_or(last_event_id);
            let id = match ids {
                Ids::Last => last_event_id,
                Ids::OwnOnly => id.unwrap_or_default(),
            };
            totals.add(message.event_type.unwrap_or("message"), &message.data, id);
        }
        totals
    }
}

fn openai(n: usize, random: &mut Random) -> Message {
    let completion = Completion {
        id: format!("chatcmpl-{:016x}", 0x5eed_0000_0000 + n / 400),
        object: "chat.completion.chunk",
        created: 1_790_000_000,
        model: "gpt-4o-mini-2024-07-18",
        system_fingerprint: "fp_0392822090",
        choices: [Choice {
            index: 0,
            delta: Delta { content: random.words(1 + n % 28) },
            logprobs: None,
            finish_reason: None,
        }],
    };
    // A struct of strings and numbers has no way to fail.
    let data = serde_json::to_string(&completion).unwrap_or_default();
    Message { data, json: Some(completion), ..Message::default() }
}

fn anthropic(n: usize, random: &mut Random) -> Message {
    let text = random.words(30 + n % 20);
    let data = format!(r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#);
    Message { event_type: Some("content_block_delta"), data, ..Message::default() }
}

fn tick(n: usize, random: &mut Random) -> Message {
    let id = Some((1000 + n % 9000).to_string());
    Message { id, data: (10 + random.below(90)).to_string(), ..Message::default() }
}

fn multi_line(n: usize, random: &mut Random) -> Message {
    Message { event_type: Some("log"), id: Some((100_000 + n).to_string()), ..eight_lines(n, random) }
}

fn long_line(_: usize, random: &mut Random) -> Message {
    Message { data: random.words(64 * 1024), ..Message::default() }
}

/// Every eighth has an ID, which the others inherit.
fn heartbeat(n: usize, random: &mut Random) -> Message {
    let id = n.is_multiple_of(8).then(|| n.to_string());
    Message { id, data: random.words(12), ..Message::default() }
}

/// About half of the bytes are text, three for each character.
fn chinese(n: usize, random: &mut Random) -> Message {
    const PHRASES: [&str; 8] = ["服务器", "发送", "的事件", "，", "一行一行地", "到达", "客户端", "。"];
    let mut text = String::new();
    while text.len() < 100 + n % 50 {
        text.push_str(PHRASES[random.below(8)]);
    }
    let head = r#"{"id":"chatcmpl-5eed","object":"chat.completion.chunk","created":1790000000,"choices":"#;
    let data = format!(r#"{head}[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#);
    Message { data, ..Message::default() }
}

fn five_bytes(_: usize, random: &mut Random) -> Message {
    Message { data: random.words(5), ..Message::default() }
}

fn event_id_250(n: usize, random: &mut Random) -> Message {
    Message { event_type: Some("log"), id: Some((100_000 + n).to_string()), data: random.words(250), json: None }
}

fn eight_lines(_: usize, random: &mut Random) -> Message {
    let lines: Vec<_> = (0..8).map(|_| random.words(60)).collect();
    Message { data: lines.join("\n"), ..Message::default() }
}

/// Knuth's MMIX generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// So many bytes of words.
    fn words(&mut self, len: usize) -> String {
        const WORDS: [&str; 8] = [" the", " event", " of", " stream", " which", " a", " decoder", " reads"];
        let mut text = String::with_capacity(len + 8);
        while text.len() < len {
            text.push_str(WORDS[self.below(8)]);
        }
        // Not a space at the start, which a decoder would have to keep, and a rival might not.
        text.replace_range(..1, "-");
        text.truncate(len);
        text
    }
}
