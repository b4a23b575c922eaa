//! Images that come by `pe image pack`: versions in one file, one of them
//! added later, each run in VMs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use pe_e2e::client::{self, Job};
use pe_e2e::lab::Lab;
use pe_e2e::paths;
use pe_proto::Digest;
use pe_proto::catalogue::Catalogue;
use serde_json::{Value, json};

use crate::labs::Labs;

crate::scenarios![versions_in_one_pack_all_run_also_one_that_was_added];

fn versions_in_one_pack_all_run_also_one_that_was_added(_: &Labs) -> anyhow::Result<()> {
    let made = tempfile::Builder::new().prefix("pe-e2e-packs-").tempdir()?;
    let store = made.path().join("images");
    let versions = ["1", "2", "3"];
    let mut sources = Vec::new();
    for version in versions {
        let layout = made.path().join(version);
        lay_out(&layout, version).with_context(|| format!("version {version}"))?;
        sources.push(format!("tool:{version}=oci:{}", layout.display()));
    }
    // The third is added to the pack of the others.
    for count in [2, 3] {
        let mut pack = Command::new(paths::binary("pe")?);
        pack.args(["image", "pack", "--quiet", "--into"]).arg(&store);
        let packed = pack.args(sources.iter().take(count)).output()?;
        ensure!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    }

    let listed: Catalogue = serde_json::from_slice(&fs::read(store.join("catalogue.json"))?)?;
    let places: Vec<_> = listed
        .images
        .iter()
        .flat_map(|image| &image.platforms)
        .map(|platform| (&platform.pack.digest, platform.pack.based_on, &platform.pack.prefix))
        .collect();
    let [(first, Some(_), one), (second, Some(_), two), (third, Some(_), three)] =
        places.as_slice()
    else {
        anyhow::bail!("{listed:?}");
    };
    ensure!(first == second && second == third, "{places:?}");
    ensure!(one != two && two != three && one != three, "{places:?}");

    let mut lab = Lab::with_catalogue(|catalogue| *catalogue = listed)?;
    let address = format!("http://127.0.0.1:{}", lab.lb_worker_port);
    let flags = ["--lb", &address, "--images", &store.display().to_string()].map(str::to_owned);
    lab.start_worker_of("packs", 1, &paths::vm_assets()?, flags.to_vec())?;
    lab.worker()?.wait_ready(1)?;
    for version in versions {
        let job = Job::new(&format!("tool:{version}"), &["/bin/busybox", "cat", "/version"]);
        let answer = lab.client.run(job)?;
        let told = client::stdout_text(&answer)?;
        ensure!(told == format!("version {version}\n"), "{version}: {told} of {answer:?}");
    }
    Ok(())
}

/// An OCI layout of one layer, as any tool could have made it: a static program that both
/// versions have, and a file that they have not.
fn lay_out(layout: &Path, version: &str) -> anyhow::Result<()> {
    let repository = paths::repository();
    let tool =
        Command::new(repository.join("vm-assets/tools.sh")).arg("busybox-static").output()?;
    ensure!(tool.status.success(), "{}", String::from_utf8_lossy(&tool.stderr));
    let root = layout.join("root");
    fs::create_dir_all(root.join("bin"))?;
    fs::copy(repository.join("build/tools/bin/busybox"), root.join("bin/busybox"))?;
    fs::write(root.join("version"), format!("version {version}\n"))?;
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let tar = Command::new("tar").args(["-C"]).arg(&root).args(["-c", "."]).output()?;
    ensure!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
    let keep = |media_type: &str, bytes: &[u8]| -> anyhow::Result<Value> {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes)?;
        let media_type = format!("application/vnd.oci.image.{media_type}");
        Ok(json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()}))
    };
    let layer = keep("layer.v1.tar", &tar.stdout)?;
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/busybox", "true"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.get("digest")]},
    });
    let config = keep("config.v1+json", &serde_json::to_vec(&config)?)?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer],
    });
    let manifest = keep("manifest.v1+json", &serde_json::to_vec(&manifest)?)?;
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(layout.join("index.json"), serde_json::to_vec(&index)?)?;
    fs::write(layout.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(())
}
