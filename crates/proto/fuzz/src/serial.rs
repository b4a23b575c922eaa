//! The words of a guest on its serial port.

use pe_proto::serial::{LINE_BYTES_MAX, Scanner, Signal};

/// Reads `data` as a guest's serial output; accepted if it holds any signal.
pub fn serial(data: &[u8]) -> bool {
    let whole = signals(data, data.len().max(1));
    for piece in [1, 5] {
        assert_eq!(whole, signals(data, piece), "in pieces of {piece}");
    }
    for signal in &whole {
        if let Signal::Fault(text) | Signal::Noise(text) = signal {
            // A byte that is not UTF-8 becomes the three of U+FFFD.
            assert!(text.len() <= 3 * LINE_BYTES_MAX);
        }
    }
    whole.iter().any(|signal| !matches!(signal, Signal::Noise(_)))
}

fn signals(data: &[u8], piece: usize) -> Vec<Signal> {
    let mut scanner = Scanner::default();
    let mut found = Vec::new();
    for bytes in data.chunks(piece) {
        scanner.feed(bytes, |signal| found.push(signal));
    }
    found
}
