//! A load balancer in this process.

use std::net::SocketAddr;

use pe_lb::core::broker::Census;
use pe_lb::server::{Drained, Server};
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
                {{"arch":"x86_64","digest":"{digest}","pack":{{"digest":"{digest}","bytes":1}},
                  "config":{{"entrypoint":[],"cmd":["sh"],"env":[],"workdir":"","user":""}}}}]}}"#
        )
    };
    let images = [image("busybox", busybox()), image("other", other())].join(",");
    format!(r#"{{"version":1,"images":[{images}]}}"#)
}

pub(crate) struct Lb {
    pub(crate) clients: SocketAddr,
    pub(crate) workers: SocketAddr,
    pub(crate) admin: SocketAddr,
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

    pub(crate) async fn with_token(toml: &str, token: Option<&str>) -> Self {
        Self::with_workers(toml, token, None).await
    }

    /// With workers that have tokens of their own, in a file that can be written again.
    pub(crate) async fn with_workers(
        toml: &str,
        token: Option<&str>,
        workers: Option<&str>,
    ) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let mut toml = toml.to_owned();
        if let Some(workers) = workers {
            let path = files.path().join("workers.toml");
            std::fs::write(&path, workers).expect("a file");
            toml.push_str(&format!("[workers]\nfile = {path:?}\n"));
        }
        let path = |name: &str| files.path().join(name);
        std::fs::write(path("catalogue.json"), catalogue()).expect("a file");
        std::fs::write(path("lb.toml"), toml).expect("a file");
        let any = Some("127.0.0.1:0".parse().expect("an address"));
        let mut flags = Overrides {
            listen: any,
            listen_workers: any,
            listen_admin: any,
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
        let admin = server.admin_address().expect("an address");
        let census = server.census();
        let (stop, stopped) = oneshot::channel();
        let mut running = JoinSet::new();
        running.spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { clients, workers, admin, census, stop: Some(stop), running, files }
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

    /// The counts, to be waited on.
    pub(crate) fn counts(&self) -> watch::Receiver<Census> {
        self.census.clone()
    }

    pub(crate) fn census(&self) -> Census {
        *self.census.borrow()
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
