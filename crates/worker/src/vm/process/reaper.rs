//! Where VMMs end: killed by whoever drops them, reaped by a thread that may wait.
//!
//! A killed process normally ends within milliseconds. One that hangs in the kernel does not end
//! at all, and whoever dropped it must not wait for it: neither a task of the runtime nor the
//! thread that starts the next VM. It stays here, counted, with its user, core and cgroup, until
//! it ends.

use std::collections::HashSet;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::jail::Confinement;
use crate::limits::{CGROUP_EMPTY, REAP, REAP_EVERY};

/// The VMMs that this worker knows of. A leaf lock, held for one insertion at a time.
#[derive(Debug, Clone, Default)]
pub struct Census(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    alive: HashSet<u32>,
    unreaped: HashSet<u32>,
}

impl Census {
    /// Process ids of the VMMs alive now.
    pub fn pids(&self) -> HashSet<u32> {
        self.with(|counted| counted.alive.clone())
    }

    /// Process ids of VMMs that were killed long ago and do not end. They count as alive, too.
    pub fn unreaped(&self) -> HashSet<u32> {
        self.with(|counted| counted.unreaped.clone())
    }

    pub(super) fn enter(&self, pid: u32) {
        self.with(|counted| counted.alive.insert(pid));
    }

    fn leave(&self, pid: u32) {
        self.with(|counted| {
            counted.alive.remove(&pid);
            counted.unreaped.remove(&pid);
        });
    }

    fn give_up(&self, pid: u32) {
        self.with(|counted| counted.unreaped.insert(pid));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Counted) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Handle of the thread that reaps. Its queue holds no more than there are VMMs.
#[derive(Debug, Clone)]
pub(super) struct Reaper {
    fallen: Sender<Fallen>,
    census: Census,
}

impl Reaper {
    /// Starts the thread. It ends when the last handle is dropped and nothing is left to reap.
    pub(super) fn start(census: Census) -> std::io::Result<Self> {
        let (fallen, incoming) = channel();
        let inner = census.clone();
        std::thread::Builder::new()
            .name("vm-reaper".to_owned())
            .spawn(move || reap(&incoming, &inner))?;
        Ok(Self { fallen, census })
    }

    /// Takes a child that was just started into the census.
    pub(super) fn watch(&self, child: Child, confinement: Confinement) -> Watched {
        self.census.enter(child.id());
        Watched { fallen: Some((child, confinement)), reaper: self.clone() }
    }

    /// Gives back what a VMM would have had that could not be started: the spawner's thread sees
    /// nothing of the host any more, so it cannot.
    pub(super) fn give_back(&self, confinement: Confinement) {
        self.send(None, confinement);
    }

    fn send(&self, child: Option<Child>, confinement: Confinement) {
        let fallen = Fallen { child, confinement, since: Instant::now(), late: false };
        // The thread lives as long as this handle to it.
        let _ = self.fallen.send(fallen);
    }
}

/// A child that does not outlive its value. Dropping it never blocks.
#[derive(Debug)]
pub(super) struct Watched {
    fallen: Option<(Child, Confinement)>,
    reaper: Reaper,
}

impl Watched {
    pub(super) fn pid(&self) -> u32 {
        self.fallen.as_ref().map_or(0, |(child, _)| child.id())
    }

    /// Its confinement, to be told which process has it.
    pub(super) fn note(&mut self) {
        if let Some((child, confinement)) = &mut self.fallen {
            confinement.note(child.id());
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Some((mut child, confinement)) = self.fallen.take() else { return };
        // Does nothing if it was reaped already.
        if let Err(error) = child.kill() {
            tracing::error!(pid = child.id(), %error, "vmm cannot be killed");
        }
        // What has ended already is reaped here: whoever waited for that finds it gone. The rest
        // of what there is to do may take the kernel a while.
        let pid = child.id();
        let child = if has_ended(&mut child) {
            self.reaper.census.leave(pid);
            None
        } else {
            Some(child)
        };
        self.reaper.send(child, confinement);
    }
}

/// Reaps it if it can be. An error means that it was.
fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

/// What is left of a VMM that was killed.
#[derive(Debug)]
struct Fallen {
    /// `None` once it was reaped.
    child: Option<Child>,
    confinement: Confinement,
    /// When it was killed; once it was reaped, since then.
    since: Instant,
    /// Whether it does not end although it was killed long ago.
    late: bool,
}

fn reap(incoming: &Receiver<Fallen>, census: &Census) {
    let mut waiting: Vec<Fallen> = Vec::new();
    let mut open = true;
    while open || !waiting.is_empty() {
        let next = if waiting.is_empty() {
            incoming.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            incoming.recv_timeout(REAP_EVERY)
        };
        match next {
            Ok(fallen) => waiting.push(fallen),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                open = false;
                std::thread::sleep(REAP_EVERY);
            }
        }
        waiting.extend(incoming.try_iter());
        waiting.retain_mut(|fallen| still_there(fallen, census));
    }
}

/// Looks at one; what has ended gives back what it had, once its cgroup is empty.
fn still_there(fallen: &mut Fallen, census: &Census) -> bool {
    if let Some(child) = &mut fallen.child {
        let pid = child.id();
        if !has_ended(child) {
            if !fallen.late && fallen.since.elapsed() > REAP {
                fallen.late = true;
                census.give_up(pid);
                tracing::error!(
                    pid,
                    "killed vmm does not end; its user, core and cgroup stay taken"
                );
            }
            return true;
        }
        if fallen.late {
            let after_ms = fallen.since.elapsed().as_millis();
            tracing::warn!(pid, after_ms, "killed vmm has ended at last");
        }
        // Once only: its number may be another's soon.
        census.leave(pid);
        fallen.child = None;
        fallen.since = Instant::now();
    }
    !fallen.confinement.is_empty() && fallen.since.elapsed() < CGROUP_EMPTY
}
