//! Names that have one spelling: digests, leases, images of the catalogue.

use pe_proto::link::LeaseId;
use pe_proto::{Arch, Digest};
use proptest::prelude::{prop_assert_eq, proptest};

use crate::{samples, strategies};

proptest! {
    #[test]
    fn a_digest_has_one_spelling(digest in strategies::digest()) {
        prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        prop_assert_eq!(digest.hex().parse(), Ok(digest));
        let json = serde_json::to_string(&digest).unwrap();
        prop_assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    #[test]
    fn a_lease_has_one_spelling(lease in strategies::lease()) {
        let text = lease.to_string();
        prop_assert_eq!(text.len(), 16);
        prop_assert_eq!(text.parse(), Ok(lease));
    }
}

#[test]
fn other_spellings_are_refused() {
    let hex = "ab".repeat(32);
    for text in [
        hex.to_uppercase(),
        format!("sha256:sha256:{hex}"),
        format!("sha512:{hex}"),
        format!(" {hex}"),
        format!("{hex}00"),
        hex[..62].to_owned(),
        "ä".repeat(32),
        String::new(),
    ] {
        assert!(text.parse::<Digest>().is_err(), "{text}");
    }
    for text in ["", "1", "+000000000000001", "000000000000000F", "00000000000000001", "äääääääää"]
    {
        assert!(text.parse::<LeaseId>().is_err(), "{text}");
    }
}

#[test]
fn images_are_found_by_every_form_of_reference() {
    let catalogue = samples::catalogue();
    let find = |reference: &str, arch| {
        catalogue
            .find(reference, arch)
            .map(|(image, platform)| (image.name.as_str(), platform.arch))
    };
    let digest = |byte: &str| byte.repeat(32);
    let (x86, riscv) = (Arch::X86_64, Arch::Riscv64);
    assert_eq!(find("gcc", None), Some(("gcc", x86)));
    assert_eq!(find("gcc", Some(riscv)), Some(("gcc", riscv)));
    assert_eq!(find("gcc:latest", None), Some(("gcc", x86)));
    assert_eq!(find(&format!("sha256:{}", digest("32")), None), Some(("gcc", riscv)));
    assert_eq!(find(&format!("gcc@sha256:{}", digest("32")), None), Some(("gcc", riscv)));
    for (reference, arch) in [
        ("", None),
        (":", None),
        ("@", None),
        ("gcc:13", None),
        ("gcc:", None),
        ("GCC", None),
        ("gcc", Some(Arch::Aarch64)),
        (&format!("busybox@sha256:{}", digest("32")), None),
        (&format!("sha256:{}", digest("32")), Some(x86)),
        (&format!("sha256:{}", digest("99")), None),
    ] {
        assert_eq!(find(reference, arch), None, "{reference}");
    }
}

#[test]
fn architectures_are_named_as_uname_does() {
    let names: Vec<String> = Arch::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["x86_64", "aarch64", "riscv64"]);
    assert_eq!(serde_json::to_string(&Arch::ALL).unwrap(), r#"["x86_64","aarch64","riscv64"]"#);
}
