//! How far a running job is, as the io file of its VM says: the very bytes that the worker would
//! keep of it. Read through /proc, without the worker knowing.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use pe_e2e::lab::{Lab, Worker};
use pe_e2e::wait;
use pe_proto::io_file::{InHeader, JournalHeader};

/// The VM of the only job that has said at least so many bytes on stdout.
pub(crate) fn vm_that_said(lab: &Lab, bytes: u64) -> anyhow::Result<u32> {
    let worker = lab.worker()?;
    wait::until("a job to say something", Duration::from_secs(60), || {
        vms_that_said(worker, bytes).into_iter().next()
    })
}

/// The VMs of all jobs that have said so much.
pub(crate) fn vms_that_said(worker: &Worker, bytes: u64) -> Vec<u32> {
    let said = |vm: &u32| stdout_len(*vm).is_some_and(|len| len >= bytes);
    worker.vms().into_iter().filter(said).collect()
}

/// Bytes of stdout in the journal of a VM's job; none if it has no job yet.
fn stdout_len(vm: u32) -> Option<u64> {
    let io = fs::read_dir(format!("/proc/{vm}/fd")).ok()?.flatten().find(|entry| {
        fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("/memfd:pe-io"))
    })?;
    let io = File::open(io.path()).ok()?;
    let mut page = [0; 4096];
    io.read_exact_at(&mut page, 0).ok()?;
    let InHeader { nonce, plan, .. } = InHeader::decode(&page).ok()?;
    io.read_exact_at(&mut page, plan.journal_header().start).ok()?;
    Some(JournalHeader::decode(&page, &nonce, &plan).ok()??.stdout_len)
}
