use std::time::Duration;

use super::*;
use crate::doctor::{Finding, checks};

fn diagnosis() -> Diagnosis {
    let entry = |check, finding| Entry { check, finding, took: Duration::from_millis(12) };
    Diagnosis {
        entries: vec![
            entry(&checks::BOOT, Finding::pass("qemu-kvm: ready after 0.9 s")),
            entry(
                &checks::KSM,
                Finding::warn(
                    "on, with 4711 pages merged; a public worker would not start, and there is \
                     more to say",
                    "echo 2 > /sys/kernel/mm/ksm/run",
                ),
            ),
            entry(
                &checks::SWAP,
                Finding::fail(
                    "on: /dev/sda2 (2 MiB)",
                    "swapoff -a   # and take it out of /etc/fstab\n# or accept it",
                ),
            ),
        ],
        took: Duration::from_millis(2500),
    }
}

#[test]
fn the_text_fits_80_columns_and_says_more_of_what_does_not_pass() {
    let expected = "\
pass  boot          qemu-kvm: ready after 0.9 s
warn  ksm           on, with 4711 pages merged; a public worker would not start,
                    and there is more to say
      expected      no merging of equal pages (KSM)
      why           Merged pages let one guest time its writes and learn what is
                    in another's memory.
      mend          $ echo 2 > /sys/kernel/mm/ksm/run
fail  swap          on: /dev/sda2 (2 MiB)
      expected      no swap
      why           Swapped memory leaves one job's data on a disk, and a
                    swapped VM misses its deadlines.
      mend          $ swapoff -a
                    (and take it out of /etc/fstab)
      mend          or accept it

3 checks in 2.5 s: 1 pass, 1 warn, 1 fail
";
    assert_eq!(text(&diagnosis(), false), expected);
}

#[test]
fn colour_is_only_added() {
    let plain = text(&diagnosis(), false);
    let mut coloured = text(&diagnosis(), true);
    assert!(coloured.contains("\x1b[31;1mfail\x1b[0m"));
    for code in ["\x1b[32m", "\x1b[33m", "\x1b[31;1m", "\x1b[0m"] {
        coloured = coloured.replace(code, "");
    }
    assert_eq!(coloured, plain);
}

#[test]
fn the_json_is_as_documented() {
    let json: serde_json::Value = serde_json::from_str(&json(&diagnosis())).expect("json");
    let expected = serde_json::json!({
        "format": 1,
        "verdict": "fail",
        "took_ms": 2500,
        "checks": [
            {
                "id": "boot",
                "verdict": "pass",
                "what": checks::BOOT.what,
                "why": checks::BOOT.why,
                "seen": "qemu-kvm: ready after 0.9 s",
                "mend": null,
                "took_ms": 12,
            },
            json.pointer("/checks/1").expect("second"),
            json.pointer("/checks/2").expect("third"),
        ],
    });
    assert_eq!(json, expected);
    assert_eq!(json.pointer("/checks/1/verdict").and_then(|it| it.as_str()), Some("warn"));
    let mend = json.pointer("/checks/2/mend").and_then(|it| it.as_str());
    assert_eq!(mend, Some("swapoff -a   # and take it out of /etc/fstab\n# or accept it"));
}
