use proptest::prelude::*;

use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn references_mean_what_docker_means_by_them() {
    let check = |text: &str, meant: &str| {
        let read: Reference = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(read.to_string(), meant, "{text}");
        assert_eq!(meant.parse(), Ok(read), "{text}");
    };
    check("gcc", "docker.io/library/gcc:latest");
    check("gcc:12", "docker.io/library/gcc:12");
    check("someone/gcc:12", "docker.io/someone/gcc:12");
    check("index.docker.io/gcc", "docker.io/library/gcc:latest");
    check("docker.io/library/gcc", "docker.io/library/gcc:latest");
    check("ghcr.io/a/b/c:v1.2-rc_3", "ghcr.io/a/b/c:v1.2-rc_3");
    check("Registry.Example/x", "registry.example/x:latest");
    check("registry:5000/x", "registry:5000/x:latest");
    check("localhost/x", "localhost/x:latest");
    check("127.0.0.1/x", "127.0.0.1/x:latest");
    check("127.0.0.1:5000/x:1", "127.0.0.1:5000/x:1");
    check("[::1]/x", "[::1]/x:latest");
    check("[0:0::1]:5000/x", "[::1]:5000/x:latest");
    check("a__b/c-d/e---f.g_h", "docker.io/a__b/c-d/e---f.g_h:latest");
    // A number without a dot is a path, for Docker as well: it is never asked for an address.
    check("2130706433/x", "docker.io/2130706433/x:latest");
    // So is what looks like a name and a port but has nothing behind it.
    check("registry:5000", "docker.io/library/registry:5000");
    check(&format!("gcc@sha256:{HEX}"), &format!("docker.io/library/gcc@sha256:{HEX}"));
    check(&format!("gcc:12@sha256:{HEX}"), &format!("docker.io/library/gcc:12@sha256:{HEX}"));
}

#[test]
fn case_24_what_may_be_read_as_another_address_is_not_a_reference() {
    let check = |text: &str, why: BadReference| {
        assert_eq!(text.parse::<Reference>(), Err(why), "{text}");
    };
    check("2130706433:80/x", BadReference::NumericHost);
    check("0x7f000001:80/x", BadReference::NumericHost);
    check("0x7f.1/x", BadReference::NumericHost);
    check("0177.0.0.1/x", BadReference::NumericHost);
    check("127.1/x", BadReference::NumericHost);
    check("127.0.0.01/x", BadReference::NumericHost);
    check("1.2.3.4.5/x", BadReference::NumericHost);
    check("registry.example.:443/x", BadReference::Host);
    check("::1/x", BadReference::Host);
    check("[::1/x", BadReference::Host);
    check("[fe80::1%eth0]/x", BadReference::Host);
    check("[127.0.0.1]/x", BadReference::Host);
    check("[::1]5000/x", BadReference::Port);
    check("user:password@registry.example/x", BadReference::Digest);
    check("user@registry.example/x", BadReference::Digest);
    check("registry.example:/x", BadReference::Port);
    check("registry.example:0/x", BadReference::Port);
    check("registry.example:+80/x", BadReference::Port);
    check("registry.example:65536/x", BadReference::Port);
    check("registry.example:80:80/x", BadReference::Port);
    check("registry.example#.evil/x", BadReference::Host);
    check("registry.example\\.evil/x", BadReference::Host);
    check("ｌocalhost.example/x", BadReference::Host);
    check("-a.example/x", BadReference::Host);
}

#[test]
fn paths_tags_and_digests_are_those_of_the_specification() {
    let check = |text: &str, why: BadReference| {
        assert_eq!(text.parse::<Reference>(), Err(why), "{text}");
    };
    for path in ["", "UPPER", "a//b", "a/", "a/../b", "a._b", "a___b", "a b", "a?b", "-a"] {
        check(path, BadReference::Repository);
        check(&format!("registry.example/{path}"), BadReference::Repository);
    }
    check(&"a".repeat(256), BadReference::RepositoryLength);
    for tag in ["", ".a", "-a", "a:b", "a%2f", &"a".repeat(129)] {
        check(&format!("gcc:{tag}"), BadReference::Tag);
    }
    for digest in [
        "",
        HEX,
        &format!("sha256:{}", HEX.to_uppercase()),
        "sha256:12",
        &format!("sha512:{HEX}{HEX}"),
        &format!("sha256:sha256:{HEX}"),
        &format!("sha256:{HEX}@sha256:{HEX}"),
    ] {
        check(&format!("gcc@{digest}"), BadReference::Digest);
    }
}

proptest! {
    #[test]
    fn what_is_read_is_written_as_it_is_read_again(text in "[a-zA-Z0-9:./@_\\[\\]-]{0,60}") {
        if let Ok(read) = text.parse::<Reference>() {
            let written = read.to_string();
            prop_assert_eq!(written.parse::<Reference>(), Ok(read.clone()));
            // Nothing of it can end a path of a URL, or climb in it.
            for part in [&read.repository, &read.wanted()] {
                prop_assert!(!part.contains(['?', '#', '%', ' ', '\\', '@']));
                prop_assert!(part.split('/').all(|name| !matches!(name, "" | "." | "..")));
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = text.parse::<Reference>();
        let _ = text.parse::<Authority>();
    }
}
