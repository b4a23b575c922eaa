//! One account of the memory that bodies take: requests on their way in and held for their
//! workers, results on their way back, shared by those who wait, and to the cache.
//!
//! Two rules. Requests get at most half of all: a job holds its request while it waits for its
//! result, and would otherwise wait for itself. And nobody gets more than what is still free:
//! one client alone can have half, two a third each, and whatever some take, there is something
//! left for who comes next. (In switches this is known as a dynamic threshold.)

use std::collections::HashMap;

use crate::core::ids::ClientKey;

/// What memory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bodies of requests.
    Request,
    /// Results.
    Result,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Request, Self::Result];

    /// Label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Result => "result",
        }
    }
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// All of it is taken.
    #[error("the memory for {}s of all clients is taken; try again later", .0.as_str())]
    All(Kind),
    /// This client has its share.
    #[error("your own {}s take your share of the memory; wait for some of them to end", .0.as_str())]
    Share(Kind),
}

impl NoRoom {
    /// Which limit, for labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All(_) => "all",
            Self::Share(_) => "share",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Account {
    bytes_max: usize,
    used: Used,
    clients: HashMap<ClientKey, Used>,
}

/// By kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Used {
    requests: usize,
    results: usize,
}

impl Account {
    /// Nothing is taken.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, used: Used::default(), clients: HashMap::new() }
    }

    /// Takes some for a client.
    ///
    /// # Errors
    /// Nothing was taken.
    pub fn take(&mut self, kind: Kind, client: ClientKey, bytes: usize) -> Result<(), NoRoom> {
        let free = self.free(kind);
        let Some(left) = free.checked_sub(bytes) else {
            return Err(NoRoom::All(kind));
        };
        let held = self.clients.get(&client).copied().unwrap_or_default();
        let held = held.of(kind).saturating_add(bytes);
        if held > left {
            return Err(NoRoom::Share(kind));
        }
        if bytes > 0 {
            *self.used.of_mut(kind) += bytes;
            *self.clients.entry(client).or_default().of_mut(kind) = held;
        }
        Ok(())
    }

    /// Gives back what was taken.
    pub fn give(&mut self, kind: Kind, client: ClientKey, bytes: usize) {
        let used = self.used.of_mut(kind);
        *used = used.saturating_sub(bytes);
        if let Some(held) = self.clients.get_mut(&client) {
            let of_kind = held.of_mut(kind);
            *of_kind = of_kind.saturating_sub(bytes);
            if *held == Used::default() {
                self.clients.remove(&client);
            }
        }
    }

    /// What is taken of a kind.
    pub fn used(&self, kind: Kind) -> usize {
        self.used.of(kind)
    }

    /// From now on there is this much. What was taken stays taken.
    pub fn resize(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    fn free(&self, kind: Kind) -> usize {
        let all = self.bytes_max.saturating_sub(self.used.requests + self.used.results);
        match kind {
            Kind::Request => all.min((self.bytes_max / 2).saturating_sub(self.used.requests)),
            Kind::Result => all,
        }
    }
}

impl Used {
    fn of(self, kind: Kind) -> usize {
        match kind {
            Kind::Request => self.requests,
            Kind::Result => self.results,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Request => &mut self.requests,
            Kind::Result => &mut self.results,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: usize = 1200;

    fn client(number: u8) -> ClientKey {
        ClientKey([number; 16])
    }

    #[test]
    fn one_client_gets_half_and_leaves_room_for_the_next() {
        let mut account = Account::new(ALL);
        let results =
            |account: &mut Account, who, bytes| account.take(Kind::Result, client(who), bytes);
        assert_eq!(results(&mut account, 1, 600), Ok(()));
        assert_eq!(results(&mut account, 1, 1), Err(NoRoom::Share(Kind::Result)));
        assert_eq!(results(&mut account, 2, 300), Ok(()), "half of what is left");
        assert_eq!(results(&mut account, 2, 1), Err(NoRoom::Share(Kind::Result)));
        assert_eq!(results(&mut account, 3, 301), Err(NoRoom::All(Kind::Result)));
        account.give(Kind::Result, client(1), 600);
        assert_eq!(results(&mut account, 2, 300), Ok(()), "what others gave back");
    }

    #[test]
    fn requests_never_take_what_their_results_need() {
        let mut account = Account::new(ALL);
        for who in 0..=255 {
            while account.take(Kind::Request, client(who), 1) == Ok(()) {}
        }
        assert_eq!(account.used(Kind::Request), 600 - 1, "as nobody gets the last byte");
        assert_eq!(account.take(Kind::Result, client(1), 300), Ok(()));
    }

    proptest! {
        #[test]
        fn what_is_taken_is_what_was_not_given_back(
            steps in prop::collection::vec((0..4u8, any::<bool>(), 0..700usize, any::<bool>()), 0..200),
        ) {
            let mut account = Account::new(ALL);
            let mut held: Vec<(Kind, ClientKey, usize)> = Vec::new();
            for (who, is_request, bytes, is_taken) in steps {
                let kind = if is_request { Kind::Request } else { Kind::Result };
                if is_taken {
                    if account.take(kind, client(who), bytes).is_ok() {
                        held.push((kind, client(who), bytes));
                    }
                } else if let Some((kind, who, bytes)) = held.pop() {
                    account.give(kind, who, bytes);
                }
                let of = |kind| held.iter().filter(|each| each.0 == kind).map(|each| each.2).sum::<usize>();
                prop_assert_eq!(account.used(Kind::Request), of(Kind::Request));
                prop_assert_eq!(account.used(Kind::Result), of(Kind::Result));
                prop_assert!(of(Kind::Request) <= ALL / 2);
                prop_assert!(of(Kind::Request) + of(Kind::Result) <= ALL);
            }
            for (kind, who, bytes) in held {
                account.give(kind, who, bytes);
            }
            prop_assert!(account.clients.is_empty(), "nobody is remembered who holds nothing");
        }
    }
}
