//! Who may have how much: rates of requests, budgets of CPU time, bans, and keys that say who
//! somebody is.
//!
//! It owns what each client has used up and nothing else: no sockets, no clock, no queue (that is
//! the broker's, which also has a bound per client). Three questions, in this order:
//!
//! ```text
//!   arrive   who is it, is it banned, are its requests too many      before anything is read
//!   admit    may it run a job now: rate of runs, CPU time            after the cache said no
//!   settle   what the job really used                                after it ran
//! ```
//!
//! What is answered from the cache ends after `arrive`, whose rate is large: a spent budget keeps
//! nobody from what is known. A job is admitted with a *reservation* of CPU time, and pays the
//! difference when it ran: who used more than the reserve goes into debt, and is refused until
//! the debt is paid off by time. So a budget is exact on average, whatever jobs claim to need.
//!
//! Somebody without a key is known by an address, of which one person can have many: the network
//! around it has a budget as well, and so has each image (threat case 44). Who has a key is
//! answerable for it, and pays from the key's budget alone.
//!
//! Every table is bounded; what makes room is told in [`limiter`].

pub mod bans;
pub mod class;
pub mod keys;
pub mod limiter;
pub mod memory;

#[cfg(test)]
mod tests;

use core::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pe_proto::Digest;

use crate::core::client::Client;
use crate::core::ids::ClientKey;
use crate::core::moment::Moment;
use crate::limits::SHARE_KIB_MIN;
use bans::Bans;
use class::Class;
use keys::Keys;
use limiter::{Limiter, Rate};

/// The class of who shows no key.
pub const ANONYMOUS: &str = "anonymous";

/// The class of who shows no key and is on this machine.
pub const LOCAL: &str = "local";

/// What is granted to whom.
#[derive(Debug, Clone)]
pub struct Policy {
    /// All classes; among them [`ANONYMOUS`] and [`LOCAL`].
    pub classes: Vec<Arc<Class>>,
    /// Who has a key.
    pub keys: Keys,
    /// CPU time of a network's anonymous clients together; a cell is a millisecond.
    pub network_cpu: Option<Rate>,
    /// CPU time of an image's anonymous jobs together.
    pub image_cpu: Option<Rate>,
    /// What a job is taken to use until it is known.
    pub reserve: Duration,
    /// Entries of each table.
    pub clients_max: usize,
}

/// Somebody who asks, and was let in.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whom the queue is fair to, and whose budget is used: the key's, or the address's.
    pub key: ClientKey,
    /// The name of the key that it showed.
    pub name: Option<Arc<str>>,
    /// What it may have.
    pub class: Arc<Class>,
    /// When it came.
    pub arrived: Moment,
    address: IpAddr,
}

/// Why somebody is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It showed a key that is not known.
    UnknownKey,
    /// It is banned for this long.
    Banned(Duration),
    /// Something is used up, and comes back after a while.
    Spent(Limit, Duration),
}

/// What can be used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Requests of a client.
    Requests,
    /// Jobs of a client that are really run.
    Runs,
    /// New shares of a client.
    Shares,
    /// CPU time of a client.
    ClientCpu,
    /// CPU time of its network.
    NetworkCpu,
    /// CPU time of the image.
    ImageCpu,
}

impl Denied {
    /// Everything that can happen, for labels.
    pub const LABELS: [&'static str; 8] = [
        "unknown-key",
        "banned",
        "requests",
        "runs",
        "shares",
        "client-cpu",
        "network-cpu",
        "image-cpu",
    ];

    /// Label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown-key",
            Self::Banned(_) => "banned",
            Self::Spent(Limit::Requests, _) => "requests",
            Self::Spent(Limit::Runs, _) => "runs",
            Self::Spent(Limit::Shares, _) => "shares",
            Self::Spent(Limit::ClientCpu, _) => "client-cpu",
            Self::Spent(Limit::NetworkCpu, _) => "network-cpu",
            Self::Spent(Limit::ImageCpu, _) => "image-cpu",
        }
    }
}

/// CPU time that was set aside for a job. To be given back to [`Admission::settle`].
#[derive(Debug)]
#[must_use = "what is reserved stays spent until it is settled"]
pub struct Reservation {
    caller: Caller,
    cells: u32,
    network: Option<ClientKey>,
    image: Option<Digest>,
    is_counted: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Admission {
    policy: Policy,
    purses: Vec<Purse>,
    networks: Option<Limiter<ClientKey>>,
    images: Option<Limiter<Digest>>,
    bans: Bans,
}

/// What the clients of one class have used.
#[derive(Debug)]
struct Purse {
    class: Arc<Class>,
    requests: Option<Limiter<ClientKey>>,
    runs: Option<Limiter<ClientKey>>,
    shares: Option<Limiter<ClientKey>>,
    cpu: Option<Limiter<ClientKey>>,
}

impl Admission {
    /// Nobody has used anything.
    pub fn new(policy: Policy) -> Self {
        let purses = policy.classes.iter().map(|class| Purse::new(class, &policy)).collect();
        let (networks, images) = (
            policy.network_cpu.map(|rate| Limiter::new(rate, policy.clients_max)),
            policy.image_cpu.map(|rate| Limiter::new(rate, policy.clients_max)),
        );
        Self { policy, purses, networks, images, bans: Bans::default() }
    }

    /// From now on other terms hold. What was used under the old ones is not forgotten where a
    /// class, by its name, is still there; bans stay.
    pub fn reload(&mut self, policy: Policy) {
        let mut old = std::mem::take(&mut self.purses);
        self.purses = policy
            .classes
            .iter()
            .map(|class| match old.iter().position(|purse| purse.class.name == class.name) {
                Some(at) => old.swap_remove(at).renewed(class, &policy),
                None => Purse::new(class, &policy),
            })
            .collect();
        self.networks = renewed(self.networks.take(), policy.network_cpu, policy.clients_max);
        self.images = renewed(self.images.take(), policy.image_cpu, policy.clients_max);
        self.policy = policy;
    }

    /// Somebody asks for something, and perhaps shows a key.
    ///
    /// # Errors
    /// It is turned away.
    pub fn arrive(
        &mut self,
        client: &Client,
        key: Option<&[u8]>,
        now: Moment,
    ) -> Result<Caller, Denied> {
        if let Some(left) = self.bans.of_address(client.address, now) {
            return Err(Denied::Banned(left));
        }
        // A socket without addresses is on this machine, too.
        let is_local = client.address.is_loopback() || client.address.is_unspecified();
        let class = if is_local { LOCAL } else { ANONYMOUS };
        let stranger = Caller {
            key: client.key,
            name: None,
            class: self.policy.class(class),
            arrived: now,
            address: client.address,
        };
        let caller = match key.map(|key| self.policy.keys.find(key)) {
            None => stranger,
            Some(Some(found)) => Caller {
                key: found.client,
                name: Some(Arc::clone(&found.name)),
                class: self.policy.class(&found.class),
                ..stranger
            },
            Some(None) => {
                // To guess costs what any request costs.
                self.count_request(&stranger, now)?;
                return Err(Denied::UnknownKey);
            }
        };
        if caller.name.is_some() {
            if let Some(left) = self.bans.of_key(caller.key, now) {
                return Err(Denied::Banned(left));
            }
        }
        self.count_request(&caller, now)?;
        Ok(caller)
    }

    /// Somebody wants a job run that may take `wall`.
    ///
    /// # Errors
    /// Something is used up; then nothing was taken.
    pub fn admit(
        &mut self,
        caller: &Caller,
        image: Digest,
        wall: Duration,
        now: Moment,
    ) -> Result<Reservation, Denied> {
        let is_stranger = caller.name.is_none() && caller.class.name != LOCAL;
        let mut reservation = Reservation {
            caller: caller.clone(),
            cells: cells(self.policy.reserve.min(wall)).max(1),
            network: None,
            image: None,
            is_counted: false,
        };
        let cells = reservation.cells;
        let purse = find(&mut self.purses, &caller.class);
        if let Some(cpu) = purse.and_then(|purse| purse.cpu.as_mut()) {
            let taken = cpu.take(&caller.key, cells, now);
            taken.map_err(|wait| Denied::Spent(Limit::ClientCpu, wait))?;
        }
        if let (Some(networks), true) = (&mut self.networks, is_stranger) {
            let network = network(caller.address);
            if let Err(wait) = networks.take(&network, cells, now) {
                self.refund(reservation, now);
                return Err(Denied::Spent(Limit::NetworkCpu, wait));
            }
            reservation.network = Some(network);
        }
        if let (Some(images), true) = (&mut self.images, is_stranger) {
            if let Err(wait) = images.take(&image, cells, now) {
                self.refund(reservation, now);
                return Err(Denied::Spent(Limit::ImageCpu, wait));
            }
            reservation.image = Some(image);
        }
        let purse = find(&mut self.purses, &caller.class);
        if let Some(runs) = purse.and_then(|purse| purse.runs.as_mut()) {
            if let Err(wait) = runs.take(&caller.key, 1, now) {
                self.refund(reservation, now);
                return Err(Denied::Spent(Limit::Runs, wait));
            }
            reservation.is_counted = true;
        }
        Ok(reservation)
    }

    /// Somebody wants a state of so many bytes kept for others, which is not kept yet.
    ///
    /// # Errors
    /// It has kept too many; then nothing was taken.
    pub fn share(&mut self, caller: &Caller, bytes: usize, now: Moment) -> Result<(), Denied> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).max(SHARE_KIB_MIN);
        let purse = find(&mut self.purses, &caller.class);
        match purse.and_then(|purse| purse.shares.as_mut()) {
            Some(shares) => shares
                .take(&caller.key, kib, now)
                .map_err(|wait| Denied::Spent(Limit::Shares, wait)),
            None => Ok(()),
        }
    }

    /// A job was never run: nothing was taken.
    pub fn refund(&mut self, reservation: Reservation, now: Moment) {
        let Reservation { caller, is_counted, .. } = &reservation;
        let purse = find(&mut self.purses, &caller.class);
        if let (Some(runs), true) = (purse.and_then(|purse| purse.runs.as_mut()), *is_counted) {
            runs.settle(&caller.key, 1, 0, now);
        }
        self.settle(reservation, Duration::ZERO, now);
    }

    /// A job is over, and used this much CPU time.
    pub fn settle(&mut self, reservation: Reservation, used: Duration, now: Moment) {
        let Reservation { caller, cells: reserved, network, image, .. } = reservation;
        let used = cells(used);
        let purse = find(&mut self.purses, &caller.class);
        if let Some(cpu) = purse.and_then(|purse| purse.cpu.as_mut()) {
            cpu.settle(&caller.key, reserved, used, now);
        }
        if let (Some(networks), Some(network)) = (&mut self.networks, network) {
            networks.settle(&network, reserved, used, now);
        }
        if let (Some(images), Some(image)) = (&mut self.images, image) {
            images.settle(&image, reserved, used, now);
        }
    }

    /// Who is not let in.
    pub fn bans(&mut self) -> &mut Bans {
        &mut self.bans
    }

    /// Clients and the like of whom something is remembered.
    pub fn remembered(&self) -> usize {
        let purses = self.purses.iter().flat_map(|purse| {
            [&purse.requests, &purse.runs, &purse.shares, &purse.cpu]
                .into_iter()
                .flatten()
                .map(Limiter::len)
        });
        let networks = self.networks.as_ref().map_or(0, Limiter::len);
        let images = self.images.as_ref().map_or(0, Limiter::len);
        purses.sum::<usize>() + networks + images
    }

    fn count_request(&mut self, caller: &Caller, now: Moment) -> Result<(), Denied> {
        let purse = find(&mut self.purses, &caller.class);
        match purse.and_then(|purse| purse.requests.as_mut()) {
            Some(requests) => requests
                .take(&caller.key, 1, now)
                .map_err(|wait| Denied::Spent(Limit::Requests, wait)),
            None => Ok(()),
        }
    }
}

impl Policy {
    /// A class by its name. One that is not there is [`ANONYMOUS`]: settings are checked before,
    /// so this can only be a key of a moment ago.
    fn class(&self, name: &str) -> Arc<Class> {
        let by_name = |name: &str| self.classes.iter().find(|class| class.name == name);
        by_name(name).or_else(|| by_name(ANONYMOUS)).cloned().unwrap_or_default()
    }
}

impl Purse {
    fn new(class: &Arc<Class>, policy: &Policy) -> Self {
        let limiter = |rate: Option<Rate>| rate.map(|rate| Limiter::new(rate, policy.clients_max));
        Self {
            requests: limiter(class.requests),
            runs: limiter(class.runs),
            shares: limiter(class.shares),
            cpu: limiter(class.cpu),
            class: Arc::clone(class),
        }
    }

    fn renewed(self, class: &Arc<Class>, policy: &Policy) -> Self {
        let most = policy.clients_max;
        Self {
            requests: renewed(self.requests, class.requests, most),
            runs: renewed(self.runs, class.runs, most),
            shares: renewed(self.shares, class.shares, most),
            cpu: renewed(self.cpu, class.cpu, most),
            class: Arc::clone(class),
        }
    }
}

fn renewed<K: Clone + Eq + std::hash::Hash>(
    old: Option<Limiter<K>>,
    rate: Option<Rate>,
    keys_max: usize,
) -> Option<Limiter<K>> {
    let rate = rate?;
    Some(match old {
        Some(old) => old.renewed(rate, keys_max),
        None => Limiter::new(rate, keys_max),
    })
}

fn find<'a>(purses: &'a mut [Purse], class: &Class) -> Option<&'a mut Purse> {
    purses.iter_mut().find(|purse| purse.class.name == class.name)
}

/// A cell of CPU time is a millisecond.
fn cells(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// The network that an address is one of: what is commonly given to one household or server.
fn network(address: IpAddr) -> ClientKey {
    let (mut bits, kept) = match address.to_canonical() {
        IpAddr::V4(v4) => (v4.to_ipv6_mapped().octets(), 15),
        IpAddr::V6(v6) => (v6.octets(), 6),
    };
    for byte in bits.iter_mut().skip(kept) {
        *byte = 0;
    }
    ClientKey(bits)
}
