//! Arguments of `pe replay`.

use std::path::PathBuf;

use clap::Args;

use crate::server::Server;

/// Arguments of `pe replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A link of the page (/s/NAME, /embed/s/NAME, or with #s=), or a file with the state as JSON
    #[arg(value_name = "LINK")]
    pub link: String,

    /// Run it on this server in place of the link's; for a link without one, the server of both
    /// [default: the link's, or http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    pub server: Option<Server>,

    /// With https: PEM file of the authorities that may vouch for the server, in place of the
    /// system's
    #[arg(long, value_name = "FILE", env = "PE_CA")]
    pub ca: Option<PathBuf>,

    /// A file with your API key, if the operator of the server that runs it gave you one
    #[arg(long, value_name = "FILE", env = "PE_KEY_FILE")]
    pub key_file: Option<PathBuf>,

    /// Print what was compared, and what differs, as JSON
    #[arg(long)]
    pub json: bool,

    /// No progress and no notes
    #[arg(short, long)]
    pub quiet: bool,
}
