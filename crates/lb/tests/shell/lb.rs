//! A load balancer in this process.

use std::net::SocketAddr;
use std::sync::Arc;

use pe_lb::config::listen::Listen;
use pe_lb::core::broker::Census;
use pe_lb::server::{Drained, Server};
use pe_lb::shell::app::App;
use pe_lb::shell::edge::Edge;
use pe_lb::{Config, Overrides};
use pe_proto::Digest;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::client::Client;
use crate::worker::ScriptedWorker;

/// Images `busybox` and `other` of the catalogue.
pub(crate) fn busybox() -> Digest {
    Digest([1; 32])
}

pub(crate) fn other() -> Digest {
    Digest([2; 32])
}

fn catalogue() -> String {
    let image = |name: &str, digest: Digest| {
        format!(
            r#"{{"name":"{name}","tags":["1"],"title":"{name}","description":"","platforms":[
                {{"arch":"x86_64","digest":"{digest}","pack":{{"digest":"{digest}","bytes":1,"prefix":""}},
                  "config":{{"entrypoint":[],"cmd":["sh"],"env":[],"workdir":"","user":""}}}}],"playground":null}}"#
        )
    };
    let images = [image("busybox", busybox()), image("other", other())].join(",");
    format!(r#"{{"version":2,"images":[{images}]}}"#)
}

pub(crate) struct Lb {
    pub(crate) clients: SocketAddr,
    pub(crate) workers: SocketAddr,
    pub(crate) admin: SocketAddr,
    app: Arc<App>,
    census: watch::Receiver<Census>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinSet<Drained>,
    files: TempDir,
}

impl Lb {
    /// With default settings.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// With settings of its own, as TOML.
    pub(crate) async fn with(toml: &str) -> Self {
        Self::with_token(toml, None).await
    }

    /// With listeners for clients and workers of its own.
    pub(crate) async fn listening(clients: &str, workers: &str, toml: &str) -> Self {
        Self::start_with(clients, workers, toml, None).await
    }

    pub(crate) async fn with_token(toml: &str, token: Option<&str>) -> Self {
        Self::start_with("127.0.0.1:0", "127.0.0.1:0", toml, token).await
    }

    /// With workers that have tokens of their own, in a file that can be written again.
    pub(crate) async fn with_workers(toml: &str, workers: &str) -> Self {
        let toml = format!("{toml}[workers]\nfile = \"@/workers.toml\"\n");
        Self::start_in("127.0.0.1:0", "127.0.0.1:0", &toml, None, Some(workers)).await
    }

    /// The same, and all that untrusted workers say is confirmed.
    pub(crate) async fn confirming(workers: &str) -> Self {
        let toml = "[workers]\nconfirm_percent = 100\nfile = \"@/workers.toml\"\n";
        Self::start_in("127.0.0.1:0", "127.0.0.1:0", toml, None, Some(workers)).await
    }

    /// With the listeners for clients that the settings name.
    pub(crate) async fn as_written(toml: &str) -> Self {
        Self::start_with("", "127.0.0.1:0", toml, None).await
    }

    async fn start_with(clients: &str, workers: &str, toml: &str, token: Option<&str>) -> Self {
        Self::start_in(clients, workers, toml, token, None).await
    }

    /// In the settings, `@/` means the directory of the files.
    async fn start_in(
        clients: &str,
        workers: &str,
        toml: &str,
        token: Option<&str>,
        of_workers: Option<&str>,
    ) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let path = |name: &str| files.path().join(name);
        std::fs::write(path("catalogue.json"), catalogue()).expect("a file");
        let toml = toml.replace("@/", &format!("{}/", files.path().display()));
        std::fs::write(path("lb.toml"), toml).expect("a file");
        if let Some(workers) = of_workers {
            std::fs::write(path("workers.toml"), workers).expect("a file");
        }
        let listen = |text: &str| text.parse::<Listen>().expect("a listener");
        let mut flags = Overrides {
            listen: if clients.is_empty() { Vec::new() } else { vec![listen(clients)] },
            listen_workers: vec![listen(workers)],
            listen_admin: vec![Some(listen("127.0.0.1:0"))],
            catalogue: Some(path("catalogue.json")),
            ..Overrides::default()
        };
        if let Some(token) = token {
            std::fs::write(path("token"), token).expect("a file");
            flags.worker_token_file = Some(path("token"));
        }
        let config = Config::load(Some(&path("lb.toml")), flags).expect("good settings");
        let server = Server::bind(config).await.expect("free ports");
        let (clients, workers) = server.addresses().expect("addresses");
        let app = server.app();
        let admin = server.admin_address().expect("an address");
        let census = server.census();
        let (stop, stopped) = oneshot::channel();
        let mut running = JoinSet::new();
        running.spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { clients, workers, admin, app, census, stop: Some(stop), running, files }
    }

    /// A worker that offers `busybox`.
    pub(crate) async fn worker(&self, name: &str) -> ScriptedWorker {
        ScriptedWorker::connect(self.workers, name, &[busybox()]).await
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.clients).await
    }

    /// A file of its own, such as `lb.toml`, its settings.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.files.path().join(name)
    }

    /// An operator.
    pub(crate) async fn operator(&self) -> Client {
        Client::connect(self.admin).await
    }

    /// Waits until the counts are so.
    pub(crate) async fn until(&mut self, what: impl FnMut(&Census) -> bool) -> Census {
        *self.census.wait_for(what).await.expect("a running load balancer")
    }

    /// Waits until nothing is done any more with results that were answered.
    pub(crate) async fn settled(&self) {
        self.app.flights.ended().await;
    }

    /// The counts, to be waited on.
    pub(crate) fn counts(&self) -> watch::Receiver<Census> {
        self.census.clone()
    }

    pub(crate) fn census(&self) -> Census {
        *self.census.borrow()
    }

    pub(crate) fn edge(&self) -> &Edge {
        &self.app.edge
    }

    /// Begins the drain.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Waits for the end that somebody else asked for.
    pub(crate) async fn ended_by_itself(mut self) -> Drained {
        self.running.join_next().await.expect("it runs").expect("it does not panic")
    }

    /// Waits for the end.
    pub(crate) async fn ended(mut self) -> Drained {
        self.stop();
        self.running.join_next().await.expect("it runs").expect("it does not panic")
    }
}
