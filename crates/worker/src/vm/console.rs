//! What a guest says on its serial port: signals, and a bounded tail of everything for the log.

use std::collections::VecDeque;

use pe_proto::serial::{Scanner, Signal};

use crate::limits::CONSOLE_TAIL_BYTES;

/// Most signals kept until somebody asks. A guest has three to give; one that gives more says
/// nothing new with them.
const SIGNALS_MAX: usize = 16;

/// Reads a guest's serial port. Memory does not grow with what the guest says.
#[derive(Debug, Default)]
pub struct Console {
    scanner: Scanner,
    signals: VecDeque<Signal>,
    tail: VecDeque<u8>,
}

impl Console {
    /// Takes bytes from the port.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self { scanner, signals, tail } = self;
        scanner.feed(bytes, |signal| match signal {
            Signal::Noise(_) => {}
            signal @ (Signal::Ready | Signal::Done | Signal::Fault(_)) => {
                if signals.len() < SIGNALS_MAX {
                    signals.push_back(signal);
                }
            }
        });
        let keep = bytes.len().min(CONSOLE_TAIL_BYTES);
        let over = (tail.len() + keep).saturating_sub(CONSOLE_TAIL_BYTES);
        tail.drain(..over);
        tail.extend(bytes.iter().skip(bytes.len() - keep));
    }

    /// The next signal that was not taken yet.
    pub fn signal(&mut self) -> Option<Signal> {
        self.signals.pop_front()
    }

    /// The last of what was said, as text that is safe to log.
    pub fn tail(&self) -> String {
        let bytes: Vec<u8> = self.tail.iter().copied().collect();
        printable(&bytes)
    }
}

/// Bytes as one line of text without control characters.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.trim().replace(['\r', '\n'], " ");
    line.chars().map(|each| if each.is_control() { '.' } else { each }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_job_it_is_is_kept_for_the_log_and_is_no_signal() {
        let mut console = Console::default();
        console.feed(b"\npe:job 1f2e-7\nBUG: soft lockup\n");
        assert_eq!(console.signal(), None);
        assert_eq!(console.tail(), "pe:job 1f2e-7 BUG: soft lockup");
    }

    #[test]
    fn signals_are_found_in_noise_and_across_pieces() {
        let mut console = Console::default();
        console.feed(b"[0.1] boot\r\npe:re");
        assert_eq!(console.signal(), None);
        console.feed(b"ady\npe:fault no image\n");
        assert_eq!(console.signal(), Some(Signal::Ready));
        assert_eq!(console.signal(), Some(Signal::Fault("no image".to_owned())));
        assert_eq!(console.signal(), None);
    }

    #[test]
    fn a_guest_that_floods_its_port_takes_no_more_memory() {
        let mut console = Console::default();
        for round in 0..20_000 {
            console.feed(b"pe:done\npe:fault x\n\x1b[31m");
            console.feed(&[b'x'; 1000]);
            assert!(console.tail.len() <= CONSOLE_TAIL_BYTES, "after {round} rounds");
        }
        assert!(console.signals.len() <= SIGNALS_MAX);
        assert!(console.tail.capacity() <= 4 * CONSOLE_TAIL_BYTES);
        assert!(!console.tail().contains('\x1b'));
    }

    #[test]
    fn the_tail_is_the_end_of_what_was_said() {
        let mut console = Console::default();
        console.feed(&vec![b'a'; 3 * CONSOLE_TAIL_BYTES]);
        console.feed(b"the end\n");
        let tail = console.tail();
        assert!(tail.ends_with("athe end"));
        assert!(tail.len() < CONSOLE_TAIL_BYTES);
    }
}
