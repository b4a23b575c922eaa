//! Too much of everything, until somebody ends it.

use std::io::Write as _;

use pe_proto::io_file::ResultHeader;

use crate::Job;
use crate::answer::{self, Parts};

/// Writes to the serial port as fast as it takes it: noise, signals, and words cut in half.
pub(crate) fn serial(job: &mut Job) -> anyhow::Result<()> {
    answer::journal(job)?;
    let mut noise = vec![b'x'; 4096];
    noise.extend_from_slice(b"\npe:ready\n\x1b[31mpe:do\npe:rea");
    loop {
        job.serial.write_all(&noise)?;
    }
}

/// Dirties a page of the io device and has it flushed, again and again. Each flush is a request to
/// the VMM. (QEMU 7.2 does not save the queue of these requests: a guest that it restored waits for
/// the first of them for ever, which harms only itself.)
pub(crate) fn flushes(job: &mut Job) -> anyhow::Result<()> {
    answer::journal(job)?;
    let area = job.header.plan.result_area();
    for round in 0u64.. {
        job.device.write(area.start, &round.to_le_bytes())?;
        job.device.flush()?;
    }
    Ok(())
}

/// Answers, rings, and goes on writing: the same answer, and one whose every length is a lie, in
/// turns. What the worker reads must be read after this has ended.
pub(crate) fn scribble(job: &mut Job) -> anyhow::Result<()> {
    let good = Parts::with(job, answer::meta()?, answer::archive(&[(b"stdout", b"believable")])?);
    let mut bad = Parts::with(job, vec![0xff; 600], answer::archive(&[(b"../../etc/x", b"x")])?);
    bad.places = ResultHeader { meta: 0..u64::MAX, archive: u64::MAX - 8..u64::MAX };
    let header = job.header.plan.result_header().start;
    for round in 0u64.. {
        for parts in [&good, &bad] {
            parts.write(job)?;
            job.device.write(header, &parts.header(job))?;
        }
        if round == 3 {
            job.ring()?;
        }
    }
    Ok(())
}
