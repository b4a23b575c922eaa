//! `[http2]`: what one connection of a client may do. Each bound names the abuse that it stops.

use serde::Deserialize;

use crate::core::frames;
use crate::limits;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawHttp2 {
    streams_max: Option<u32>,
    pending_resets_max: Option<usize>,
    local_resets_max: Option<usize>,
    resets_burst: Option<u32>,
    resets_per_second: Option<u32>,
    control_burst: Option<u32>,
    control_per_second: Option<u32>,
    header_list_bytes_max: Option<u32>,
    header_table_bytes: Option<u32>,
    frame_bytes_max: Option<u32>,
    stream_window_bytes: Option<u32>,
    connection_window_bytes: Option<u32>,
    send_buffer_bytes: Option<usize>,
}

/// Bounds of a client's HTTP/2 connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2 {
    /// Requests at a time.
    pub streams_max: u32,
    /// Streams that the client reset before they were looked at (rapid reset, CVE-2023-44487).
    pub pending_resets_max: usize,
    /// Streams that we reset for errors of the client (`MadeYouReset`, CVE-2025-8671).
    pub local_resets_max: usize,
    /// Frames that ask for nothing, and resets: PING and SETTINGS floods, rapid reset at a rate
    /// that never lets anything wait.
    pub frames: frames::Terms,
    /// A request's headers, decoded (HPACK bombs); h2 derives from it how many CONTINUATION frames
    /// a header block may have, and ends a connection that sends four times as much.
    pub header_list_bytes_max: u32,
    /// The HPACK table that a client may fill.
    pub header_table_bytes: u32,
    /// A frame's payload.
    pub frame_bytes_max: u32,
    /// What a client may send before anybody reads, on one stream.
    pub stream_window_bytes: u32,
    /// The same of the whole connection. h2 derives from it how many small DATA frames it bears.
    pub connection_window_bytes: u32,
    /// Bytes of an answer that wait for a client that does not read.
    pub send_buffer_bytes: usize,
}

impl RawHttp2 {
    pub(super) fn read(self) -> Result<Http2, String> {
        let range = |key: &str, value: u32, least: u32, most: u32| {
            if (least..=most).contains(&value) {
                Ok(value)
            } else {
                Err(format!("{key}: expected {least} to {most}, got {value}"))
            }
        };
        let frames = frames::Terms {
            control_burst: self.control_burst.unwrap_or(limits::CONTROL_BURST),
            control_per_second: self.control_per_second.unwrap_or(limits::CONTROL_PER_SECOND),
            resets_burst: self.resets_burst.unwrap_or(limits::RESETS_BURST),
            resets_per_second: self.resets_per_second.unwrap_or(limits::RESETS_PER_SECOND),
        };
        let window = limits::CONNECTION_WINDOW_BYTES;
        Ok(Http2 {
            streams_max: range(
                "streams_max",
                self.streams_max.unwrap_or(limits::CLIENT_STREAMS_MAX),
                1,
                65_536,
            )?,
            pending_resets_max: self.pending_resets_max.unwrap_or(limits::RESETS_MAX),
            local_resets_max: self.local_resets_max.unwrap_or(limits::RESETS_MAX),
            frames,
            header_list_bytes_max: range(
                "header_list_bytes_max",
                self.header_list_bytes_max.unwrap_or(limits::HEADER_BYTES_MAX),
                1024,
                limits::HEADER_BYTES_MAX,
            )?,
            header_table_bytes: range(
                "header_table_bytes",
                self.header_table_bytes.unwrap_or(limits::HEADER_TABLE_BYTES),
                0,
                65_536,
            )?,
            frame_bytes_max: range(
                "frame_bytes_max",
                self.frame_bytes_max.unwrap_or(limits::FRAME_BYTES_MAX),
                16_384,
                (1 << 24) - 1,
            )?,
            stream_window_bytes: range(
                "stream_window_bytes",
                self.stream_window_bytes.unwrap_or(limits::STREAM_WINDOW_BYTES),
                1024,
                1 << 30,
            )?,
            connection_window_bytes: range(
                "connection_window_bytes",
                self.connection_window_bytes.unwrap_or(window),
                65_535,
                1 << 30,
            )?,
            send_buffer_bytes: self.send_buffer_bytes.unwrap_or(limits::SEND_BUFFER_BYTES),
        })
    }
}
