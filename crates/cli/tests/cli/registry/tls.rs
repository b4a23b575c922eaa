//! A registry that speaks TLS with a certificate of its own making.

use std::path::Path;

use super::put;
use super::tools::{Registry, Tool};
use crate::image::image;
use crate::{output, texts};

#[test]
fn a_registry_with_its_own_authority_is_believed_when_that_is_named() {
    let (Some(skopeo), Some(registry)) = (Tool::find("skopeo"), Tool::find("docker-registry"))
    else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let pair = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).expect("a pair");
    let made = pair("127.0.0.1");
    let certificate = file("certificate.pem", &made.cert.pem());
    let key = file("key.pem", &made.signing_key.serialize_pem());
    let registry = Registry::start_tls(&registry, &certificate, &key);
    let host = registry.host();
    put(&skopeo, b"secret", &format!("{host}/own:1"));
    let source = format!("docker://{host}/own:1");
    let rules = |name: &str, more: &str| {
        file(name, &format!("[[registry]]\nhost = \"{host}\"\nprivate = true\n{more}"))
    };
    let ask = |rules: &Path, authorities: Option<&Path>| {
        let rules = rules.display().to_string();
        let mut pe = image(&["inspect", &source, "--arch", "x86_64", "--registries", &rules]);
        pe.env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE");
        if let Some(file) = authorities {
            pe.env("SSL_CERT_FILE", file);
        }
        let done = output(&mut pe);
        let (status, out, err) = texts(&done);
        (status, format!("{out}{err}"))
    };
    let named = rules("named.toml", &format!("ca = \"{}\"\n", certificate.display()));
    let unnamed = rules("unnamed.toml", "");
    for (rules, authorities) in [(&named, None), (&unnamed, Some(certificate.as_path()))] {
        let (status, said) = ask(rules, authorities);
        assert!(status == Some(0) && said.contains("1 layers"), "{said}");
    }
    // Not of the system's authorities, and not of another one.
    let other = file("other.pem", &pair("127.0.0.1").cert.pem());
    let foreign = rules("foreign.toml", &format!("ca = \"{}\"\n", other.display()));
    for rules in [&unnamed, &foreign] {
        let (status, said) = ask(rules, None);
        assert_eq!(status, Some(125), "{said}");
        let words = ["127.0.0.1", "TLS", "certificate", "`ca` of its rule", "--registries"];
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    // A file that is none is named before anything is asked.
    let absent = rules("absent.toml", "ca = \"/nonexistent/ca.pem\"\n");
    let (status, said) = ask(&absent, None);
    assert!(status == Some(125) && said.contains("/nonexistent/ca.pem"), "{said}");
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let Some(registry) = Tool::find("docker-registry") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let made = rcgen::generate_simple_self_signed(["other.test".to_owned()]).expect("a pair");
    let [certificate, key, rules] =
        ["certificate.pem", "key.pem", "rules.toml"].map(|name| dir.path().join(name));
    std::fs::write(&certificate, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    let registry = Registry::start_tls(&registry, &certificate, &key);
    let host = registry.host();
    let text = format!(
        "[[registry]]\nhost = \"{host}\"\nprivate = true\nca = \"{}\"\n",
        certificate.display()
    );
    std::fs::write(&rules, text).expect("a file");
    let (source, rules) = (format!("docker://{host}/own:1"), rules.display().to_string());
    let args = ["inspect", &source, "--arch", "x86_64", "--registries", &rules];
    let done = output(&mut image(&args));
    let (status, _, err) = texts(&done);
    assert_eq!(status, Some(125));
    assert!(err.contains("not valid for name") && !err.contains("`ca`"), "{err}");
}
