//! The command line: verbs, and where each one's flags are defined.

use clap::{Parser, Subcommand};

use crate::verb;

/// Mount any Velociraptor endpoint with the client the operating system already has.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, disable_help_subcommand = true)]
pub struct CommandLine {
    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,raptorgate_vfs=debug` [default: the variable RAPTORGATE_LOG, else info]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a gateway on a simulated Velociraptor deployment, to try everything without a server
    Demo(verb::demo::Arguments),
    /// Run a gateway on a Velociraptor server
    Serve(verb::serve::Arguments),
    /// Run the simulated Velociraptor deployment alone
    Simulator(verb::simulator::Arguments),
    /// See whether everything that a gateway needs is there: server, rights, ports, rpcbind, clock
    Check(verb::check::Arguments),
    /// Install our artifacts on the server: then many small files, or many directories, take one flow
    InstallArtifacts(verb::install_artifacts::Arguments),
    /// Tell what the running gateway does and holds
    Status(verb::control_only::Arguments),
    /// List the endpoints
    Clients(verb::clients::Arguments),
    /// Show the flows under way and those that ended lately
    Activity(verb::control_only::Arguments),
    /// Take back a flow that is under way
    Cancel(verb::cancel::Arguments),
    /// List a directory anew
    Refresh(verb::refresh::Arguments),
    /// Collect a file
    Collect(verb::collect::Arguments),
    /// Mount an endpoint on this machine
    Mount(verb::mount::Arguments),
    /// End the mounts of an endpoint, or one of them
    Umount(verb::umount::Arguments),
    /// Work with the ledger of who read and started what
    Ledger(verb::ledger::Arguments),
}

impl Verb {
    /// It runs until it is told to end, and logs what happens meanwhile.
    pub fn serves(&self) -> bool {
        matches!(self, Verb::Demo(_) | Verb::Serve(_) | Verb::Simulator(_))
    }
}
