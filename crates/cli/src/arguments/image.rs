//! Arguments of `pe image`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Subcommand};
use pe_image::reference::Authority;

use super::ArchArg;
use crate::help;
use crate::limits::MAX_AGE_MAX;
use crate::units::{BadUnit, parse_duration};

/// Arguments of `pe image`.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: ImageCommand,
}

/// What is done with images.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Make a pack of an image and put it into the catalogue
    #[command(after_help = help::IMAGE_IMPORT)]
    Import(Box<ImportArgs>),
    /// Ask registries whether tags name other images by now, and import those
    #[command(after_help = help::IMAGE_REFRESH)]
    Refresh(Box<RefreshArgs>),
    /// List the images of a catalogue, and where each is from
    #[command(after_help = help::IMAGE_LIST)]
    List(ListArgs),
    /// Make one pack of several images, which share equal files
    #[command(after_help = help::IMAGE_PACK)]
    Pack(Box<PackArgs>),
    /// Remove images from the catalogue, and packs that no image needs
    #[command(after_help = help::IMAGE_RM)]
    Rm(RmArgs),
    /// Show what an image is, without unpacking it
    #[command(after_help = help::IMAGE_INSPECT)]
    Inspect(InspectArgs),
    /// Check the labels by which an image describes its form and examples
    #[command(after_help = help::IMAGE_LINT)]
    Lint(LintArgs),
}

/// Which registries are asked, and as whom.
#[derive(Debug, Args)]
pub struct RegistryArgs {
    /// TOML file of the registries that may be asked, in place of the large public ones
    #[arg(long, value_name = "FILE", env = "PE_REGISTRIES")]
    pub registries: Option<PathBuf>,

    /// One more registry of the public network that may be asked (repeatable)
    #[arg(long, value_name = "HOST[:PORT]", action = ArgAction::Append)]
    pub allow_registry: Vec<Authority>,

    /// A registry of this machine or network, without TLS, that may be asked (repeatable)
    #[arg(long, value_name = "HOST[:PORT]", action = ArgAction::Append)]
    pub local_registry: Vec<Authority>,

    /// Docker's config.json with credentials; ~/.docker/config.json if that is there
    #[arg(long, value_name = "FILE", env = "REGISTRY_AUTH_FILE")]
    pub auth_file: Option<PathBuf>,
}

/// Where images are kept.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// Directory of the catalogue and its packs
    #[arg(long, value_name = "DIR", env = "PE_IMAGES", default_value = "build/images")]
    pub into: PathBuf,
}

/// How packs are made: what `pe image import` and `pe image pack` have in common.
#[derive(Debug, Args)]
pub struct MakeArgs {
    /// For which architecture; this machine's if absent
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<ArchArg>,

    #[command(flatten)]
    pub store: StoreArgs,

    #[command(flatten)]
    pub registry: RegistryArgs,

    /// Print the new entries of the catalogue as JSON
    #[arg(long)]
    pub json: bool,

    /// No progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// Arguments of `pe image import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A path, `oci:DIR[:NAME]`, `oci-archive:FILE`, `docker-archive:FILE`, or a reference such as
    /// `docker://ghcr.io/someone/image:1`
    pub source: String,

    /// What it is called in the catalogue; the source's last name and tag if absent
    #[arg(long, value_name = "NAME[:TAG]")]
    pub name: Option<String>,

    /// One more tag (repeatable)
    #[arg(long, value_name = "TAG", action = ArgAction::Append)]
    pub tag: Vec<String>,

    /// TOML file with title, description and playground, which win over the image's labels
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,

    /// What a recipe of `images/` was like: its entry has this in place of where it came from
    #[arg(long, value_name = "HASH", hide = true)]
    pub stamp: Option<String>,

    #[command(flatten)]
    pub how: MakeArgs,
}

/// Arguments of `pe image refresh`.
#[derive(Debug, Args)]
pub struct RefreshArgs {
    /// Ask again what was asked longer ago than this
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = max_age)]
    pub max_age: Duration,

    #[command(flatten)]
    pub store: StoreArgs,

    #[command(flatten)]
    pub registry: RegistryArgs,

    /// No progress
    #[arg(short, long)]
    pub quiet: bool,
}

fn max_age(text: &str) -> Result<Duration, BadUnit> {
    parse_duration(text, Duration::from_secs(1), MAX_AGE_MAX)
}

/// Arguments of `pe image list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub store: StoreArgs,

    /// Print all entries as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `pe image pack`.
#[derive(Debug, Args)]
pub struct PackArgs {
    /// Each image as `NAME:TAG=SOURCE`, where SOURCE is what `pe image import` takes
    #[arg(required = true, value_name = "NAME:TAG=SOURCE")]
    pub images: Vec<String>,

    #[command(flatten)]
    pub how: MakeArgs,
}

/// Arguments of `pe image rm`.
#[derive(Debug, Args)]
pub struct RmArgs {
    /// Images as `NAME:TAG`, or `NAME` for all of its tags
    #[arg(value_name = "NAME[:TAG]", required_unless_present = "unused_packs")]
    pub images: Vec<String>,

    /// Remove packs that no image needs any more; workers that read this directory may still
    #[arg(long)]
    pub unused_packs: bool,

    #[command(flatten)]
    pub store: StoreArgs,

    /// Print what was removed as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `pe image inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// What `pe image import` takes
    pub source: String,

    /// For which architecture; this machine's if absent
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<ArchArg>,

    #[command(flatten)]
    pub registry: RegistryArgs,

    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `pe image lint`.
#[derive(Debug, Args)]
pub struct LintArgs {
    /// What `pe image import` takes, or a file of labels that ends in `.toml`
    pub source: String,

    /// Print what a file of labels says as labels, in JSON: for `docker build --label` and its like
    #[arg(long)]
    pub as_labels: bool,

    /// Fail for warnings too
    #[arg(long)]
    pub strict: bool,

    /// For which architecture; this machine's if absent
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<ArchArg>,

    #[command(flatten)]
    pub registry: RegistryArgs,

    /// Print what was found as JSON
    #[arg(long)]
    pub json: bool,
}
