//! The binary form: `u32le` length · config as JSON · archive, checked and hashed as it arrives.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use pe_proto::JobSpec;
use pe_proto::api::{CachePolicy, RunConfig};
use pe_proto::archive::{Bounds, Decoder, Role};
use pe_proto::digest::JobDigester;
use pe_proto::limits::CONFIG_BYTES_MAX;

use super::{Intake, NotTaken, Upload, json};
use crate::driver::JobBody;
use crate::shell::app::{App, Gathered};

pub(super) async fn take(app: &Arc<App>, mut upload: Upload<'_>) -> Result<Intake, NotTaken> {
    // The config comes first, so that a job that cannot be run is refused before its archive.
    let (spec, cache, mut rest) = config(app, &mut upload).await?;
    let mut digester = JobDigester::new(&spec);
    let mut decoder = Decoder::new(Bounds::of(Role::Job));
    let mut gathered = Gathered::default();
    loop {
        decoder.check(&rest)?;
        digester.update(&rest);
        gathered.push(rest);
        match upload.next().await? {
            Some(piece) => rest = piece,
            None => break,
        }
    }
    decoder.finish()?;
    let bytes = gathered.len() as u64;
    let room = upload.into_room();
    let body = JobBody { pieces: gathered.into_pieces(), bytes, room: Some(room) };
    Ok(Intake { spec, body, digest: digester.finish(), cache })
}

/// The job's config, and what came of the archive with it.
async fn config(
    app: &App,
    upload: &mut Upload<'_>,
) -> Result<(JobSpec, CachePolicy, Bytes), NotTaken> {
    let mut read = BytesMut::new();
    loop {
        let piece = upload.next().await?.ok_or(NotTaken::CutOff)?;
        read.extend_from_slice(&piece);
        let Some((length, _)) = read.split_first_chunk::<4>() else {
            continue;
        };
        let stated = u32::from_le_bytes(*length);
        let length = usize::try_from(stated).unwrap_or(usize::MAX);
        if length > CONFIG_BYTES_MAX {
            return Err(NotTaken::ConfigLength(stated));
        }
        if read.len() - 4 >= length {
            read.advance(4);
            let config: RunConfig = json::parse(&read.split_to(length))?;
            let spec = app.live.resolve(&config, upload.wall_ms_max())?;
            return Ok((spec, config.cache, read.freeze()));
        }
    }
}
