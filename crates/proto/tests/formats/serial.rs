//! The bell on the serial port: what rings it, and how little a flood can do.

use pe_proto::serial::{LINE_BYTES_MAX, Scanner, Signal};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq, proptest};

fn signals(pieces: &[&[u8]]) -> Vec<Signal> {
    let mut scanner = Scanner::default();
    let mut found = Vec::new();
    for bytes in pieces {
        scanner.feed(bytes, |signal| found.push(signal));
    }
    found
}

fn noise(text: &str) -> Signal {
    Signal::Noise(text.to_owned())
}

#[test]
fn words_are_lines_of_their_own() {
    let fault = |reason: &str| Signal::Fault(reason.to_owned());
    let cases: [(&[u8], Signal); 10] = [
        (b"pe:ready\r\n", Signal::Ready),
        (b"pe:done\n", Signal::Done),
        (b"pe:fault\n", fault("")),
        (b"pe:fault no pack \n", fault("no pack")),
        (b"pe:faulty\n", noise("pe:faulty")),
        (b"pe:ready \n", noise("pe:ready ")),
        (b" pe:done\n", noise(" pe:done")),
        (b"pe:donepe:done\n", noise("pe:donepe:done")),
        (b"[1.0] pe:ready\n", noise("[1.0] pe:ready")),
        (b"\n", noise("")),
    ];
    for (bytes, expected) in cases {
        assert_eq!(signals(&[bytes]), [expected]);
    }
    assert_eq!(signals(&[b"pe:ready"]), [], "a line that has not ended says nothing");
}

#[test]
fn a_long_line_is_cut_and_is_never_a_word() {
    let flood = vec![b'x'; 10 * LINE_BYTES_MAX];
    let found = signals(&[&flood, &flood, b"\npe:done\n"]);
    assert_eq!(found, [noise(&"x".repeat(LINE_BYTES_MAX)), Signal::Done]);
}

proptest! {
    #[test]
    fn lines_do_not_depend_on_how_they_arrived(bytes in vec(any::<u8>(), 0..100), piece in 1..9_usize) {
        let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
        prop_assert_eq!(signals(&pieces), signals(&[&bytes]));
    }
}
