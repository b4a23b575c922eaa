//! The arguments, as clap sees them. What they mean together is [`crate::request`]'s.

pub mod admin;
pub mod image;
mod replay;

use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use pe_proto::limits::{OUTPUT_BYTES_MAX, STREAM_BYTES_MAX};

use crate::help;
use crate::limits::{READY_WAIT_MAX, WALL_ASKED_MAX};
use crate::server::Server;
use crate::units::{BadUnit, parse_bytes, parse_duration};
use crate::words::printable;

pub use replay::ReplayArgs;

/// Run programs in throw-away virtual machines, from any image of a Program Explorer server.
#[derive(Debug, Parser)]
#[command(name = "pe", version, after_help = help::PE, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command in an image, with files of yours, and get back what it prints and makes
    #[command(after_help = help::RUN_SHORT, after_long_help = help::RUN)]
    Run(Box<RunArgs>),
    /// Run again what a link of the page shows, and tell what comes out differently
    #[command(after_help = help::REPLAY)]
    Replay(Box<ReplayArgs>),
    /// List the images that the server has
    #[command(after_help = help::IMAGES)]
    Images(ImagesArgs),
    /// Make packs of images from registries and archives, and look after the catalogue
    #[command(after_help = help::IMAGE)]
    Image(image::ImageArgs),
    /// Wait until the server can run jobs
    #[command(after_help = help::WAIT_READY)]
    WaitReady(WaitReadyArgs),
    /// Look after a load balancer: its workers, queue, bans and settings
    #[command(after_help = help::ADMIN)]
    Admin(Box<admin::AdminArgs>),
    /// Print the version
    #[command(after_help = help::VERSION)]
    Version,
}

/// Which server.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The server
    #[arg(long, value_name = "URL", env = "PE_SERVER", default_value = "http://127.0.0.1:8080")]
    pub server: Server,

    /// With https: PEM file of the authorities that may vouch for the server, in place of the
    /// system's
    #[arg(long, value_name = "FILE", env = "PE_CA")]
    pub ca: Option<PathBuf>,
}

/// Arguments of `pe run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub server: ServerArgs,

    /// A file with your API key, if the server's operator gave you one
    #[arg(long, value_name = "FILE", env = "PE_KEY_FILE")]
    pub key_file: Option<PathBuf>,

    /// The image to run in: `name`, `name:tag` or a digest; `pe images` lists them
    #[arg(long, value_name = "REF")]
    pub image: String,

    /// A file or directory to send, as `local` or `local=remote` (repeatable)
    ///
    /// It appears below /input, under its last name as `cp -r` would put it there, or under the
    /// remote path if one is given (with a slash at its end: in that directory). `dir/.` or
    /// `dir=.` puts what is in the directory right into /input. Directories are taken with all
    /// below them, empty directories too; executable files stay executable. Symbolic links are
    /// followed if they stay inside the directory, else refused.
    #[arg(long, value_name = "PATH", action = ArgAction::Append)]
    pub file: Vec<String>,

    /// Send this file as standard input; `-` for pe's own
    ///
    /// Without --stdin or -i the program's standard input is empty, even if pe's own is a pipe:
    /// so `pe` in a `while read` loop does not eat the loop's lines.
    #[arg(long, value_name = "FILE", conflicts_with = "interactive")]
    pub stdin: Option<PathBuf>,

    /// Send pe's own standard input, up to its end; the same as `--stdin -`
    #[arg(short = 'i', long)]
    pub interactive: bool,

    /// An environment variable, as `NAME=value`, or `NAME` to pass on its value here (repeatable)
    #[arg(long, value_name = "NAME[=VALUE]", action = ArgAction::Append)]
    pub env: Vec<String>,

    /// Working directory: an absolute path; the image's, else /input, if absent
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<String>,

    /// Replaces the image's entrypoint, one word each time (repeatable); `''` for none
    #[arg(long, value_name = "ARG", action = ArgAction::Append, allow_hyphen_values = true)]
    pub entrypoint: Vec<String>,

    /// Files in the working directory to return beside /output, such as `*.o` or `**`
    /// (repeatable)
    #[arg(long, value_name = "GLOB", action = ArgAction::Append)]
    pub output_pattern: Vec<String>,

    /// Write returned files here; made if it is not there
    ///
    /// Nothing is ever written outside it, whatever the server sends. A file that is there with
    /// other content is kept, named, and makes pe exit with 125, unless --force is given.
    /// Symbolic links that come back are made only if they point inside, and never followed.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Let returned files replace files in --out
    #[arg(long, requires = "out")]
    pub force: bool,

    /// Time limit, such as 30s or 2m; the server says how much it allows
    #[arg(long, value_name = "DURATION", value_parser = wall)]
    pub wall: Option<Duration>,

    /// Most bytes of all returned files together, such as 4M
    #[arg(long, value_name = "SIZE", value_parser = output_bytes)]
    pub output_bytes: Option<u64>,

    /// Most bytes of standard output, such as 512K
    #[arg(long, value_name = "SIZE", value_parser = stream_bytes)]
    pub stdout_bytes: Option<u64>,

    /// Most bytes of standard error, such as 512K
    #[arg(long, value_name = "SIZE", value_parser = stream_bytes)]
    pub stderr_bytes: Option<u64>,

    /// Run only on this architecture
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<ArchArg>,

    /// Leave the server's result cache alone: neither ask nor fill it
    #[arg(long, conflicts_with = "refresh")]
    pub no_cache: bool,

    /// Run even if the result is known, and remember the new one
    #[arg(long)]
    pub refresh: bool,

    /// Print the whole answer as JSON on stdout; contents that are not text as base64
    ///
    /// It is the JSON form of the server's API. If the server refuses the request, its problem
    /// (RFC 9457) is printed instead: that has a field `type`, an answer has a field `outcome`.
    #[arg(long)]
    pub json: bool,

    /// No progress and no notes; only what the program prints, and why it did not end by itself
    #[arg(short, long)]
    pub quiet: bool,

    /// Print on stderr where the time went
    #[arg(long)]
    pub timings: bool,

    /// The command, after `--`; the image's own if absent
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Arguments of `pe images`.
#[derive(Debug, Args)]
pub struct ImagesArgs {
    #[command(flatten)]
    pub server: ServerArgs,

    /// Print the catalogue as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `pe wait-ready`.
#[derive(Debug, Args)]
pub struct WaitReadyArgs {
    #[command(flatten)]
    pub server: ServerArgs,

    /// Give up after this time
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = ready_wait)]
    pub timeout: Duration,

    /// Say nothing but the error, if there is one
    #[arg(short, long)]
    pub quiet: bool,
}

/// [`pe_proto::Arch`] as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ArchArg {
    /// 64-bit x86
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit ARM
    #[value(name = "aarch64")]
    Aarch64,
    /// 64-bit RISC-V
    #[value(name = "riscv64")]
    Riscv64,
}

impl From<ArchArg> for pe_proto::Arch {
    fn from(arch: ArchArg) -> Self {
        match arch {
            ArchArg::X86_64 => Self::X86_64,
            ArchArg::Aarch64 => Self::Aarch64,
            ArchArg::Riscv64 => Self::Riscv64,
        }
    }
}

/// What clap cannot know about a mistake: the usual one is a command without `--` before it.
pub fn hint(mistake: &clap::Error) -> Option<String> {
    let word = match mistake.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) if mistake.kind() == ErrorKind::UnknownArgument => word,
        _ => return None,
    };
    (!word.starts_with('-')).then(|| {
        format!("The command to run goes after `--`: pe run --image gcc -- {} ...", printable(word))
    })
}

/// How much is too much is the server's to say: each has its own limit, below the format's.
fn wall(text: &str) -> Result<Duration, BadUnit> {
    parse_duration(text, Duration::from_millis(1), WALL_ASKED_MAX)
}

fn ready_wait(text: &str) -> Result<Duration, BadUnit> {
    parse_duration(text, Duration::ZERO, READY_WAIT_MAX)
}

fn output_bytes(text: &str) -> Result<u64, BadUnit> {
    parse_bytes(text, OUTPUT_BYTES_MAX)
}

fn stream_bytes(text: &str) -> Result<u64, BadUnit> {
    parse_bytes(text, STREAM_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound_and_every_command_has_examples() {
        let mut cli = Cli::command();
        cli.build();
        cli.clone().debug_assert();
        assert!(cli.clone().render_long_help().to_string().contains("Examples:"));
        for command in cli.get_subcommands_mut().filter(|each| each.get_name() != "help") {
            let name = command.get_name().to_owned();
            assert!(command.render_help().to_string().contains("Examples:"), "{name}");
            assert!(command.render_long_help().to_string().contains("Examples:"), "{name}");
            for below in command.get_subcommands_mut().filter(|each| each.get_name() != "help") {
                let name = format!("{name} {}", below.get_name());
                assert!(below.render_help().to_string().contains("Examples:"), "{name}");
            }
        }
    }

    #[test]
    fn everything_after_the_dashes_is_the_command() {
        let cli = Cli::try_parse_from(["pe", "run", "--image", "x", "--", "ls", "--json", "--"]);
        let Ok(Cli { command: Command::Run(run) }) = cli else { panic!("{cli:?}") };
        assert_eq!(run.command, ["ls", "--json", "--"]);
        assert!(!run.json);
    }

    #[test]
    fn a_command_without_the_dashes_is_told_about_them() {
        let hint_for = |args: &[&str]| hint(&Cli::try_parse_from(args).expect_err("refused"));
        let expected = "The command to run goes after `--`: pe run --image gcc -- ls ...";
        assert_eq!(hint_for(&["pe", "run", "--image", "x", "ls"]).as_deref(), Some(expected));
        assert_eq!(hint_for(&["pe", "run", "--image", "x", "--lsx"]), None);
    }

    #[test]
    fn mistakes_are_refused_with_status_2() {
        for args in [
            vec!["pe"],
            vec!["pe", "run"],
            vec!["pe", "run", "--image", "x", "ls"],
            vec!["pe", "run", "--image", "x", "--wall", "30"],
            vec!["pe", "run", "--image", "x", "--wall", "0s"],
            vec!["pe", "run", "--image", "x", "--output-bytes", "17M"],
            vec!["pe", "run", "--image", "x", "--no-cache", "--refresh"],
            vec!["pe", "run", "--image", "x", "--stdin", "a", "-i"],
            vec!["pe", "run", "--image", "x", "--force"],
            vec!["pe", "images", "--server", "ftp://example.org"],
            vec!["pe", "replay"],
            vec!["pe", "replay", "a", "b"],
            vec!["pe", "admin"],
            vec!["pe", "admin", "drain"],
            vec!["pe", "admin", "drain", "attic", "--lb"],
            vec!["pe", "admin", "drain", "--lb", "--undo"],
            vec!["pe", "admin", "ban", "192.0.2.1", "--for", "0s"],
            vec!["pe", "admin", "status", "--admin", "127.0.0.1:8082"],
        ] {
            let refused = Cli::try_parse_from(&args).expect_err("must be refused");
            assert_eq!(refused.exit_code(), 2, "{args:?}");
        }
    }
}
