//! What is appended to a file, record by record.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ssekit::{Event, event_type};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::sleep;

use super::{App, LOG};

/// How often the file is looked at; also how long a record waits for a line that may belong to it.
const INTERVAL: Duration = Duration::from_millis(100);
/// A record that grows beyond this is sent in parts.
const MAX_RECORD: usize = 64 << 10;

/// A file whose new records are sent.
pub(crate) struct Tail {
    path: PathBuf,
    source: io::Result<Source>,
    records: Records,
}

impl Tail {
    /// From here on, what is appended to the file is new. One that is not there yet, is truncated or is replaced is read
    /// from its start.
    pub(crate) async fn open(path: PathBuf) -> Self {
        let source = Source::open(&path, true).await;
        if let Err(error) = &source {
            eprintln!("live: cannot read {} yet: {error}", path.display());
        }
        Self { path, source, records: Records::default() }
    }

    /// Sends the records, for ever.
    pub(crate) async fn follow(mut self, app: App) {
        let topic = app.topic(LOG);
        // Whether there was anything new since the file was last waited for.
        let mut is_growing = false;
        loop {
            let n = self.read().await;
            is_growing |= n > 0;
            while let Some(record) = self.records.next(!is_growing) {
                let event = Event::data(&record).with_event_type(event_type!("line"));
                if let Err(error) = app.hub.publish(&topic, event).await {
                    eprintln!("live: cannot send a record: {error}");
                }
            }
            if n == 0 {
                is_growing = false;
                sleep(INTERVAL).await;
            }
        }
    }

    /// Reads on; 0 when there is nothing new.
    async fn read(&mut self) -> usize {
        let Ok(source) = &mut self.source else {
            self.source = Source::open(&self.path, false).await;
            return 0;
        };
        match source.read(&mut self.records).await {
            Ok(0) if source.is_replaced(&self.path).await => {
                self.records.end_line();
                self.source = Source::open(&self.path, false).await;
                0
            }
            Ok(n) => n,
            Err(error) => {
                self.source = Err(error);
                0
            }
        }
    }
}

struct Source {
    file: File,
    position: u64,
}

impl Source {
    async fn open(path: &Path, at_end: bool) -> io::Result<Self> {
        let mut file = File::open(path).await?;
        let position = file.seek(if at_end { SeekFrom::End(0) } else { SeekFrom::Start(0) }).await?;
        Ok(Self { file, position })
    }

    /// Reads on; 0 when there is nothing new.
    async fn read(&mut self, records: &mut Records) -> io::Result<usize> {
        let mut buffer = vec![0; 16 << 10];
        let n = self.file.read(&mut buffer).await?;
        records.pending.extend_from_slice(&buffer[..n]);
        self.position += n as u64;
        Ok(n)
    }

    /// Whether the file is shorter than what was read of it, or another file has its name.
    async fn is_replaced(&self, path: &Path) -> bool {
        let (Ok(ours), Ok(theirs)) = (self.file.metadata().await, fs::metadata(path).await) else { return false };
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            if (ours.dev(), ours.ino()) != (theirs.dev(), theirs.ino()) {
                return true;
            }
        }
        ours.len().min(theirs.len()) < self.position
    }
}

/// Cuts text into records: a line, with the lines below it that are blank or begin with a space or a tab.
#[derive(Default)]
struct Records {
    pending: Vec<u8>,
}

impl Records {
    /// What was begun will not be added to.
    fn end_line(&mut self) {
        if self.pending.last().is_some_and(|&last| last != b'\n') {
            self.pending.push(b'\n');
        }
    }

    /// The next record. One that may yet have lines added is held back until the file is `quiet`; a line without its end
    /// for longer still.
    fn next(&mut self, quiet: bool) -> Option<String> {
        let mut end = 0;
        let lines = self.pending.split_inclusive(|&byte| byte == b'\n');
        let mut is_whole = false;
        for (n, line) in lines.enumerate() {
            if !line.ends_with(b"\n") {
                // Begun, and not known yet what it will be.
                is_whole = n > 0 && !matches!(line, [b' ' | b'\t' | b'\r', ..]);
                break;
            }
            if n > 0 && !matches!(line, [b' ' | b'\t' | b'\r' | b'\n', ..]) {
                is_whole = true;
                break;
            }
            end += line.len();
        }
        if end == 0 && self.pending.len() >= MAX_RECORD {
            end = self.pending.len();
        }
        let is_due = end > 0 && (is_whole || quiet || end >= MAX_RECORD);
        is_due.then(|| {
            let record: Vec<u8> = self.pending.drain(..end).collect();
            let text = String::from_utf8_lossy(&record);
            let text = text.strip_suffix('\n').unwrap_or(&text);
            text.strip_suffix('\r').unwrap_or(text).to_owned()
        })
    }
}
