//! Reading the binary form of an answer (`protocol.md 8.3`) while it arrives. Does no I/O.
//!
//! ```text
//! length u32le · head JSON · archive (role: result)
//! ```
//! Everything is hostile and bounded: the head by [`CONFIG_BYTES_MAX`], the archive by the
//! decoder. Nothing is handed out before the whole answer was read and found good, so a cut
//! answer never leaves half of the files behind.

use pe_proto::api::AnswerHead;
use pe_proto::archive::{BadArchive, Bounds, Decoder, Event, Kind, OUTPUT_PREFIX, Role};
use pe_proto::archive::{STDERR, STDOUT};
use pe_proto::limits::CONFIG_BYTES_MAX;

/// Why bytes are not an answer.
#[derive(Debug, thiserror::Error)]
pub enum BadAnswer {
    /// The head is longer than one can be.
    #[error("its head of {0} bytes is too long")]
    HeadLength(u32),
    /// The head is not the JSON it should be.
    #[error("its head is malformed: {0}")]
    Head(serde_json::Error),
    /// The archive is none.
    #[error("{0}")]
    Archive(#[from] BadArchive),
    /// It ends before it should.
    #[error("it is cut off")]
    Truncated,
}

/// A whole answer.
#[derive(Debug)]
pub struct Received {
    /// All but the bytes.
    pub head: AnswerHead,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Returned files, in the archive's order.
    pub files: Vec<ReturnedFile>,
}

/// A file that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnedFile {
    /// Path below `/output`; checked by [`pe_proto::path`].
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Its bytes; a link's target.
    pub data: Vec<u8>,
}

/// Takes the pieces of an answer.
#[derive(Debug)]
pub struct AnswerReader {
    /// Length and JSON of the head, until they are whole.
    partial: Vec<u8>,
    head: Option<AnswerHead>,
    decoder: Decoder,
    /// Paths still with the prefix, and the two streams among them.
    entries: Vec<ReturnedFile>,
}

impl Default for AnswerReader {
    fn default() -> Self {
        Self::new()
    }
}

impl AnswerReader {
    /// At the start of an answer.
    pub fn new() -> Self {
        let decoder = Decoder::new(Bounds::of(Role::Result));
        Self { partial: Vec::new(), head: None, decoder, entries: Vec::new() }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), BadAnswer> {
        let mut piece = piece;
        if self.head.is_none() && !self.take_head(&mut piece)? {
            return Ok(());
        }
        while let Some(event) = self.decoder.next(&mut piece)? {
            match event {
                Event::Entry { kind, path, len: _ } => {
                    self.entries.push(ReturnedFile {
                        path: path.to_owned(),
                        kind,
                        data: Vec::new(),
                    });
                }
                Event::Data(data) => {
                    if let Some(entry) = self.entries.last_mut() {
                        entry.data.extend_from_slice(data);
                    }
                }
                Event::End { .. } => {}
            }
        }
        Ok(())
    }

    /// The answer, when no more will come.
    ///
    /// # Errors
    /// [`BadAnswer::Truncated`] unless it is whole.
    pub fn finish(self) -> Result<Received, BadAnswer> {
        let head = self.head.ok_or(BadAnswer::Truncated)?;
        if !self.decoder.is_complete() {
            return Err(BadAnswer::Truncated);
        }
        self.decoder.finish()?;
        let mut received =
            Received { head, stdout: Vec::new(), stderr: Vec::new(), files: Vec::new() };
        for mut entry in self.entries {
            match entry.path.strip_prefix(OUTPUT_PREFIX) {
                Some(path) => {
                    entry.path = path.to_owned();
                    received.files.push(entry);
                }
                None if entry.path == STDOUT => received.stdout = entry.data,
                None if entry.path == STDERR => received.stderr = entry.data,
                // The decoder's role admits no other path.
                None => return Err(BadArchive::NoPlace(entry.path).into()),
            }
        }
        Ok(received)
    }

    /// Fills `partial` up to the end of the head; false if more is needed.
    fn take_head(&mut self, piece: &mut &[u8]) -> Result<bool, BadAnswer> {
        if !self.fill(piece, 4) {
            return Ok(false);
        }
        let Some((&len, _)) = self.partial.split_first_chunk::<4>() else {
            return Ok(false);
        };
        let len = u32::from_le_bytes(len);
        let head_bytes = usize::try_from(len).unwrap_or(usize::MAX);
        if head_bytes > CONFIG_BYTES_MAX {
            return Err(BadAnswer::HeadLength(len));
        }
        if !self.fill(piece, 4 + head_bytes) {
            return Ok(false);
        }
        let json = self.partial.get(4..).unwrap_or_default();
        self.head = Some(serde_json::from_slice(json).map_err(BadAnswer::Head)?);
        self.partial = Vec::new();
        Ok(true)
    }

    fn fill(&mut self, piece: &mut &[u8], len: usize) -> bool {
        let missing = len.saturating_sub(self.partial.len());
        let (taken, rest) = piece.split_at(missing.min(piece.len()));
        self.partial.extend_from_slice(taken);
        *piece = rest;
        taken.len() == missing
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use pe_proto::archive::Encoder;

    use super::*;

    /// A head as a server sends it, for tests.
    pub(crate) fn head(outcome: serde_json::Value) -> AnswerHead {
        serde_json::from_value(serde_json::json!({
            "job": "ab".repeat(32), "request_id": "r-1", "cache": "miss", "outcome": outcome,
            "truncated": [], "notes": [],
            "usage": {"wall_us": 1, "user_us": 1, "system_us": 1, "max_rss_bytes": 1_048_576,
                      "oom_kills": 0},
            "phases": {"queue_us": 1, "transfer_us": 2, "attach_us": 3, "mount_us": 4,
                       "unpack_us": 5, "start_us": 6, "run_us": 7, "collect_us": 8, "stop_us": 9,
                       "total_us": 12_345},
            "limits": {"wall_ms": 10_000, "output_bytes": 2_097_152, "stdout_bytes": 1_048_576,
                       "stderr_bytes": 1_048_576},
            "image": format!("sha256:{}", "cd".repeat(32)), "ran_on": null,
        }))
        .expect("a head")
    }

    fn whole() -> Vec<u8> {
        let json = serde_json::to_vec(&head(serde_json::json!({"kind": "exited", "code": 3})))
            .expect("json");
        let mut bytes = u32::try_from(json.len()).expect("short").to_le_bytes().to_vec();
        bytes.extend(json);
        let mut encoder = Encoder::new();
        let all: Vec<u8> = (0..=255).collect();
        encoder.push(Kind::Executable, "output/ünï/a.out", &all).expect("fits");
        encoder.push(Kind::File, "stderr", b"").expect("fits");
        encoder.push(Kind::File, "stdout", b"out").expect("fits");
        bytes.extend(encoder.finish());
        bytes
    }

    #[test]
    fn an_answer_is_read_in_pieces_of_any_size() {
        let bytes = whole();
        for size in [1, 2, 3, 5, 7, 64, bytes.len()] {
            let mut reader = AnswerReader::new();
            for piece in bytes.chunks(size) {
                reader.push(piece).expect("good");
            }
            let received = reader.finish().expect("whole");
            assert_eq!(received.stdout, b"out");
            assert_eq!(received.stderr, b"");
            let file = received.files.first().expect("one file");
            assert_eq!((file.path.as_str(), file.kind), ("ünï/a.out", Kind::Executable));
            assert_eq!(file.data, (0..=255).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn an_answer_cut_anywhere_is_no_answer() {
        let bytes = whole();
        for end in 0..bytes.len() {
            let mut reader = AnswerReader::new();
            reader.push(&bytes[..end]).expect("good so far");
            assert!(matches!(reader.finish(), Err(BadAnswer::Truncated)), "{end}");
        }
    }

    #[test]
    fn hostile_answers_are_refused() {
        let bytes = whole();
        let push = |bytes: &[u8]| AnswerReader::new().push(bytes);
        assert!(matches!(push(&[0xff; 8]), Err(BadAnswer::HeadLength(u32::MAX))));
        assert!(matches!(push(b"\x02\0\0\0{}"), Err(BadAnswer::Head(_))));
        let trailing = [bytes.as_slice(), b"x"].concat();
        assert!(matches!(push(&trailing), Err(BadAnswer::Archive(BadArchive::Trailing))));
        let flipped: Vec<u8> =
            bytes.iter().map(|&byte| if byte == b'P' { b'Q' } else { byte }).collect();
        assert!(matches!(push(&flipped), Err(BadAnswer::Archive(BadArchive::Magic))));
    }
}
