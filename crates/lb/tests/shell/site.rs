//! The page that was built, as it is served.

use http::Method;

use crate::admin::change;
use crate::client::{Answer, Client};
use crate::lb::Lb;

/// A build of the page.
struct Build {
    dir: tempfile::TempDir,
}

impl Build {
    fn new() -> Self {
        let build = Self { dir: tempfile::tempdir().expect("a directory") };
        std::fs::create_dir(build.dir.path().join("assets")).expect("a directory");
        build.write("index.html", "<!doctype html><title>page</title>");
        build.write("sandbox.html", "<!doctype html><title>sandbox</title>");
        build.write("assets/main-1.js", &"export const a = 1;\n".repeat(500));
        build
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.dir.path().join(name), content).expect("a file");
    }

    async fn serve(&self) -> Lb {
        Lb::with(&format!("[web]\ndir = {:?}\n", self.dir.path())).await
    }
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).expect("text")
}

async fn get(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    client.request(Method::GET, path, headers).await
}

#[tokio::test]
async fn every_link_to_the_page_is_the_page() {
    let build = Build::new();
    let lb = build.serve().await;
    let client = lb.client().await;
    let share = "A".repeat(22);
    for path in ["/", "/embed", &format!("/s/{share}"), &format!("/embed/s/{share}")] {
        let page = client.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(text(&page).contains("<title>page"), "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.header("cache-control"), "no-cache");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        let etag = page.header("etag").to_owned();
        assert_eq!(etag, format!("\"{}\"", pe_proto::Digest::of(&page.body).hex()));
        let same = get(&client, path, &[("if-none-match", &etag)]).await;
        assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
        assert_eq!(same.header("etag"), etag);
        let head = client.request(Method::HEAD, path, &[]).await;
        assert_eq!(head.header("content-length"), page.body.len().to_string());
        assert!(head.body.is_empty());
        assert_eq!(client.request(Method::POST, path, &[]).await.status, 405);
    }
    for path in ["/s/x", "/index.html", "/assets/main-2.js", "/assets/../index.html", "/style.css"]
    {
        let missing = client.get(path).await;
        assert_eq!((missing.status.as_u16(), missing.problem().as_str()), (404, "not-found"));
    }
    // The API is where it was.
    assert_eq!(client.get("/api/v1/images").await.status, 200);
    assert_eq!(client.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn what_is_named_by_its_content_is_packed_and_kept_for_ever() {
    let build = Build::new();
    let lb = build.serve().await;
    let client = lb.client().await;
    let path = "/assets/main-1.js";
    let plain = client.get(path).await;
    assert_eq!(plain.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(plain.header("vary"), "accept-encoding");
    let mut etags = vec![plain.header("etag").to_owned()];
    for (wish, encoding) in [("gzip", "gzip"), ("gzip, deflate, br, zstd", "zstd")] {
        let packed = get(&client, path, &[("accept-encoding", wish)]).await;
        assert_eq!(packed.header("content-encoding"), encoding);
        assert!(packed.body.len() < plain.body.len() / 4);
        etags.push(packed.header("etag").to_owned());
        let known = [("accept-encoding", wish), ("if-none-match", packed.header("etag"))];
        assert_eq!(get(&client, path, &known).await.status, 304);
    }
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), 3, "each packing has a tag of its own");
}

/// The policies of a path, each as its directives.
async fn policy(client: &Client, path: &str) -> Vec<String> {
    let page = client.get(path).await;
    let told = page.header("content-security-policy").to_owned();
    told.split(';').map(|each| each.trim().to_owned()).collect()
}

#[tokio::test]
async fn case_39_the_page_runs_its_own_scripts_alone_and_output_has_an_origin_of_its_own() {
    let build = Build::new();
    let lb = build.serve().await;
    let client = lb.client().await;
    let share = "A".repeat(22);
    let has = |policy: &[String], directive: &str| policy.iter().any(|each| each == directive);
    for (path, ancestors) in [
        ("/", "frame-ancestors 'none'"),
        (&format!("/s/{share}"), "frame-ancestors 'none'"),
        ("/embed", "frame-ancestors *"),
        (&format!("/embed/s/{share}"), "frame-ancestors *"),
    ] {
        let policy = policy(&client, path).await;
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            ancestors,
        ] {
            assert!(has(&policy, directive), "{path}: {directive}: {policy:?}");
        }
        assert!(!policy.iter().any(|each| each.contains("unsafe")), "{path}: {policy:?}");
    }
    assert_eq!(client.get("/").await.header("cross-origin-opener-policy"), "same-origin");
    let sandbox = policy(&client, "/sandbox").await;
    // No origin, and nothing to reach: never `allow-same-origin`, no `connect-src`.
    assert!(has(&sandbox, "sandbox allow-scripts"), "{sandbox:?}");
    assert!(has(&sandbox, "default-src 'none'") && has(&sandbox, "script-src 'self'"));
    assert!(!sandbox.iter().any(|each| each.contains("connect-src") || each.contains("http")));
    // Not in a window of its own, where it could say that it is us.
    for (what, status) in [("iframe", 200), ("document", 403), ("object", 403), ("embed", 403)] {
        let asked = get(&client, "/sandbox", &[("sec-fetch-dest", what)]).await;
        assert_eq!(asked.status, status, "{what}");
    }
    assert_eq!(client.get("/sandbox").await.header("vary"), "accept-encoding, sec-fetch-dest");
    // What the sandbox loads is of another origin to it.
    let script = client.get("/assets/main-1.js").await;
    assert_eq!(script.header("access-control-allow-origin"), "*");
    assert_eq!(script.header("cross-origin-resource-policy"), "cross-origin");
}

#[tokio::test]
async fn a_new_build_is_served_after_a_reload_and_a_broken_one_is_not() {
    let build = Build::new();
    let lb = build.serve().await;
    let (client, operator) = (lb.client().await, lb.operator().await);
    build.write("index.html", "<title>second</title>");
    build.write("assets/main-2.js", "2");
    std::fs::remove_file(build.dir.path().join("assets/main-1.js")).expect("a file");
    assert!(text(&client.get("/").await).contains("page"), "not before");
    let reloaded = change(&operator, "/admin/v1/reload", "{}").await.json();
    assert_eq!(reloaded["applied"], serde_json::json!(["web.dir"]), "{reloaded}");
    assert!(text(&client.get("/").await).contains("second"));
    assert_eq!(client.get("/assets/main-2.js").await.status, 200);
    assert_eq!(client.get("/assets/main-1.js").await.status, 200, "a page that is open needs it");

    std::os::unix::fs::symlink("/etc/passwd", build.dir.path().join("passwd")).expect("a link");
    build.write("index.html", "<title>third</title>");
    let refused = change(&operator, "/admin/v1/reload", "{}").await;
    assert_eq!(refused.status, 400);
    let told = refused.json()["detail"].to_string();
    assert!(told.contains("passwd") && told.contains("links are not followed"), "{told}");
    assert!(text(&client.get("/").await).contains("second"), "nothing changed");
    std::fs::remove_dir_all(build.dir.path()).expect("the directory");
    assert_eq!(change(&operator, "/admin/v1/reload", "{}").await.status, 400);
    assert!(text(&client.get("/").await).contains("second"), "nothing changed");
}

#[tokio::test]
async fn without_a_build_the_page_says_how_to_make_one() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let page = text(&client.get("/").await);
    assert!(page.contains("make web") && page.contains("--web"), "{page}");
    for path in ["/embed", "/sandbox", &format!("/s/{}", "A".repeat(22))] {
        assert_eq!(client.get(path).await.problem(), "not-found", "{path}");
    }
}
