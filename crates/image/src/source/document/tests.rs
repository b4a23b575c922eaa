use super::super::config::BadConfig;
use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn blob(kind: &str, more: &str) -> String {
    format!(r#"{{"mediaType":"{kind}","digest":"sha256:{HEX}","size":7{more}}}"#)
}

fn layer() -> String {
    blob("application/vnd.oci.image.layer.v1.tar+gzip", "")
}

fn image(more: &str, config: &str, layers: &[String]) -> String {
    let layers = layers.join(",");
    format!(r#"{{"schemaVersion":2{more},"config":{config},"layers":[{layers}]}}"#)
}

fn good() -> String {
    image("", &blob(OCI_CONFIG, ""), &[layer()])
}

fn index(entries: &[String]) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{}]}}"#,
        entries.join(",")
    )
}

/// What is said of a document: its fault, or `None` for a good one.
fn fault(text: &str, told: Option<&str>) -> Option<BadDocument> {
    match Document::read(text.as_bytes(), told.map(|told| ("the registry", told))) {
        Ok(_) => None,
        Err(SourceError::Document { part: Part::Manifest, why }) => Some(*why),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn manifests_and_indexes_of_oci_and_docker_are_read() {
    assert!(fault(&good(), None).is_none());
    assert!(fault(&good(), Some(OCI_MANIFEST)).is_none());
    let docker = image(
        &format!(r#","mediaType":"{DOCKER_MANIFEST}""#),
        &blob(DOCKER_CONFIG, ""),
        &[blob("application/vnd.docker.image.rootfs.diff.tar.gzip", r#","urls":[]"#)],
    );
    assert!(fault(&docker, Some(DOCKER_MANIFEST)).is_none());
    assert!(fault(&index(&[blob(OCI_MANIFEST, "")]), Some(OCI_INDEX)).is_none());
    let Ok(Document::Image(manifest)) = Document::read(good().as_bytes(), None) else {
        panic!("an image");
    };
    let digest = HEX.parse().expect("a digest");
    assert_eq!(manifest.layers, [Descriptor { digest, bytes: 7, packing: Packing::Gzip }]);
}

#[test]
fn case_27_a_document_is_one_thing_and_all_agree_which() {
    let is = |text: &str, told: Option<&str>, wanted: fn(&BadDocument) -> bool| {
        let found = fault(text, told);
        assert!(found.as_ref().is_some_and(wanted), "{text}: {found:?}");
    };
    let config = blob(OCI_CONFIG, "");
    // Both kinds at once, be it by an empty or absent list of the other's.
    let both = good().replace(r#""config""#, r#""manifests":[],"config""#);
    is(&both, None, |why| matches!(why, BadDocument::Both));
    let both = both.replace(r#""manifests":[]"#, r#""manifests":null"#);
    is(&both, None, |why| matches!(why, BadDocument::Both));
    let both = index(&[]).replace(r#""manifests""#, r#""layers":[],"manifests""#);
    is(&both, None, |why| matches!(why, BadDocument::Both));
    is(r#"{"schemaVersion":2}"#, None, |why| matches!(why, BadDocument::Neither));
    // What it says it is, what it is, and what the registry says.
    let lie = image(&format!(r#","mediaType":"{OCI_INDEX}""#), &config, &[layer()]);
    is(&lie, None, |why| matches!(why, BadDocument::MediaType { .. }));
    is(&good(), Some(OCI_INDEX), |why| matches!(why, BadDocument::MediaType { .. }));
    is(&good(), Some("text/html"), |why| matches!(why, BadDocument::MediaType { .. }));
    let oci = image(&format!(r#","mediaType":"{OCI_MANIFEST}""#), &config, &[layer()]);
    is(&oci, Some(DOCKER_MANIFEST), |why| matches!(why, BadDocument::Disagree { .. }));
    // A field twice: parsers take one or the other.
    let twice = good().replace(r#""config""#, r#""layers":[],"config""#);
    is(&twice, None, |why| matches!(why, BadDocument::Json(_)));
    is(r#"{"schemaVersion":1,"fsLayers":[]}"#, None, |why| matches!(why, BadDocument::Schema(1)));
    is("[]", None, |why| matches!(why, BadDocument::Json(_)));
    is("", None, |why| matches!(why, BadDocument::Json(_)));
    is(&"[".repeat(100_000), None, |why| matches!(why, BadDocument::Json(_)));
}

#[test]
fn case_27_what_is_no_image_of_layers_is_refused() {
    let is = |text: &str, wanted: fn(&BadDocument) -> bool| {
        let found = fault(text, None);
        assert!(found.as_ref().is_some_and(wanted), "{text}: {found:?}");
    };
    let config = blob(OCI_CONFIG, "");
    let layerless = |why: &BadDocument| matches!(why, BadDocument::Content(BadConfig::Layerless));
    is(&image("", &config, &[]), layerless);
    is(&format!(r#"{{"schemaVersion":2,"config":{config}}}"#), layerless);
    let no_config = format!(r#"{{"schemaVersion":2,"layers":[{}]}}"#, layer());
    is(&no_config, |why| matches!(why, BadDocument::Neither));
    is(&image("", "null", &[layer()]), |why| matches!(why, BadDocument::Neither));
    let chart = blob("application/vnd.cncf.helm.config.v1+json", "");
    is(&image("", &chart, &[layer()]), |why| matches!(why, BadDocument::MediaType { .. }));
    let picture = blob("image/png", "");
    is(&image("", &config, &[picture]), |why| matches!(why, BadDocument::MediaType { .. }));
    for digest in ["sha512:", "", "sha256:sha256:", "sha256:A"] {
        let bad = good().replace("sha256:", digest);
        is(&bad, |why| matches!(why, BadDocument::Digest(_)));
    }
    let negative = good().replace(r#""size":7"#, r#""size":-7"#);
    is(&negative, |why| matches!(why, BadDocument::Json(_)));
}

#[test]
fn case_26_layers_that_are_to_be_had_elsewhere_are_refused() {
    let config = blob(OCI_CONFIG, "");
    let urls = r#","urls":["http://169.254.169.254/latest"]"#;
    for foreign in [
        blob("application/vnd.oci.image.layer.v1.tar+gzip", urls),
        blob("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", urls),
        blob("application/vnd.oci.image.layer.nondistributable.v1.tar", ""),
        blob("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls),
    ] {
        let found = fault(&image("", &config, &[layer(), foreign]), None);
        assert!(matches!(found, Some(BadDocument::Foreign(2))), "{found:?}");
    }
}

#[test]
fn case_27_counts_and_sizes_have_limits() {
    let check = |text: String, name: &str, number: u64, most: u64| {
        let read = Document::read(text.as_bytes(), None).and_then(|document| match document {
            Document::Index(entries) => entries.iter().try_for_each(|each| each.named().map(drop)),
            Document::Image(_) => Ok(()),
        });
        match read {
            Err(SourceError::Limit { what, got, limit }) => {
                assert_eq!((what, got, limit), (name, number, most));
            }
            other => panic!("{name}: {other:?}"),
        }
    };
    let config = blob(OCI_CONFIG, "");
    let many = vec![layer(); 10_000];
    check(image("", &config, &many), "layers", 10_000, LAYERS_MAX as u64);
    let entries = vec![blob(OCI_MANIFEST, ""); 2000];
    check(index(&entries), "entries of an index", 2000, INDEX_ENTRIES_MAX as u64);
    let sized =
        |text: String, bytes: u64| text.replace(r#""size":7"#, &format!(r#""size":{bytes}"#));
    let large = MANIFEST_BYTES_MAX + 1;
    let entry = sized(blob(OCI_MANIFEST, ""), large);
    check(index(&[entry]), "bytes of a manifest", large, MANIFEST_BYTES_MAX);
    let large = CONFIG_BYTES_MAX + 1;
    let config_large = sized(config.clone(), large);
    let text = image("", &config_large, &[layer()]);
    check(text, "bytes of an image's config", large, CONFIG_BYTES_MAX);
    let text = image("", &config, &[sized(layer(), u64::MAX)]);
    check(text, "bytes of a layer", u64::MAX, LAYER_BYTES_MAX);
    let largest = sized(layer(), LAYER_BYTES_MAX);
    let text = image("", &config, &vec![largest; 3]);
    check(text, "bytes of an image's layers", 3 * LAYER_BYTES_MAX, IMAGE_BYTES_MAX);
}

#[test]
fn texts_of_strangers_are_short_and_drive_no_terminal() {
    assert_eq!(printable("a\u{1b}[2J\n"), "a\\u{1b}[2J\\n");
    assert_eq!(printable(&"a".repeat(1000)).len(), 123);
}
