//! The header of the PROXY protocol, versions 1 and 2: a proxy tells whom it speaks for, before
//! anything else. It is read from trusted peers only, whole, within a bound of bytes and time; who
//! is trusted and sends none is no proxy and is hung up on.

use std::io;
use std::net::IpAddr;

use bytes::Bytes;
use ppp::{PartialResult as _, v1, v2};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::listener::Stream;
use crate::limits::{PROXY_HEADER_BYTES_MAX, PROXY_HEADER_TIME};

/// Whom a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A client at this address.
    Client(IpAddr),
    /// The proxy itself: it looks whether we are alive.
    Proxy,
}

/// Reads the header; what came behind it is returned.
///
/// # Errors
/// There is none, it is none, or it did not come in time.
pub async fn read(stream: &mut Stream) -> io::Result<(Source, Bytes)> {
    timeout(PROXY_HEADER_TIME, read_all(stream)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

async fn read_all(stream: &mut Stream) -> io::Result<(Source, Bytes)> {
    let mut bytes = Vec::with_capacity(256);
    loop {
        let room = PROXY_HEADER_BYTES_MAX - bytes.len();
        if stream.take(room as u64).read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((source, length)) = parse(&bytes)? {
            let rest = Bytes::from(bytes).slice(length..);
            return Ok((source, rest));
        }
        if bytes.len() >= PROXY_HEADER_BYTES_MAX {
            return Err(bad("PROXY header is too long"));
        }
    }
}

/// Parses the header at the head of some bytes; none if more of them are needed.
fn parse(bytes: &[u8]) -> io::Result<Option<(Source, usize)>> {
    let begins = |start: &[u8]| start.starts_with(bytes) || bytes.starts_with(start);
    if begins(b"PROXY ") {
        parse_v1(bytes)
    } else if begins(v2::PROTOCOL_PREFIX) {
        parse_v2(bytes)
    } else {
        Err(bad("expected a PROXY header"))
    }
}

fn parse_v1(bytes: &[u8]) -> io::Result<Option<(Source, usize)>> {
    // The library takes half a line for a bad one, so it gets whole lines.
    let line = bytes.get(..bytes.len().min(V1_BYTES_MAX)).unwrap_or_default();
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < V1_BYTES_MAX {
            Ok(None)
        } else {
            Err(bad("expected an end of line"))
        };
    };
    let line = line.get(..end + 2).unwrap_or_default();
    let header = v1::Header::try_from(line).map_err(|_| bad("expected a PROXY header"))?;
    let source = match header.addresses {
        v1::Addresses::Tcp4(at) => Source::Client(at.source_address.into()),
        v1::Addresses::Tcp6(at) => Source::Client(at.source_address.into()),
        v1::Addresses::Unknown => Source::Proxy,
    };
    Ok(Some((source, line.len())))
}

fn parse_v2(bytes: &[u8]) -> io::Result<Option<(Source, usize)>> {
    let header = match v2::Header::try_from(bytes) {
        Ok(header) => header,
        Err(error) if error.is_incomplete() => return Ok(None),
        Err(_) => return Err(bad("expected a PROXY header")),
    };
    let source = match (header.command, &header.addresses) {
        (v2::Command::Local, _) => Source::Proxy,
        (v2::Command::Proxy, v2::Addresses::IPv4(at)) => Source::Client(at.source_address.into()),
        (v2::Command::Proxy, v2::Addresses::IPv6(at)) => Source::Client(at.source_address.into()),
        (v2::Command::Proxy, v2::Addresses::Unix(_) | v2::Addresses::Unspecified) => Source::Proxy,
    };
    Ok(Some((source, header.len())))
}

/// A line of version 1, its end included.
const V1_BYTES_MAX: usize = 107;

fn bad(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V1: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n";

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        header.extend([0x20 | command, family]);
        header.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
        header.extend(addresses);
        header
    }

    fn v4() -> Vec<u8> {
        v2(1, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 0xbb])
    }

    #[test]
    fn both_versions_name_the_client_and_what_follows_is_kept() {
        let client = Source::Client("192.0.2.7".parse().unwrap());
        for (header, source) in [
            (V1.to_vec(), client),
            (b"PROXY UNKNOWN\r\n".to_vec(), Source::Proxy),
            (v4(), client),
            (v2(0, 0, &[]), Source::Proxy),
            (v2(1, 0x31, &[0; 216]), Source::Proxy),
        ] {
            let length = header.len();
            let with_rest = [header.as_slice(), b"GET /"].concat();
            assert_eq!(parse(&with_rest).unwrap(), Some((source, length)));
            for cut in 1..length {
                assert_eq!(parse(&header[..cut]).unwrap(), None, "{cut} of {length}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_it_is_known() {
        for bytes in [
            b"GET / HTTP/1.1\r\n".as_slice(),
            b"\x16\x03\x01\x02\x00",
            b"PRI * HTTP/2.0\r\n",
            b"PROXY TCP4 1.1.1.1 nonsense\r\n",
        ] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
        let mut version = v4();
        version[12] = 0x31;
        assert!(parse(&version).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &bytes].concat());
            let _ = parse(&[b"PROXY ".as_slice(), &bytes].concat());
        }
    }
}
