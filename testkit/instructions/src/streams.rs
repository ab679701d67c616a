//! Event streams made in code: the same bytes in every run.

use bytes::Bytes;

/// The size of a chunk, and so of most readers' buffers.
const CHUNK_LEN: usize = 16 * 1024;

/// The number of events in each stream.
pub(crate) const EVENTS: u32 = 1000;

/// A stream in chunks of 16 KiB.
pub(crate) fn chunks(event: fn(u32) -> String) -> Vec<Bytes> {
    let stream: Bytes = (0..EVENTS).map(event).collect::<String>().into();
    let len = stream.len();
    (0..len).step_by(CHUNK_LEN).map(|start| stream.slice(start..len.min(start + CHUNK_LEN))).collect()
}

/// A token of an OpenAI-like answer.
pub(crate) fn openai(n: u32) -> String {
    let text = words(n, 1 + n as usize % 28);
    format!(
        "data: {{\"id\":\"chatcmpl-00005eed00000000\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\
         \"model\":\"gpt-4o-mini-2024-07-18\",\"system_fingerprint\":\"fp_0392822090\",\"choices\":[{{\"index\":0,\
         \"delta\":{{\"content\":\"{text}\"}},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
    )
}

/// A token of an Anthropic-like answer.
pub(crate) fn anthropic(n: u32) -> String {
    let text = words(n, 30 + n as usize % 20);
    format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
         \"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
    )
}

/// A number with an ID.
pub(crate) fn tick(n: u32) -> String {
    format!("id: {}\ndata: {}\n\n", 1000 + n, 10 + n * 7 % 90)
}

/// A type, an ID and eight lines of data.
pub(crate) fn multi_line(n: u32) -> String {
    let data: String = (0..8).map(|line| format!("data: {}\n", words(n + line, 60))).collect();
    format!("event: log\nid: {}\n{data}\n", 100_000 + n)
}

/// `len` bytes of ASCII words.
pub(crate) fn words(n: u32, len: usize) -> String {
    const WORDS: &str = "the event of a stream which a decoder reads and a server writes for many clients at once ";
    let start = n as usize * 13 % WORDS.len();
    let text: String = WORDS.chars().cycle().skip(start).take(len).collect();
    // A decoder removes a space at the start of data.
    text.replacen(' ', "-", usize::from(text.starts_with(' ')))
}
