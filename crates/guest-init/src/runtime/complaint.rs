//! What the runtime complains of, in words that say what to do.
//!
//! Pure. The runtime's messages are those of `crun` 1.x; one that is not known here is passed on
//! as it is and counts as our fault, so that somebody looks at it.

use pe_proto::Fault;

use crate::blame::Refusal;

/// The last error in the runtime's log, which has one JSON object per line.
pub fn last_message(log: &str) -> String {
    log.lines()
        .rev()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|entry| entry.get("level").is_none_or(|level| level == "error"))
        .and_then(|entry| Some(entry.get("msg")?.as_str()?.to_owned()))
        .unwrap_or_else(|| log.trim().to_owned())
}

/// Turns a complaint into a refusal. `program` is what the job asked to run, `cwd` where.
pub fn explain(message: &str, program: &str, cwd: &str) -> Refusal {
    let has = |part: &str| message.contains(part);
    let about_program = has("executable") || has("exec container process");
    let reason = if program.is_empty() {
        "the name of the program to run is empty".to_owned()
    } else if has("executable file") && has("not found") {
        if program.contains('/') {
            format!("there is no program `{program}` in the image or the input: check the path")
        } else {
            format!(
                "there is no program `{program}` in the image: check the name, or give its full \
                 path; files of the input are run as `./name`"
            )
        }
    } else if has("missing dynamic library?") {
        format!(
            "`{program}` cannot be run: its interpreter or dynamic loader is not in the image; \
             build it statically or use an image that has it"
        )
    } else if about_program && has("Exec format error") {
        format!(
            "`{program}` is not a program for this machine: a script needs a first line such as \
             `#!/bin/sh`, a binary must be built for this architecture"
        )
    } else if has("open executable") || (about_program && has("Permission denied")) {
        format!(
            "`{program}` may not be executed: it must be a file that is marked as executable; a \
             script can also be given to its interpreter (`sh {program}`)"
        )
    } else if about_program && has("Argument list too long") {
        format!("the arguments and variables of `{program}` are too long for the kernel")
    } else if about_program && (has("Is a directory") || has("Not a directory")) {
        format!("`{program}` is not a file that can be run")
    } else if about_program && has("Text file busy") {
        format!("`{program}` is open for writing and cannot be run")
    } else if has("chdir") {
        format!(
            "the working directory `{cwd}` cannot be entered: it is not a directory, or not \
                 open to the user of the job"
        )
    } else {
        let fault = Fault::Us;
        let message = if message.is_empty() { "it did not say why" } else { message };
        let reason = format!("the container could not be started: {message}");
        return Refusal { fault, reason };
    };
    Refusal::client(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, fault: Fault, part: &str) {
        let refusal = explain(message, "tool", "/w");
        assert_eq!(refusal.fault, fault, "{message}");
        assert!(refusal.reason.contains(part), "{}", refusal.reason);
        assert!(refusal.reason.contains("tool") || fault == Fault::Us || message.contains("chdir"));
    }

    #[test]
    fn known_complaints_name_the_program_and_what_to_do() {
        let client = Fault::Client;
        check("executable file `tool` not found in $PATH: No such file", client, "full path");
        check("exec container process `/x/tool`: Exec format error", client, "#!/bin/sh");
        check("exec container process `/x/tool`: Permission denied", client, "executable");
        check("open executable: Permission denied", client, "marked as executable");
        check("exec container process (missing dynamic library?) `/tool`: No", client, "loader");
        check("chdir `/w`: Permission denied", client, "`/w`");
    }

    #[test]
    fn unknown_complaints_are_our_fault_and_are_quoted() {
        check("mount `x`: Invalid argument", Fault::Us, "mount `x`");
        check("", Fault::Us, "did not say why");
    }

    #[test]
    fn the_last_error_of_a_log_is_found() {
        let log = "{\"msg\":\"first\",\"level\":\"error\"}\n{\"msg\":\"second\",\"level\":\"error\"}\n\
                   {\"msg\":\"chatter\",\"level\":\"warning\"}\nnot json\n";
        assert_eq!(last_message(log), "second");
        assert_eq!(last_message("plain words\n"), "plain words");
        assert_eq!(last_message(""), "");
    }
}
