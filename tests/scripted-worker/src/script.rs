//! What a job's arguments say to do: a list of words, each with its own arguments.
//!
//! | words | what happens |
//! | --- | --- |
//! | `sleep-ms N` | nothing, for so long |
//! | `echo TEXT` | `TEXT` goes to stdout |
//! | `bytes N` | so many bytes go to stdout |
//! | `file NAME N` | a file of so many bytes in `/output` |
//! | `exit N` | the exit status |
//! | `lost` | the outcome is `lost`, as if the VM had died |
//! | `give-up` | the lease's stream is reset, and nothing is answered |
//! | `never` | nothing is ever answered |

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use pe_proto::Outcome;
use pe_proto::archive::{Encoder, Kind, OUTPUT_PREFIX, STDERR, STDOUT};
use pe_proto::outcome::Fault;

/// What to do with a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// How long it takes.
    pub work: Duration,
    /// How it ends.
    pub end: End,
}

/// How a job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With a result.
    Answer(Outcome, Bytes),
    /// The lease is given up.
    GiveUp,
    /// Not at all.
    Never,
}

impl Script {
    /// Reads a job's arguments.
    ///
    /// # Errors
    /// They are no script.
    pub fn parse(args: &[String]) -> anyhow::Result<Self> {
        let mut words = args.iter();
        let mut work = Duration::ZERO;
        let mut outcome = Outcome::Exited { code: 0 };
        let mut stdout = Vec::new();
        let mut files: Vec<(&str, usize)> = Vec::new();
        let mut no_answer = None;
        while let Some(word) = words.next() {
            let mut next = || words.next().with_context(|| format!("`{word}` wants more"));
            match word.as_str() {
                "sleep-ms" => work += Duration::from_millis(next()?.parse()?),
                "echo" => stdout.extend_from_slice(next()?.as_bytes()),
                "bytes" => stdout.extend(pattern(next()?.parse()?)),
                "file" => files.push((next()?, next()?.parse()?)),
                "exit" => outcome = Outcome::Exited { code: next()?.parse()? },
                "lost" => {
                    let reason = "the script says so".to_owned();
                    outcome = Outcome::Lost { fault: Fault::Us, reason };
                }
                "give-up" => no_answer = Some(End::GiveUp),
                "never" => no_answer = Some(End::Never),
                other => bail!("`{other}` is no word of a script"),
            }
        }
        let end = match no_answer {
            Some(end) => end,
            None => End::Answer(outcome, archive(&stdout, &mut files)?),
        };
        Ok(Self { work, end })
    }

    /// What is answered to a job that is no script.
    ///
    /// # Errors
    /// None in fact: an archive of two short files can be written.
    pub fn complaint(what: &anyhow::Error) -> anyhow::Result<Self> {
        let mut encoder = Encoder::new();
        encoder.push(Kind::File, STDERR, format!("{what:#}\n").as_bytes())?;
        encoder.push(Kind::File, STDOUT, b"")?;
        let end = End::Answer(Outcome::Exited { code: 127 }, encoder.finish().into());
        Ok(Self { work: Duration::ZERO, end })
    }
}

fn archive(stdout: &[u8], files: &mut [(&str, usize)]) -> anyhow::Result<Bytes> {
    files.sort_unstable();
    let mut encoder = Encoder::new();
    for (name, bytes) in files {
        let content: Vec<u8> = pattern(*bytes).collect();
        encoder.push(Kind::File, &format!("{OUTPUT_PREFIX}{name}"), &content)?;
    }
    encoder.push(Kind::File, STDERR, b"")?;
    encoder.push(Kind::File, STDOUT, stdout)?;
    Ok(encoder.finish().into())
}

/// Letters, so that an answer as JSON is about as long as its result.
fn pattern(bytes: usize) -> impl Iterator<Item = u8> {
    (b'a'..=b'z').cycle().take(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<Script> {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        Script::parse(&words)
    }

    #[test]
    fn words_are_done_one_after_the_other() {
        let script = parse("sleep-ms 5 echo a bytes 3 sleep-ms 1 exit 4").expect("a script");
        assert_eq!(script.work, Duration::from_millis(6));
        let mut encoder = Encoder::new();
        encoder.push(Kind::File, STDERR, b"").expect("a name");
        encoder.push(Kind::File, STDOUT, b"aabc").expect("a name");
        let archive = encoder.finish().into();
        assert_eq!(script.end, End::Answer(Outcome::Exited { code: 4 }, archive));
    }

    #[test]
    fn files_come_back_whatever_order_they_are_named_in() {
        assert!(parse("file b 2 file a 1").is_ok());
        assert!(parse("file a 1 file a 1").is_err(), "a name that is there twice");
    }

    #[test]
    fn what_is_no_script_is_told() {
        for text in ["sh -c true", "sleep-ms", "sleep-ms x", "exit 256"] {
            assert!(parse(text).is_err(), "{text}");
        }
        let complaint = Script::complaint(&anyhow::anyhow!("no")).expect("an answer");
        assert!(matches!(complaint.end, End::Answer(Outcome::Exited { code: 127 }, _)));
    }
}
