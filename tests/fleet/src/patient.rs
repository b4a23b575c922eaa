//! A client that keeps its connection until it is told to go, as the rules of HTTP/2 have it: a
//! request that the server says it never took is sent again on a new one. Nothing else is.

use std::net::SocketAddr;

use crate::client::{Client, Reply};

/// See the module.
#[derive(Debug)]
pub struct Patient {
    address: SocketAddr,
    client: Option<Client>,
}

impl Patient {
    /// Without a connection.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, client: None }
    }

    /// Runs a script to its answer.
    ///
    /// # Errors
    /// It was taken, and has no answer.
    pub async fn run(&mut self, script: &str) -> anyhow::Result<Reply> {
        loop {
            let client = match self.client.take() {
                Some(client) => client,
                None => Client::connect(self.address).await?,
            };
            match client.run(script).await {
                Ok(reply) => {
                    self.client = Some(client);
                    return Ok(reply);
                }
                Err(failed) if was_not_taken(&failed) => {}
                Err(failed) => return Err(failed),
            }
        }
    }
}

/// GOAWAY with a lower stream, or REFUSED_STREAM (RFC 9113, 6.8 and 8.7).
fn was_not_taken(failed: &anyhow::Error) -> bool {
    failed.downcast_ref::<h2::Error>().is_some_and(|error| {
        error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)
            || error.reason() == Some(h2::Reason::REFUSED_STREAM)
    })
}
