//! What cloud-hypervisor wrote about a saved VM, changed to fit those restored from it. Pure.
//!
//! The VMM's documentation names this file as one that may be changed between the two.

use serde_json::{Value, json};

use super::argv::Restore;

/// The file's name in the directory.
pub(super) const CONFIG: &str = "config.json";

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadConfig {
    #[error("the saved configuration is not json")]
    Parse(#[from] serde_json::Error),
    #[error("the saved configuration has no {0}")]
    Missing(&'static str),
}

/// The configuration of a VM that is restored.
pub(super) fn for_restore(saved: &[u8], restore: Restore) -> Result<Vec<u8>, BadConfig> {
    let mut config: Value = serde_json::from_slice(saved)?;
    // A restored VM is never booted and has neither file. The VMM insists that a kernel is named,
    // and opens the initramfs; a guest that resets itself finds no kernel, and that ends it.
    let payload = config.get_mut("payload").and_then(Value::as_object_mut);
    payload.ok_or(BadConfig::Missing("payload"))?.remove("initramfs");
    match restore {
        Restore::Copy | Restore::OnDemand => {}
        Restore::Private => {
            let zone = config.pointer_mut("/memory/zones/0/shared");
            *zone.ok_or(BadConfig::Missing("memory zone"))? = json!(false);
        }
    }
    Ok(serde_json::to_vec(&config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &[u8] = br#"{"memory":{"size":0,"shared":false,"zones":[{"id":"ram",
        "file":"/proc/self/fd/204","shared":true}]},"payload":{"kernel":"/proc/self/fd/206",
        "cmdline":"quiet","initramfs":"/proc/self/fd/205"},"pmem":[{"id":"_pmem0",
        "file":"/proc/self/fd/201"}]}"#;

    fn check(restore: Restore) -> Value {
        serde_json::from_slice(&for_restore(SAVED, restore).expect("fits")).expect("json")
    }

    #[test]
    fn a_private_restore_does_not_write_to_the_zygotes_memory() {
        let config = check(Restore::Private);
        assert_eq!(config.pointer("/memory/zones/0/shared"), Some(&json!(false)));
        let config = check(Restore::OnDemand);
        assert_eq!(config.pointer("/memory/zones/0/shared"), Some(&json!(true)));
    }

    #[test]
    fn the_initramfs_is_not_asked_for_and_all_else_stays() {
        let mut config = check(Restore::Copy);
        assert_eq!(config.pointer("/payload/initramfs"), None);
        let payload = config.pointer_mut("/payload").and_then(Value::as_object_mut);
        payload.expect("payload").insert("initramfs".to_owned(), json!("/proc/self/fd/205"));
        assert_eq!(config, serde_json::from_slice::<Value>(SAVED).expect("json"));
    }

    #[test]
    fn what_is_not_as_expected_is_refused() {
        for_restore(b"not json", Restore::Copy).expect_err("refused");
        for_restore(b"{}", Restore::Copy).expect_err("refused");
        for_restore(br#"{"payload":{},"memory":{}}"#, Restore::Private).expect_err("refused");
    }
}
