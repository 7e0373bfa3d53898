//! Settings: every key is defined once, as a flag in [`keys`], and may stand in the YAML file under the same name.

mod file;
mod keys;
mod quantity;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

pub use keys::{GatewayKeys, Listen, Offline, Opening, Portmap, Require, Samples, StateKeys};

use crate::command_line::CommandLine;

/// Why there is nothing to run.
pub enum Failure {
    /// What clap says: an error, or the help that was asked for.
    CommandLine(clap::Error),
    /// The configuration file.
    File(anyhow::Error),
}

impl Failure {
    /// Prints it, and says how the program ends.
    pub fn report(self) -> ExitCode {
        match self {
            Failure::CommandLine(error) => {
                // Nothing can be told if even stderr is closed.
                let _ = error.print();
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
            }
            Failure::File(error) => {
                eprintln!("raptorgate: {error:#}");
                ExitCode::from(2)
            }
        }
    }
}

/// The command line, completed by the configuration file that it names. A flag beats the file.
pub fn command_line(arguments: impl Iterator<Item = OsString>) -> Result<CommandLine, Failure> {
    let mut arguments: Vec<OsString> = arguments.collect();
    // What is missing here may stand in the file: only the second look judges.
    let first_look = CommandLine::command().ignore_errors(true);
    let matches = first_look.try_get_matches_from(&arguments).map_err(Failure::CommandLine)?;
    if let Some((verb, of_verb)) = matches.subcommand()
        && let Some(path) = configuration_file(of_verb)
    {
        let settings = file::read(&path).and_then(|entries| {
            let command = CommandLine::command();
            let command = command.find_subcommand(verb).cloned().unwrap_or_default();
            file::as_arguments(&path, entries, command, |key| given(of_verb, key))
        });
        arguments.extend(settings.map_err(Failure::File)?);
    }
    let matches = CommandLine::command().try_get_matches_from(&arguments).map_err(Failure::CommandLine)?;
    CommandLine::from_arg_matches(&matches).map_err(Failure::CommandLine)
}

fn configuration_file(of_verb: &ArgMatches) -> Option<PathBuf> {
    of_verb.try_get_one::<PathBuf>(file::KEY).ok().flatten().cloned()
}

/// Whether the flag of this id stands on the command line.
fn given(of_verb: &ArgMatches, id: &str) -> bool {
    let known = of_verb.ids().any(|known| known.as_str() == id);
    known && of_verb.value_source(id) == Some(ValueSource::CommandLine)
}

#[cfg(test)]
mod tests;
