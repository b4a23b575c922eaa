//! The frame at the head of a body, read as it arrives and never beyond its bound.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use pe_proto::codec::{self, BadMessage, Message};
use tokio::time::timeout;

use crate::limits::FRAME_TIME;
use crate::respond::LinkRefusal;

/// What follows the frame in a body.
#[derive(Debug)]
pub(super) struct Rest {
    /// What came together with the frame's end.
    pub(super) first: Bytes,
    /// What is to come.
    pub(super) body: Incoming,
}

/// Reads a message.
pub(super) async fn read_frame<M: Message>(body: Incoming) -> Result<(M, Rest), LinkRefusal> {
    timeout(FRAME_TIME, read(body)).await.map_err(|_| LinkRefusal::TooSlow)?
}

async fn read<M: Message>(mut body: Incoming) -> Result<(M, Rest), LinkRefusal> {
    let mut read = BytesMut::new();
    loop {
        match codec::frame_len::<M>(&read) {
            Ok(len) if read.len() >= len => {
                let message =
                    codec::decode(&read.split_to(len)).map_err(|_| LinkRefusal::Malformed)?;
                return Ok((message, Rest { first: read.freeze(), body }));
            }
            Ok(_) | Err(BadMessage::Truncated) => {}
            Err(_) => return Err(LinkRefusal::Malformed),
        }
        // The frame states a length within its bound, so what is read is bounded by that and the
        // size of one piece.
        let Some(frame) = body.frame().await else {
            return Err(LinkRefusal::Malformed);
        };
        if let Ok(piece) = frame.map_err(|_| LinkRefusal::Malformed)?.into_data() {
            read.extend_from_slice(&piece);
        }
    }
}
