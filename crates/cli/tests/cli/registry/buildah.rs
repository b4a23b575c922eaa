//! Images that buildah made: layers of COPY, a file taken away again, owners, links.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::tools::{Registry, Tool};
use super::{import, tree, unpacked};
use crate::image::{has_fsck, image};
use crate::{output, texts};

const RECIPE: &str = "\
FROM scratch
COPY one /etc/name
COPY one /etc/gone
COPY --chown=1000:1001 --chmod=0750 tool /bin/tool
COPY two /etc/name
COPY links /etc/
ENV A=b=c
LABEL org.opencontainers.image.title=\"Made by buildah\"
WORKDIR /w
USER 1000
ENTRYPOINT [\"/bin/tool\", \"x\"]
CMD [\"y\"]
";

/// buildah with a store and settings of its own, which end with it.
pub(super) struct Buildah {
    tool: Tool,
    dir: tempfile::TempDir,
}

impl Buildah {
    /// `None`, said once, if it is not there or we are not root, who it would have to become.
    pub(super) fn find() -> Option<Self> {
        let tool = Tool::find("buildah")?;
        if !nix::unistd::geteuid().is_root() {
            let _ = writeln!(std::io::stderr(), "SKIPPED: images by buildah are made by root only");
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let settings = dir.path().join(".config/containers");
        std::fs::create_dir_all(&settings).expect("a directory");
        let policy = json!({"default": [{"type": "insecureAcceptAnything"}]});
        std::fs::write(settings.join("policy.json"), policy.to_string()).expect("a file");
        Some(Self { tool, dir })
    }

    fn command(&self) -> Command {
        let mut command = self.tool.command();
        let below = |name: &str| self.dir.path().join(name);
        command.env("HOME", self.dir.path()).env("TMPDIR", self.dir.path());
        command.arg("--root").arg(below("root")).arg("--runroot").arg(below("run"));
        command.args(["--storage-driver", "vfs", "--registries-conf", "/dev/null"]);
        command
    }

    fn run(&self, args: &[&str]) -> String {
        let done = self.command().args(args).output().expect("it starts");
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text").trim().to_owned()
    }

    /// Makes an image of several layers, puts it there, and returns the tree that it has.
    pub(super) fn make(&self, to: &str, form: &[&str]) -> PathBuf {
        let context = self.dir.path().join("context");
        std::fs::create_dir_all(&context).expect("a directory");
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(context.join(name), bytes).expect("a file");
        };
        write("Containerfile", RECIPE.as_bytes());
        write("one", b"one");
        write("two", b"two");
        write("tool", &vec![b'a'; 300_000]);
        let link = context.join("links/link");
        std::fs::create_dir_all(context.join("links")).expect("a directory");
        if !link.is_symlink() {
            std::os::unix::fs::symlink("../context/one", link).expect("a link");
        }
        let context = context.display().to_string();
        self.run(&["bud", "--isolation", "chroot", "--layers", "-t", "made", &context]);
        // There is nothing in it that could remove a file, so that is done from here.
        let container = self.run(&["from", "--pull-never", "made"]);
        let root = PathBuf::from(self.run(&["mount", &container]));
        std::fs::remove_file(root.join("etc/gone")).expect("removed");
        self.run(&["commit", &container, "less"]);
        let to = format!("docker://{to}");
        self.run(&[&["push", "--tls-verify=false"], form, &["less", &to]].concat());
        root
    }
}

#[test]
fn an_image_by_buildah_is_imported_from_a_registry() {
    let (Some(buildah), Some(registry), true) =
        (Buildah::find(), Tool::find("docker-registry"), has_fsck())
    else {
        return;
    };
    let registry = Registry::start(&registry, "");
    let host = registry.host();
    let store = tempfile::tempdir().expect("a directory");
    // Docker's documents with gzip, and the OCI's with zstd.
    for (tag, form, packing) in [
        ("docker", vec!["--format", "v2s2"], "gzip"),
        ("zstd", vec!["--format", "oci", "--compression-format", "zstd"], "zstd"),
    ] {
        let reference = format!("{host}/team/{tag}:1");
        let root = buildah.make(&reference, &form);
        let source = format!("docker://{reference}");
        let entry = import(&source, &host, store.path());
        assert_eq!(entry["image"]["name"], tag);
        assert_eq!(entry["image"]["title"], "Made by buildah");
        let config = &entry["image"]["platforms"][0]["config"];
        assert_eq!(config["entrypoint"], json!(["/bin/tool", "x"]));
        assert_eq!((&config["cmd"], &config["user"]), (&json!(["y"]), &json!("1000")));
        assert_eq!(config["workdir"], "/w");
        assert!(config["env"].as_array().expect("a list").contains(&json!("A=b=c")), "{config}");
        let wanted = tree(&root);
        assert!(wanted.contains_key("etc/name") && !wanted.contains_key("etc/gone"));
        assert_eq!(wanted["bin/tool"].1, (1000, 1001));
        assert_eq!(unpacked(store.path(), &entry), wanted, "{tag}");
        let packings = packings(&source, &host);
        assert!(packings.len() >= 5 && packings.contains(&packing.to_owned()), "{packings:?}");
        assert!(store_is_clean(store.path()));
    }
}

/// How each layer is packed, as `pe image inspect` tells it.
fn packings(source: &str, host: &str) -> Vec<String> {
    let args = ["inspect", source, "--arch", "x86_64", "--local-registry", host, "--json"];
    let done = output(&mut image(&args));
    let (status, out, err) = texts(&done);
    assert_eq!((status, err), (Some(0), ""), "{out}");
    let told: Value = serde_json::from_str(out).expect("JSON");
    let layers = told["layers"].as_array().expect("layers");
    layers.iter().map(|layer| layer["packing"].as_str().expect("text").to_owned()).collect()
}

fn store_is_clean(store: &Path) -> bool {
    let mut names =
        std::fs::read_dir(store).expect("a store").map(|it| it.expect("it").file_name());
    names.all(|name| !name.to_string_lossy().starts_with(".work"))
}
