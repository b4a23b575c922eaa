//! What a guest can do instead of answering.

use std::fs::File;
use std::io::Write as _;
use std::ops::Range;

use nix::sys::reboot::{RebootMode, reboot};
use pe_proto::archive::{Encoder, Kind};
use pe_proto::codec;
use pe_proto::io_file::{InHeader, JournalHeader, ResultHeader};
use pe_proto::{Outcome, ResultMeta};

use crate::device::IoDevice;

const DONE: &[u8] = b"\npe:done\n";

/// The archive's place in the result area; metadata is shorter than this.
const ARCHIVE_AT: u64 = 8192;

/// Does what the mode says. Returns only if nothing more is to be done.
pub(crate) fn tell(
    mode: &str,
    header: &InHeader,
    device: &IoDevice,
    serial: &mut File,
) -> anyhow::Result<()> {
    let area = header.plan.result_area();
    let meta = codec::to_vec(&ResultMeta::without_run(Outcome::Exited { code: 0 }))?;
    let archive_at = area.start + ARCHIVE_AT;
    let mut tree = Encoder::new();
    tree.push(Kind::File, "stdout", b"believable")?;
    let archive = tree.finish();
    let answer = ResultHeader {
        meta: area.start..area.start + meta.len() as u64,
        archive: archive_at..archive_at + archive.len() as u64,
    };
    let result_header = header.plan.result_header().start;
    match mode {
        "honest" => {
            write_answer(device, &area, &meta, &archive)?;
            device.write(result_header, &answer.encode(&header.nonce))?;
            serial.write_all(DONE)?;
        }
        "reboot" => {
            journal(header, device)?;
            reboot(RebootMode::RB_AUTOBOOT)?;
        }
        "power-off" => {
            reboot(RebootMode::RB_POWER_OFF)?;
        }
        "silent" => journal(header, device)?,
        "done-without-answer" => serial.write_all(DONE)?,
        "input-as-answer" => {
            // The worker's own header, copied to where the answer belongs.
            device.write(result_header, &header.encode())?;
            serial.write_all(DONE)?;
        }
        "another-nonce" => {
            write_answer(device, &area, &meta, &archive)?;
            device.write(result_header, &answer.encode(&[0x5a; 16]))?;
            serial.write_all(DONE)?;
        }
        "huge-lengths" => {
            let huge = ResultHeader { meta: 0..u64::MAX, archive: u64::MAX - 8..u64::MAX };
            device.write(result_header, &huge.encode(&header.nonce))?;
            serial.write_all(DONE)?;
        }
        "escaping-names" => {
            let mut bytes = archive.clone();
            // Same length, but the entry is now called `../out`.
            let at = bytes.windows(6).position(|window| window == b"stdout").unwrap_or(0);
            bytes.splice(at..at + 6, *b"../out");
            write_answer(device, &area, &meta, &bytes)?;
            device.write(result_header, &answer.encode(&header.nonce))?;
            serial.write_all(DONE)?;
        }
        "cut-archive" => {
            write_answer(device, &area, &meta, &archive)?;
            let cut =
                ResultHeader { archive: answer.archive.start..answer.archive.end - 3, ..answer };
            device.write(result_header, &cut.encode(&header.nonce))?;
            serial.write_all(DONE)?;
        }
        "garbage-metadata" => {
            write_answer(device, &area, &[0xff; 600], &archive)?;
            device.write(result_header, &answer.encode(&header.nonce))?;
            serial.write_all(DONE)?;
        }
        "serial-flood" => {
            journal(header, device)?;
            let noise = [b'x'; 4096];
            loop {
                serial.write_all(&noise)?;
            }
        }
        _ => anyhow::bail!("unknown mode {mode}"),
    }
    Ok(())
}

/// A journal with some output, so that a test sees it is kept.
fn journal(header: &InHeader, device: &IoDevice) -> anyhow::Result<()> {
    let text = b"so far";
    device.write(header.plan.stdout_journal().start, text)?;
    let lengths = JournalHeader { stdout_len: text.len() as u64, stderr_len: 0, started: true };
    device.write(header.plan.journal_header().start, &lengths.encode(&header.nonce))
}

fn write_answer(
    device: &IoDevice,
    area: &Range<u64>,
    meta: &[u8],
    archive: &[u8],
) -> anyhow::Result<()> {
    device.write(area.start, meta)?;
    device.write(area.start + ARCHIVE_AT, archive)
}
