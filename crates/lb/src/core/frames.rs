//! Counts the HTTP/2 frames of a client that ask for nothing.
//!
//! h2 bounds what a flood may *hold* (streams, resets that wait, header blocks, small DATA
//! frames); it does not bound what a flood of PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA
//! or RST_STREAM frames may *cost*: each is cheap to send and is answered or looked up. So frame
//! headers are read along as they pass, and each such frame is paid for out of a budget that
//! refills with time and with what a client does that it is there for: requests, and bytes that
//! move. A client without credit loses its connection.

use std::time::Duration;

use super::moment::Moment;

/// How much of what asks for nothing is borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Frames without a request in them, at once.
    pub control_burst: u32,
    /// The same, per second, for ever.
    pub control_per_second: u32,
    /// Streams that a client resets, at once.
    pub resets_burst: u32,
    /// The same, per second.
    pub resets_per_second: u32,
}

/// What there is too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flood {
    /// Frames that ask for nothing.
    #[error("a flood of control frames")]
    Control,
    /// Requests that are taken back.
    #[error("a flood of resets")]
    Resets,
}

/// Reads along with one connection, from its first byte.
#[derive(Debug)]
pub struct Frames {
    terms: Terms,
    place: Place,
    control: Budget,
    resets: Budget,
}

#[derive(Debug)]
enum Place {
    /// This much is left of what is to be skipped: the preface, or a frame's payload.
    Skip(usize),
    /// This much of a frame's header is here.
    Head([u8; HEAD], usize),
}

const HEAD: usize = 9;
const PREFACE: usize = 24;

/// What a request or an amount of moved bytes gives back: window updates go with them.
const CREDIT_PER_REQUEST: u32 = 4;
const BYTES_PER_CREDIT: usize = 512;

/// DATA frames below this cost as much as one without data.
const TINY: usize = 64;

impl Frames {
    /// Of a new connection.
    pub fn new(terms: Terms, now: Moment) -> Self {
        Self {
            terms,
            place: Place::Skip(PREFACE),
            control: Budget { left: terms.control_burst, since: now },
            resets: Budget { left: terms.resets_burst, since: now },
        }
    }

    /// The next bytes that the client sent.
    ///
    /// # Errors
    /// There was too much that asks for nothing.
    pub fn read(&mut self, mut bytes: &[u8], now: impl Fn() -> Moment) -> Result<(), Flood> {
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Skip(left) => {
                    let skipped = bytes.len().min(*left);
                    *left -= skipped;
                    bytes = bytes.get(skipped..).unwrap_or_default();
                    if *left == 0 {
                        self.place = Place::Head([0; HEAD], 0);
                    }
                }
                Place::Head(head, have) => {
                    let (Some(byte), Some((first, rest))) =
                        (head.get_mut(*have), bytes.split_first())
                    else {
                        return Ok(());
                    };
                    *byte = *first;
                    *have += 1;
                    bytes = rest;
                    if *have == HEAD {
                        let head = *head;
                        self.frame(head, &now)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// So much was sent to the client.
    pub fn wrote(&mut self, bytes: usize) {
        self.earn(bytes);
    }

    fn frame(&mut self, head: [u8; HEAD], now: &impl Fn() -> Moment) -> Result<(), Flood> {
        let [a, b, c, kind, flags, ..] = head;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.place = if length == 0 { Place::Head([0; HEAD], 0) } else { Place::Skip(length) };
        match (kind, flags & END_STREAM != 0) {
            (DATA, true) => self.earn(length),
            (DATA, false) if length >= TINY => self.earn(length),
            (HEADERS, _) => self.control.earn(CREDIT_PER_REQUEST, self.terms.control_burst),
            (RST_STREAM, _) => {
                let Terms { resets_burst, resets_per_second, .. } = self.terms;
                self.resets.spend(resets_burst, resets_per_second, now).ok_or(Flood::Resets)?;
            }
            // PING, SETTINGS, PRIORITY, WINDOW_UPDATE, CONTINUATION, tiny DATA, and whatever is
            // not known: all the same to us.
            _ => {
                let Terms { control_burst, control_per_second, .. } = self.terms;
                let spent = self.control.spend(control_burst, control_per_second, now);
                spent.ok_or(Flood::Control)?;
            }
        }
        Ok(())
    }

    fn earn(&mut self, bytes: usize) {
        let credit = u32::try_from(bytes / BYTES_PER_CREDIT).unwrap_or(u32::MAX);
        self.control.earn(credit, self.terms.control_burst);
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;

/// A bucket that fills with time. The clock is asked only when it is empty.
#[derive(Debug)]
struct Budget {
    left: u32,
    since: Moment,
}

impl Budget {
    fn spend(&mut self, burst: u32, per_second: u32, now: &impl Fn() -> Moment) -> Option<()> {
        if self.left == 0 {
            let now = now();
            let waited = now.since(self.since).min(Duration::from_secs(u64::from(u32::MAX)));
            let earned = waited.as_millis().saturating_mul(u128::from(per_second)) / 1000;
            self.earn(u32::try_from(earned).unwrap_or(u32::MAX), burst);
            self.since = now;
        }
        self.left = self.left.checked_sub(1)?;
        Some(())
    }

    fn earn(&mut self, credit: u32, burst: u32) {
        self.left = self.left.saturating_add(credit).min(burst);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TERMS: Terms =
        Terms { control_burst: 10, control_per_second: 5, resets_burst: 3, resets_per_second: 1 };

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let [.., a, b, c] = u32::try_from(length).unwrap().to_be_bytes();
        let mut frame = vec![a, b, c, kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD + length, 0);
        frame
    }

    fn opened() -> Frames {
        let mut frames = Frames::new(TERMS, Moment::START);
        frames.read(&[0; PREFACE], || Moment::START).unwrap();
        frames
    }

    /// How many of a frame are borne at once.
    fn borne(kind: u8, flags: u8, length: usize) -> usize {
        let mut frames = opened();
        let frame = frame(kind, flags, length);
        (0..100).take_while(|_| frames.read(&frame, || Moment::START).is_ok()).count()
    }

    #[test]
    fn frames_that_ask_for_nothing_cost_and_requests_and_data_do_not() {
        for (name, kind, flags, length, most) in [
            ("ping", 6, 0, 8, 10),
            ("ping's answer", 6, 1, 8, 10),
            ("settings", 4, 0, 6, 10),
            ("priority", 2, 0, 5, 10),
            ("window update", 8, 0, 4, 10),
            ("continuation", 9, 0, 100, 10),
            ("unknown", 99, 0, 0, 10),
            ("empty data", 0, 0, 0, 10),
            ("tiny data", 0, 0, 1, 10),
            ("last data", 0, 1, 0, 100),
            ("data", 0, 0, 1000, 100),
            ("headers", 1, 4, 30, 100),
            ("reset", 3, 0, 4, 3),
        ] {
            assert_eq!(borne(kind, flags, length), most, "{name}");
        }
    }

    #[test]
    fn credit_comes_back_with_time_requests_and_bytes() {
        let mut frames = opened();
        let ping = frame(6, 0, 8);
        let at = |seconds| move || Moment(Duration::from_secs(seconds));
        let drain = |frames: &mut Frames, seconds| {
            let borne = (0..100).take_while(|_| frames.read(&ping, at(seconds)).is_ok()).count();
            // Of the one that was not, only the head was read.
            frames.read(&[0; 8], at(seconds)).unwrap();
            borne
        };
        assert_eq!(drain(&mut frames, 0), 10);
        assert_eq!(drain(&mut frames, 1), 5);
        assert_eq!(drain(&mut frames, 100), 10);
        frames.read(&frame(1, 4, 10), at(100)).unwrap();
        assert_eq!(drain(&mut frames, 100), 4);
        frames.wrote(3 * BYTES_PER_CREDIT);
        assert_eq!(drain(&mut frames, 100), 3);
        frames.read(&frame(0, 0, 2 * BYTES_PER_CREDIT), at(100)).unwrap();
        assert_eq!(drain(&mut frames, 100), 2);
    }

    proptest! {
        /// However the bytes are cut, the same is counted.
        #[test]
        fn where_reads_end_does_not_matter(
            kinds in proptest::collection::vec((0..11_u8, 0..2_u8, 0..200_usize), 0..30),
            cuts in proptest::collection::vec(1..40_usize, 1..20),
        ) {
            let mut bytes = vec![0; PREFACE];
            for (kind, flags, length) in kinds {
                bytes.extend(frame(kind, flags, length));
            }
            let mut whole = Frames::new(TERMS, Moment::START);
            let expected = whole.read(&bytes, || Moment::START);
            let mut cut = Frames::new(TERMS, Moment::START);
            let mut found = Ok(());
            let mut left = bytes.as_slice();
            for length in cuts.iter().cycle() {
                if left.is_empty() || found.is_err() {
                    break;
                }
                let (now, rest) = left.split_at((*length).min(left.len()));
                found = cut.read(now, || Moment::START);
                left = rest;
            }
            prop_assert_eq!(found, expected);
        }
    }
}
