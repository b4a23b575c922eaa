//! No field of a request switches anything off.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use pe_e2e::client::{self, Job};
use pe_e2e::lab::Lab;
use pe_proto::Outcome;
use serde_json::{Value, json};

use crate::labs::Labs;

crate::scenarios![
    case_22_unknown_fields_are_refused_with_a_pointer,
    case_23_no_value_of_a_limit_means_unlimited,
    case_41_arguments_and_variables_are_exact_or_refused,
];

/// Posts bytes as a JSON job; status and body of the answer.
fn post(lab: &Lab, body: &str) -> anyhow::Result<(u16, Value)> {
    let mut curl = Command::new("curl")
        .args(["-sS", "--max-time", "60", "-H", "content-type: application/json"])
        .args(["-H", "expect:", "--data-binary", "@-", "-w", "\n%{http_code}"])
        .arg(format!("{}/api/v1/run", lab.client.url))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting curl")?;
    curl.stdin.take().context("stdin")?.write_all(body.as_bytes())?;
    let out = String::from_utf8(curl.wait_with_output()?.stdout)?;
    let (body, status) = out.rsplit_once('\n').context("status")?;
    Ok((status.parse()?, serde_json::from_str(body).context("body")?))
}

fn is_refused_at(lab: &Lab, body: &str, pointer: &str) -> anyhow::Result<()> {
    let (status, problem) = post(lab, body)?;
    let found = problem.get("pointer").and_then(Value::as_str);
    ensure!(status == 400 && found == Some(pointer), "{body}: {status} {problem}");
    Ok(())
}

fn case_22_unknown_fields_are_refused_with_a_pointer(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let fields = [
        "network",
        "net",
        "privileged",
        "user",
        "uid",
        "devices",
        "mounts",
        "volumes",
        "cap_add",
        "security_opt",
        "seccomp",
        "runtime",
        "hostname",
        "timeout",
        "wall_time_limit",
        "memory",
        "enable_network",
        "max_processes_and_or_threads",
        "worker",
        "kernel",
        "cmdline",
        "Image",
    ];
    for field in fields {
        let body = format!(r#"{{"image":"busybox","args":["true"],"{field}":true}}"#);
        is_refused_at(&lab, &body, &format!("/{field}"))?;
        for inside in ["limits", "requires"] {
            let body = format!(r#"{{"image":"busybox","{inside}":{{"{field}":1}}}}"#);
            is_refused_at(&lab, &body, &format!("/{inside}/{field}"))?;
        }
    }
    Ok(())
}

fn case_23_no_value_of_a_limit_means_unlimited(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let values = [
        "-1",
        "-0",
        "1.5",
        "1e308",
        "1e999",
        "-1e308",
        "NaN",
        "Infinity",
        "\"10000\"",
        "\"\"",
        "true",
        "[]",
        "{}",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775808",
        "1e3",
    ];
    for limit in ["wall_ms", "output_bytes", "stdout_bytes", "stderr_bytes"] {
        for value in values {
            let body = format!(r#"{{"image":"busybox","limits":{{"{limit}":{value}}}}}"#);
            is_refused_at(&lab, &body, &format!("/limits/{limit}"))?;
        }
    }
    is_refused_at(&lab, r#"{"image":"busybox","limits":{"wall_ms":0}}"#, "/limits/wall_ms")?;
    is_refused_at(&lab, r#"{"image":"busybox","limits":[]}"#, "/limits")?;
    // Absent and null are the default, and the smallest limits that there are do limit.
    let loud = "head -c 3000000 /dev/zero; head -c 100 /dev/zero > /output/f";
    for none in [json!({}), json!({"wall_ms": 100_000, "stdout_bytes": null})] {
        let request = json!({"image": "busybox", "args": ["sh", "-c", loud], "limits": none});
        let (status, answer) = post(&lab, &request.to_string())?;
        ensure!(
            status == 200 && answer.get("truncated") == Some(&json!(["stdout"])),
            "{none}: {status}"
        );
    }
    let job = Job::shell(loud).with(|job| {
        job.limits.stdout_bytes = Some(0);
        job.limits.output_bytes = Some(0);
    });
    let answer = lab.client.run(job)?;
    ensure!(client::stdout(&answer)?.is_empty() && answer.files.is_empty(), "{answer:?}");
    let job = Job::shell("sleep 1000").with(|job| job.limits.wall_ms = Some(1));
    let answer = lab.client.run(job)?;
    ensure!(matches!(answer.head.outcome, Outcome::TimedOut { .. }), "{answer:?}");
    Ok(())
}

fn case_41_arguments_and_variables_are_exact_or_refused(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let odd = "a\nb=c=d \t\u{1}\u{7f}\u{1f980}\\'\"$(id)`id`\r\n";
    // The longest that Linux hands to a program, less the name of the variable.
    let long = odd.chars().cycle().take(80_000).collect::<String>();
    let script = "import hashlib, os, sys
print(hashlib.sha256(os.fsencode(sys.argv[1])).hexdigest(), hashlib.sha256(os.environb[b'ODD']).hexdigest())
print(os.environ['PATH'])";
    for text in [odd, &long] {
        let job = Job::new("python", &["python3", "-c", script, text]).env("ODD", text);
        let answer = lab.client.run(job)?;
        let digest = pe_proto::Digest::of(text.as_bytes()).hex();
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let expected = format!("{digest} {digest}\n{path}\n");
        ensure!(client::stdout_text(&answer)? == expected, "{answer:?}");
    }
    let megabyte = "x".repeat(1 << 20);
    for (text, what) in [("a\\u0000b", "NUL"), (megabyte.as_str(), "1 MB")] {
        for (body, pointer) in [
            (format!(r#"{{"image":"busybox","args":["true","{text}"]}}"#), "/args/1"),
            (format!(r#"{{"image":"busybox","env":{{"A":"{text}"}}}}"#), "/env/A"),
            (format!(r#"{{"image":"busybox","entrypoint":["{text}"]}}"#), "/entrypoint/0"),
        ] {
            is_refused_at(&lab, &body, pointer).with_context(|| what.to_owned())?;
        }
    }
    for name in ["", "A=B", "A\\u0000"] {
        let body = format!(r#"{{"image":"busybox","env":{{"{name}":"x"}}}}"#);
        let (status, problem) = post(&lab, &body)?;
        ensure!(status == 400, "{name}: {status} {problem}");
    }
    Ok(())
}
