//! Ways to cut a stream.

/// Cuts `input` at every position in turn, gives each pair of chunks to `try_it`, and also the input whole, and byte by
/// byte.
pub fn everywhere<'i>(input: &'i [u8], mut try_it: impl FnMut(&[&'i [u8]])) {
    try_it(&[input]);
    try_it(&input.chunks(1).collect::<Vec<_>>());
    for cut in 0..=input.len() {
        let (a, b) = input.split_at(cut);
        try_it(&[a, b]);
    }
}

/// Cuts `input` at every pair of positions.
pub fn at_every_pair<'i>(input: &'i [u8], mut try_it: impl FnMut(&[&'i [u8]])) {
    for second in 0..=input.len() {
        let (head, c) = input.split_at(second);
        for first in 0..=second {
            let (a, b) = head.split_at(first);
            try_it(&[a, b, c]);
        }
    }
}

/// Cuts `input` into chunks of these sizes, over and over. A size of 0 is an empty chunk; if all are 0, the whole is one
/// chunk.
pub fn by_sizes<'i>(mut input: &'i [u8], sizes: &[u8]) -> Vec<&'i [u8]> {
    if sizes.iter().all(|&size| size == 0) {
        return vec![input];
    }
    let mut chunks = Vec::new();
    for &size in sizes.iter().cycle() {
        if input.is_empty() {
            break;
        }
        let (chunk, rest) = input.split_at(usize::from(size).min(input.len()));
        chunks.push(chunk);
        input = rest;
    }
    chunks
}
