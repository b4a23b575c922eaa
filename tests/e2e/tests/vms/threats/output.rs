//! What a program leaves behind is untrusted until it is bytes in an answer.

use anyhow::ensure;
use pe_e2e::client::{self, Job};
use pe_proto::Outcome;
use pe_proto::outcome::Truncated;

use super::container::python;
use crate::labs::Labs;
use crate::limits::next_job_is_clean;

crate::scenarios![
    case_01_only_plain_files_directories_and_links_come_back,
    case_42_an_output_that_became_a_link_gives_nothing_of_its_target,
    case_42_nothing_that_was_left_running_can_change_what_is_collected,
    case_42_inputs_cannot_be_unpacked_through_links_of_an_image,
    case_43_bytes_cut_in_the_middle_of_a_character_are_exact,
];

const EXITED: Outcome = Outcome::Exited { code: 0 };

fn case_01_only_plain_files_directories_and_links_come_back(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let script = "import os, socket
os.chdir('/output')
open('plain', 'w').write('plain')
os.link('plain', 'hard'); os.symlink('/etc/shadow', 'soft'); os.mkfifo('fifo'); os.mkdir('empty')
socket.socket(socket.AF_UNIX).bind('socket')
for name, mode, device in [('block', 0o60666, os.makedev(259, 0)), ('char', 0o20666, os.makedev(1, 1))]:
    try: os.mknod(name, mode, device); print('BAD made', name)
    except PermissionError: pass
with open('sparse', 'w') as sparse: sparse.truncate(1 << 40)
print(os.stat('sparse').st_size, os.stat('sparse').st_blocks)";
    let answer = lab.client.run(python(script, &[]))?;
    ensure!(answer.head.outcome == EXITED, "{answer:?}");
    ensure!(client::stdout_text(&answer)? == format!("{} 0\n", 1u64 << 40), "{answer:?}");
    let names: Vec<&str> = answer.files.keys().map(String::as_str).collect();
    ensure!(names == ["empty", "hard", "plain", "soft"], "{names:?}");
    ensure!(client::file(&answer, "hard")? == b"plain");
    ensure!(client::file(&answer, "soft")? == b"/etc/shadow");
    ensure!(answer.head.truncated == [Truncated::Files], "{:?}", answer.head);
    for name in ["fifo", "socket", "sparse"] {
        let noted = answer.head.notes.iter().any(|note| note.contains(name));
        ensure!(noted, "{name}: {:?}", answer.head.notes);
    }
    next_job_is_clean(&lab)
}

fn case_42_an_output_that_became_a_link_gives_nothing_of_its_target(
    labs: &Labs,
) -> anyhow::Result<()> {
    let lab = labs.common()?;
    for target in ["/etc", "/proc/1", "/", "/proc/self/root", "/nowhere"] {
        let script = format!(
            "cd /; rmdir /output 2>/dev/null || mv /output /was; ln -s {target} /output && echo linked"
        );
        let answer = lab.client.run(Job::shell(&script))?;
        ensure!(answer.head.outcome == EXITED, "{target}: {answer:?}");
        ensure!(answer.files.is_empty(), "{target}: {:?}", answer.files.keys());
    }
    // The same for the working directory and what `outputs` names in it.
    let script = "cd /; mv /input /was; ln -s /etc /input; echo done";
    let job = Job::shell(script).with(|job| job.outputs = vec!["**".to_owned()]);
    let answer = lab.client.run(job)?;
    ensure!(answer.files.is_empty(), "{:?}", answer.files.keys());
    Ok(())
}

fn case_42_nothing_that_was_left_running_can_change_what_is_collected(
    labs: &Labs,
) -> anyhow::Result<()> {
    let lab = labs.single()?;
    // A daemon that left its session swaps a directory for a link, and floods, after the program's
    // end.
    let script = "mkdir -p /output/d; echo mine > /output/d/passwd; cd /output
(setsid sh -c 'trap \"\" 1 2 15; while :; do mv d e; ln -s /etc d; rm d; mv e d; \
 echo more >> /output/log; done' &) >/dev/null 2>&1
sleep 0.3; exit 0";
    for _ in 0..4 {
        let answer = lab.client.run(Job::shell(script))?;
        ensure!(answer.head.outcome == EXITED, "{answer:?}");
        for name in answer.files.keys() {
            let known = ["log", "d", "e", "d/passwd", "e/passwd"].contains(&name.as_str());
            ensure!(known, "{:?}", answer.files.keys());
        }
        for name in ["d/passwd", "e/passwd"] {
            if answer.files.contains_key(name) {
                ensure!(client::file(&answer, name)? == b"mine\n", "{answer:?}");
            }
        }
    }
    next_job_is_clean(&lab)
}

fn case_42_inputs_cannot_be_unpacked_through_links_of_an_image(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    // `/input` is all that an input can reach, whatever its name; the image is as it was.
    let hostile = ["../escape", "/etc/escape", "a/../../escape", "..", "a//b", "./a", ""];
    for name in hostile {
        let refused = lab.client.run(Job::shell("true").file(name, b"x"));
        ensure!(refused.is_err(), "{name:?} was taken");
    }
    let job = Job::shell("find / -xdev -name '*escape*' 2>/dev/null; ls -a /input; cat /input/...")
        .file("...", b"dots\n")
        .file("con/nul", b"x");
    let text = client::stdout_text(&lab.client.run(job)?)?;
    ensure!(text == ".\n..\n...\ncon\ndots\n", "{text}");
    Ok(())
}

fn case_43_bytes_cut_in_the_middle_of_a_character_are_exact(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    // Characters of one to four bytes, then every byte value; each limit cuts another one.
    let mut bytes = "a\u{e9}\u{65e5}\u{1f600}".repeat(7).into_bytes();
    bytes.extend(0..=255);
    for limit in [1u64, 2, 4, 5, 8, 9, 71, 100, 200, 325] {
        let job = Job::shell("cat all; cat all >&2").file("all", &bytes).with(|job| {
            job.limits.stdout_bytes = Some(limit);
            job.limits.stderr_bytes = Some(limit + 1);
        });
        let answer = lab.client.run(job)?;
        let cut = |limit: u64| bytes.get(..usize::try_from(limit).ok()?.min(bytes.len()));
        ensure!(cut(limit) == Some(&client::stdout(&answer)?), "{limit}: {answer:?}");
        let stderr = answer.stderr.clone().into_bytes()?;
        ensure!(cut(limit + 1) == Some(&stderr), "{limit}: {answer:?}");
    }
    Ok(())
}
