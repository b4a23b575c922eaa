//! Images by umoci and skopeo, through a real registry: what comes out of each way in is the same.

use std::io::Read as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pe_image::source::registry::Settings;
use pe_image::source::registry::credentials::Credentials;
use pe_image::source::registry::policy::{Policy, Rule};
use pe_image::source::registry::{BadAuth, ConnectError, RegistryError};
use pe_image::{OciImage, Packing, Source, SourceError};
use pe_proto::{Arch, Digest};
use rcgen::SigningKey as _;
use serde_json::json;

use super::files;
use super::hostile::{authority, image, open, settings};
use super::made::text;
use super::server::{Server, answer};
use super::tools::{Registry, Tool};

fn layer(path: &Path, name: &str, bytes: &[u8]) {
    let mut tar = tar::Builder::new(std::fs::File::create(path).expect("a file"));
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o755);
    tar.append_data(&mut header, name, bytes).expect("a tar");
    tar.finish().expect("a tar");
}

/// An image in a layout, made by umoci: two layers, a command, a label.
fn made_by_umoci(umoci: &Tool, dir: &Path) -> String {
    let layout = dir.join("layout").display().to_string();
    let image = format!("{layout}:base");
    umoci.run(&["init", "--layout", &layout]);
    umoci.run(&["new", "--image", &image]);
    for (name, bytes) in [("bin/tool", vec![b'a'; 300_000]), ("bin/other", b"b".to_vec())] {
        let tar = dir.join("layer.tar");
        layer(&tar, name, &bytes);
        umoci.run(&["raw", "add-layer", "--image", &image, &tar.display().to_string()]);
    }
    umoci.run(&[
        "config",
        "--image",
        &image,
        "--architecture",
        "amd64",
        "--os",
        "linux",
        "--config.entrypoint",
        "/bin/tool",
        "--config.env",
        "A=b=c",
        "--config.workingdir",
        "/w",
        "--config.label",
        "org.opencontainers.image.title=Made by umoci",
    ]);
    image
}

/// The layers' tars, unpacked; each must be the one that the config names.
fn tars(source: &dyn Source, image: &OciImage) -> Vec<Vec<u8>> {
    let packed = files::layers(source, image).expect("layers");
    let unpacked: Vec<Vec<u8>> = packed
        .into_iter()
        .zip(&image.layers)
        .map(|(bytes, layer)| match layer.packing {
            Packing::Plain => bytes,
            Packing::Gzip => {
                let mut tar = Vec::new();
                flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut tar).expect("gzip");
                tar
            }
            Packing::Zstd => zstd::decode_all(&bytes[..]).expect("zstd"),
        })
        .collect();
    let digests: Vec<Digest> = unpacked.iter().map(|tar| Digest::of(tar)).collect();
    assert_eq!(digests, image.diff_ids);
    unpacked
}

#[test]
fn an_image_by_umoci_is_the_same_by_every_way() {
    let (Some(umoci), Some(skopeo), Some(registry)) =
        (Tool::find("umoci"), Tool::find("skopeo"), Tool::find("docker-registry"))
    else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let registry = Registry::start(&registry, "");
    let made = made_by_umoci(&umoci, dir.path());
    let from = format!("oci:{made}");
    let file = |name: &str| dir.path().join(name).display().to_string();
    let copy = |to: &str| {
        skopeo.run(&["--insecure-policy", "copy", "--dest-tls-verify=false", &from, to]);
    };
    copy(&format!("oci-archive:{}", file("oci.tar")));
    copy(&format!("docker-archive:{}:made:1", file("docker.tar")));
    let host = registry.host();
    copy(&format!("docker://{host}/team/made:1"));
    skopeo.run(&[
        "--insecure-policy",
        "copy",
        "--dest-tls-verify=false",
        "--format",
        "v2s2",
        &from,
        &format!("docker://{host}/team/made:docker"),
    ]);
    let source = files::open(&from).expect("a layout");
    let first = source.image(Arch::X86_64).expect("an image");
    let wanted = tars(&*source, &first);
    assert_eq!(wanted.len(), 2);
    assert_eq!(first.config.entrypoint, ["/bin/tool"]);
    assert!(first.config.env.contains(&"A=b=c".to_owned()), "{:?}", first.config.env);
    assert_eq!(first.labels["org.opencontainers.image.title"], "Made by umoci");
    let same = |source: &dyn Source, name: &str| {
        let image = source.image(Arch::X86_64).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!((&image.config, &image.labels), (&first.config, &first.labels), "{name}");
        assert!(tars(source, &image) == wanted, "{name}");
        image
    };
    for name in
        [file("oci.tar"), file("docker.tar"), format!("docker-archive:{}", file("docker.tar"))]
    {
        same(&*files::open(&name).expect("an archive"), &name);
    }
    let settings = settings([Rule::local(authority(&host))]);
    for tag in ["1", "docker"] {
        let reference = format!("{host}/team/made:{tag}");
        let source = open(&reference, &settings).expect("a source");
        let image = same(&source, &reference);
        // By its digest it is the same, whatever becomes of the tag.
        let by_digest = format!("{host}/team/made@{}", image.manifest);
        assert_eq!(super::hostile::image(&by_digest, &settings).expect("an image"), image);
    }
    let found = image(&format!("{host}/team/other:1"), &settings);
    let is_absent = matches!(&found, Err(SourceError::Registry(why))
        if matches!(&**why, RegistryError::Status { status, .. } if status.as_u16() == 404));
    assert!(is_absent, "{found:?}");
}

#[test]
fn layers_that_a_real_tool_packed_with_zstd_are_the_same() {
    let (Some(umoci), Some(skopeo), Some(registry)) =
        (Tool::find("umoci"), Tool::find("skopeo"), Tool::find("docker-registry"))
    else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let from = format!("oci:{}", made_by_umoci(&umoci, dir.path()));
    let source = files::open(&from).expect("a layout");
    let wanted = tars(&*source, &source.image(Arch::X86_64).expect("an image"));
    let packed = format!("oci:{}:zstd", dir.path().join("packed").display());
    let archive = format!("oci-archive:{}", dir.path().join("packed.tar").display());
    let registry = Registry::start(&registry, "");
    let reference = format!("{}/team/packed:1", registry.host());
    skopeo.run(&["--insecure-policy", "copy", "--dest-compress-format", "zstd", &from, &packed]);
    for to in [&archive, &format!("docker://{reference}")] {
        skopeo.run(&["--insecure-policy", "copy", "--dest-tls-verify=false", &packed, to]);
    }
    let settings = settings([Rule::local(authority(&registry.host()))]);
    let there: Box<dyn Source> = Box::new(open(&reference, &settings).expect("a source"));
    let [layout, archive] = [&packed, &archive].map(|name| files::open(name).expect("a source"));
    for source in [layout, archive, there] {
        let image = source.image(Arch::X86_64).expect("an image");
        let packings: Vec<Packing> = image.layers.iter().map(|layer| layer.packing).collect();
        assert_eq!(packings, [Packing::Zstd, Packing::Zstd]);
        assert_eq!(tars(&*source, &image), wanted);
    }
}

#[test]
fn a_real_registry_with_tls_is_asked_if_its_authority_is_believed() {
    let (Some(umoci), Some(skopeo), Some(registry)) =
        (Tool::find("umoci"), Tool::find("skopeo"), Tool::find("docker-registry"))
    else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let pair = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).expect("a pair");
    let (made, other) = (pair("127.0.0.1"), pair("127.0.0.1"));
    let certificate = file("certificate.pem", made.cert.pem());
    let key = file("key.pem", made.signing_key.serialize_pem());
    let other = file("other.pem", other.cert.pem());
    let registry = Registry::start_tls(&registry, &certificate, &key);
    let host = registry.host();
    let from = format!("oci:{}", made_by_umoci(&umoci, dir.path()));
    let to = format!("docker://{host}/made:1");
    skopeo.run(&["--insecure-policy", "copy", "--dest-tls-verify=false", &from, &to]);
    let reference = format!("{host}/made:1");
    let ruled = |ca: Option<&Path>| {
        let ca = ca.map(|ca| format!("ca = \"{}\"\n", ca.display())).unwrap_or_default();
        let rules = format!("[[registry]]\nhost = \"{host}\"\nprivate = true\n{ca}");
        Settings { policy: Policy::read(&rules).expect("rules"), ..settings([]) }
    };
    let believed = open(&reference, &ruled(Some(&certificate))).expect("a source");
    let found = believed.image(Arch::X86_64).expect("an image");
    assert_eq!(tars(&believed, &found).len(), 2);
    for ca in [None, Some(other.as_path())] {
        let why = match image(&reference, &ruled(ca)) {
            Err(SourceError::Registry(why)) => why,
            other => panic!("{other:?}"),
        };
        let is_tls = matches!(&*why, RegistryError::Connect { why, .. }
            if matches!(**why, ConnectError::Tls(_)));
        assert!(is_tls && why.to_string().contains("`ca`"), "{why}");
    }
    // Without TLS it is not asked twice: what it says is no registry's answer.
    let plain = image(&reference, &settings([Rule::local(authority(&host))]));
    let is_refused = matches!(&plain, Err(SourceError::Registry(why))
        if matches!(&**why, RegistryError::Status { status, .. } if status.as_u16() == 400));
    assert!(is_refused, "{plain:?}");
}

#[test]
fn a_real_registry_lets_in_who_has_a_password() {
    let (Some(umoci), Some(skopeo), Some(registry)) =
        (Tool::find("umoci"), Tool::find("skopeo"), Tool::find("docker-registry"))
    else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    // bcrypt of `abc`, of that algorithm's test vectors.
    let users = dir.path().join("users");
    std::fs::write(&users, "me:$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i\n")
        .expect("a file");
    let auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", users.display());
    let registry = Registry::start(&registry, &auth);
    let host = registry.host();
    let from = format!("oci:{}", made_by_umoci(&umoci, dir.path()));
    skopeo.run(&[
        "--insecure-policy",
        "copy",
        "--dest-tls-verify=false",
        "--dest-creds",
        "me:abc",
        &from,
        &format!("docker://{host}/made"),
    ]);
    let reference = format!("{host}/made");
    let mut settings = settings([Rule::local(authority(&host))]);
    for (password, is_let_in) in [(None, false), (Some("xyz"), false), (Some("abc"), true)] {
        if let Some(password) = password {
            let auth = STANDARD.encode(format!("me:{password}"));
            let auths = json!({"auths": {&host: {"auth": auth}}});
            settings.credentials = Credentials::read(&text(&auths)).expect("credentials");
        }
        match image(&reference, &settings) {
            Ok(_) => assert!(is_let_in),
            Err(SourceError::Registry(why)) => match *why {
                RegistryError::Unauthorized { why: BadAuth::Anonymous, .. } => {
                    assert!(password.is_none());
                }
                RegistryError::Unauthorized { why: BadAuth::Denied(_), .. } => assert!(!is_let_in),
                other => panic!("{other}"),
            },
            other => panic!("{other:?}"),
        }
    }
    let source = open(&reference, &settings).expect("a source");
    let image = source.image(Arch::X86_64).expect("an image");
    assert_eq!(tars(&source, &image).len(), 2);
}

/// A token as the distribution project's specification has it, signed with ES256.
fn token(key: &rcgen::KeyPair, certificate: &[u8], access: &serde_json::Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(certificate)]});
    let claims = json!({"iss": "test", "sub": "me", "aud": "registry", "exp": now + 300,
        "nbf": now - 10, "iat": now - 10, "jti": "1", "access": access});
    let part = |value| URL_SAFE_NO_PAD.encode(text(value));
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = key.sign(signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(plain_signature(&signature)))
}

/// Both numbers of a signature, each of 32 bytes, out of their DER form.
fn plain_signature(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut plain = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let digits = &number[number.len().saturating_sub(32)..];
        plain.extend(std::iter::repeat_n(0, 32 - digits.len()));
        plain.extend_from_slice(digits);
        rest = &rest[2 + length..];
    }
    plain
}

#[test]
fn a_real_registry_lets_in_who_has_a_token() {
    let (Some(umoci), Some(skopeo), Some(registry)) =
        (Tool::find("umoci"), Tool::find("skopeo"), Tool::find("docker-registry"))
    else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let made = rcgen::generate_simple_self_signed(["token.test".to_owned()]).expect("a pair");
    let bundle = dir.path().join("bundle.pem");
    std::fs::write(&bundle, made.cert.pem()).expect("a file");
    let certificate = made.cert.der().to_vec();
    let key = made.signing_key;
    let service = Server::start(move |asked| {
        // What is asked for is granted: to push for skopeo, to read for us.
        let actions =
            if asked.path.contains("push") { json!(["pull", "push"]) } else { json!(["pull"]) };
        let access = json!([{"type": "repository", "name": "team/made", "actions": actions}]);
        let token = token(&key, &certificate, &access);
        answer(200, &[], &text(&json!({"token": token, "expires_in": 300})))
    });
    let auth = format!(
        "auth: {{token: {{realm: \"http://{}/token\", service: registry, issuer: test, rootcertbundle: {}}}}}\n",
        service.host(),
        bundle.display(),
    );
    let registry = Registry::start(&registry, &auth);
    let host = registry.host();
    let from = format!("oci:{}", made_by_umoci(&umoci, dir.path()));
    let to = format!("docker://{host}/team/made");
    skopeo.run(&["--insecure-policy", "copy", "--dest-tls-verify=false", &from, &to]);
    let reference = format!("{host}/team/made");
    // The realm is another host: without a rule that names it, nothing is asked of it.
    let before = service.asked().len();
    let found = image(&reference, &settings([Rule::local(authority(&host))]));
    assert!(matches!(found, Err(SourceError::Registry(_))), "{found:?}");
    assert_eq!(service.asked().len(), before);
    let rule = Rule::local(authority(&host)).with_realm(authority(&service.host()));
    let source = open(&reference, &settings([rule])).expect("a source");
    let image = source.image(Arch::X86_64).expect("an image");
    assert_eq!(tars(&source, &image).len(), 2);
    assert_eq!(service.asked().len(), before + 1);
}
