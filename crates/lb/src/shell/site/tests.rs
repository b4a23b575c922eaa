use std::os::unix::fs::symlink;

use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};

use super::*;
use crate::limits::{WEB_BYTES_MAX, WEB_DEPTH_MAX, WEB_FILES_MAX};

fn dir(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

fn refused(dir: &tempfile::TempDir) -> String {
    Site::read(dir.path()).unwrap_err().to_string()
}

#[test]
fn pages_are_found_by_their_names_and_nothing_else_is() {
    let dir = dir(&[
        ("index.html", "<p>page"),
        ("sandbox.html", "<p>sandbox"),
        ("assets/a-1234.js", "1"),
        ("favicon.svg", "<svg/>"),
        (".vite/manifest.json", "{}"),
    ]);
    let site = Site::read(dir.path()).unwrap();
    let share = "A".repeat(22);
    for path in [
        "/",
        "/embed",
        "/sandbox",
        "/assets/a-1234.js",
        "/favicon.svg",
        &format!("/s/{share}"),
        &format!("/embed/s/{share}"),
    ] {
        assert!(site.find(path).is_some(), "{path}");
    }
    for path in [
        "",
        "/index.html",
        "/index",
        "/assets",
        "/assets/",
        "/assets/../index.html",
        "//",
        "/%2e%2e/index.html",
        "/.vite/manifest.json",
        "/s/",
        "/s/short",
        &format!("/s/{share}A"),
        &format!("/s/{}", ".".repeat(22)),
        &format!("/x/s/{share}"),
        &format!("/embed/embed/s/{share}"),
    ] {
        assert!(site.find(path).is_none(), "{path}");
    }
}

#[test]
fn only_files_that_can_be_served_are_read() {
    let good = [("index.html", "")];
    let place = dir(&good);
    symlink("/etc/passwd", place.path().join("passwd.txt")).unwrap();
    assert!(refused(&place).contains("links are not followed"));
    let place = dir(&good);
    symlink("/etc", place.path().join("assets")).unwrap();
    assert!(refused(&place).contains("links are not followed"));
    let place = dir(&good);
    nix::unistd::mkfifo(&place.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(refused(&place).contains("neither a file nor a folder"));
    for name in ["a b.js", "a%41.js", "ä.js", "a?b"] {
        let place = dir(&[("index.html", ""), (name, "")]);
        assert!(refused(&place).contains("a name may have"), "{name}");
    }
    for name in ["api/v1/run", "healthz", "s/x", "docs/api.html", "embed/x.js", "worker/v1/hello"] {
        let place = dir(&[("index.html", ""), (name, "")]);
        assert!(refused(&place).contains("the load balancer answers itself"), "{name}");
    }
    assert!(refused(&dir(&[("main.js", "")])).contains("no index.html"));
    assert!(Site::read(Path::new("/nowhere")).is_err());
}

#[test]
fn what_is_read_is_bounded() {
    let place = dir(&[("index.html", "")]);
    let large = std::fs::File::create(place.path().join("large.bin")).unwrap();
    large.set_len(WEB_BYTES_MAX as u64 + 1).unwrap();
    assert!(refused(&place).contains("bytes"));
    let deep = "d/".repeat(WEB_DEPTH_MAX) + "x";
    assert!(refused(&dir(&[("index.html", ""), (&deep, "")])).contains("folders deeper"));
    let names: Vec<String> = (0..WEB_FILES_MAX).map(|number| number.to_string()).collect();
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    files.push(("index.html", ""));
    assert!(refused(&dir(&files)).contains("more than"));
}

#[test]
fn a_file_says_what_it_is_and_how_long_it_is_good() {
    let script = "const a = 1;\n".repeat(200);
    let place = dir(&[
        ("index.html", "<p>"),
        ("assets/a-1.js", &script),
        ("assets/b-1.wasm", "x"),
        ("assets/c-1.css", "p {}"),
        ("robots.txt", "x"),
        ("assets/d-1.mjs", "1"),
        ("icon.svg", "<svg/>"),
    ]);
    let site = Site::read(place.path()).unwrap();
    let told = |path: &str, name: http::HeaderName| {
        let response = site.find(path).unwrap().respond(&HeaderMap::new());
        let value = response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        value.unwrap_or_default()
    };
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/assets/a-1.js", "text/javascript; charset=utf-8"),
        ("/assets/d-1.mjs", "text/javascript; charset=utf-8"),
        ("/assets/b-1.wasm", "application/wasm"),
        ("/assets/c-1.css", "text/css; charset=utf-8"),
        ("/robots.txt", "text/plain; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        assert_eq!(told(path, CONTENT_TYPE), media_type, "{path}");
        let is_hashed = path.starts_with("/assets/");
        let expected = if is_hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
        assert_eq!(told(path, CACHE_CONTROL), expected, "{path}");
        assert_eq!(told(path, VARY), "accept-encoding");
        assert_eq!(told(path, http::header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    }
    let mut wish = HeaderMap::new();
    wish.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
    let packed = site.find("/assets/a-1.js").unwrap().respond(&wish);
    assert_eq!(packed.headers().get("content-encoding").unwrap(), "zstd");
}

#[test]
fn a_page_that_is_open_finds_its_parts_after_the_site_was_replaced() {
    let first = Site::read(dir(&[("index.html", "1"), ("assets/a-1.js", "1")]).path()).unwrap();
    let second = dir(&[("index.html", "2"), ("assets/a-2.js", "2"), ("old.txt", "")]);
    let second = Site::read(second.path()).unwrap().after(&first);
    assert!(second.find("/assets/a-1.js").is_some() && second.find("/assets/a-2.js").is_some());
    // The same again, as a reload for another reason brings it.
    let again = second.after(&second);
    assert!(again.find("/assets/a-1.js").is_some());
    let third = Site::read(dir(&[("index.html", "3")]).path()).unwrap().after(&again);
    assert!(third.find("/assets/a-2.js").is_some(), "of the one before");
    assert!(third.find("/assets/a-1.js").is_none(), "not for ever");
    assert!(third.find("/old.txt").is_none(), "only what is hashed");
}
