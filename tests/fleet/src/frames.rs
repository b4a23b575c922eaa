//! HTTP/2 by hand: the frames that no library would send.

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames.
pub mod kind {
    /// A piece of a body.
    pub const DATA: u8 = 0;
    /// A header block.
    pub const HEADERS: u8 = 1;
    /// A stream is given up.
    pub const RST_STREAM: u8 = 3;
    /// Settings, or word that they are taken.
    pub const SETTINGS: u8 = 4;
    /// Are you there?
    pub const PING: u8 = 6;
    /// More of a header block.
    pub const CONTINUATION: u8 = 9;
}

/// The stream's last frame on this side.
pub const END_STREAM: u8 = 1;
/// The header block's last frame.
pub const END_HEADERS: u8 = 4;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(content.len()).unwrap_or(0).to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(content);
    frame
}

/// A setting, as it is in a SETTINGS frame.
pub fn setting(number: u16, value: u32) -> Vec<u8> {
    [&number.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// The header block of a request without a body; nothing of it stays in a table.
pub fn get(path: &str) -> Vec<u8> {
    // Indexed: `:method: GET`, `:scheme: http`.
    [&[0x82, 0x86][..], &literal(4, path), &literal(1, "lb")].concat()
}

/// The header block of a job as JSON.
pub fn post(path: &str) -> Vec<u8> {
    // Indexed: `:method: POST`, `:scheme: http`; `content-type` is 31.
    let head = [&[0x83, 0x86][..], &literal(4, path), &literal(1, "lb")].concat();
    // An index over 14 goes on in the next byte.
    let name: &[u8] = &[0x0f, 31 - 15];
    [&head[..], name, &text("application/json")].concat()
}

/// A header that goes into the table of the peer, and is 62 there.
pub fn remembered(name: &str, value: &str) -> Vec<u8> {
    [&[0x40][..], &text(name), &text(value)].concat()
}

/// A header that is new each time, and stays in no table.
pub fn literal_header(name: &str, value: &str) -> Vec<u8> {
    [&[0x00][..], &text(name), &text(value)].concat()
}

/// The latest header of the table, in one byte.
pub const REMEMBERED: u8 = 0x80 | 62;

/// A header whose name is in the static table, below 15.
fn literal(index: u8, value: &str) -> Vec<u8> {
    [&[index][..], &text(value)].concat()
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = match text.len() {
        short @ 0..127 => vec![u8::try_from(short).unwrap_or(0)],
        long => {
            // An integer with a prefix of seven bits, RFC 7541 5.1.
            let mut rest = long - 127;
            let mut bytes = vec![127];
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).unwrap_or(0) | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).unwrap_or(0));
            bytes
        }
    };
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_a_head_of_nine_bytes() {
        assert_eq!(frame(kind::PING, 0, 0, &[7; 8])[..9], [0, 0, 8, 6, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn long_texts_say_their_length_in_more_than_one_byte() {
        assert_eq!(text("ab"), [2, b'a', b'b']);
        // The example of RFC 7541 C.1.2, with a prefix of seven bits.
        assert_eq!(text(&"x".repeat(1337))[..3], [127, 0xba, 0x09]);
    }
}
