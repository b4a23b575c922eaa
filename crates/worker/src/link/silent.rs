//! A visit to an LB that offers nothing and asks for packs, for `pe-worker fetch`.

use pe_proto::limits::LABEL_BYTES_MAX;
use pe_proto::link::{Hello, Welcome, paths};
use pe_proto::{Arch, codec};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::Client;
use super::{LbAddress, LinkError, LinkTls, Token};
use crate::config::Config;
use crate::host;

/// See the module. The connection ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Silent {
    client: Client,
    tasks: TaskTracker,
    dead: CancellationToken,
}

impl Silent {
    /// Dials and says hello.
    pub(crate) async fn open(
        config: &Config,
        lb: &LbAddress,
        token: Option<&Token>,
        arch: Arch,
    ) -> Result<Self, LinkError> {
        let (tasks, dead) = (TaskTracker::new(), CancellationToken::new());
        let tls: &LinkTls = &config.lb_tls;
        let client = Client::dial(lb, tls, token, &tasks, &dead).await?;
        let visit = Self { client, tasks, dead };
        let _: Welcome =
            codec::decode(&visit.client.tell(paths::HELLO, &hello(config, arch)).await?)?;
        Ok(visit)
    }

    /// To ask with.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Ends it.
    pub(crate) async fn close(self) {
        self.dead.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.dead.cancel();
    }
}

fn hello(config: &Config, arch: Arch) -> Hello {
    let mut worker = config.name.clone().unwrap_or_else(host::name);
    // Not to be taken for the worker that serves; who has a token is known by how its name begins.
    if worker.len() + SUFFIX.len() <= LABEL_BYTES_MAX {
        worker.push_str(SUFFIX);
    }
    Hello {
        worker,
        arch,
        cpu: String::new(),
        vmm: String::new(),
        kernel: String::new(),
        slots: 0,
        labels: Vec::new(),
        images: Vec::new(),
        deployment: config.deployment.clone(),
    }
}

const SUFFIX: &str = " (fetch)";
