//! The program: reads the command line, starts the runtime, runs one verb. See `README.md`.

mod announce;
mod command_line;
mod configuration;
mod control;
mod descriptors;
mod exposition;
mod logging;
mod mount_point;
mod ports;
mod service_manager;
mod shutdown;
mod state;
mod terminal;
mod verb;
mod way;
mod wiring;

use std::process::ExitCode;

use command_line::{CommandLine, Verb};

fn main() -> ExitCode {
    let command_line = match configuration::command_line(std::env::args_os()) {
        Ok(command_line) => command_line,
        Err(failure) => return failure.report(),
    };
    logging::start(command_line.verb.serves(), command_line.log.as_deref());
    match run(command_line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raptorgate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command_line: CommandLine) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        match command_line.verb {
            Verb::Demo(arguments) => verb::demo::run(arguments).await,
            Verb::Serve(arguments) => verb::serve::run(arguments).await,
            Verb::Simulator(arguments) => verb::simulator::run(arguments).await,
            Verb::Check(arguments) => verb::check::run(arguments).await,
            Verb::InstallArtifacts(arguments) => verb::install_artifacts::run(arguments).await,
            Verb::Status(arguments) => verb::status::run(arguments).await,
            Verb::Clients(arguments) => verb::clients::run(arguments).await,
            Verb::Activity(arguments) => verb::activity::run(arguments).await,
            Verb::Refresh(arguments) => verb::refresh::run(arguments).await,
            Verb::Cancel(arguments) => verb::cancel::run(arguments).await,
            Verb::Collect(arguments) => verb::collect::run(arguments).await,
            Verb::Mount(arguments) => verb::mount::run(arguments).await,
            Verb::Umount(arguments) => verb::umount::run(arguments).await,
            Verb::Ledger(arguments) => verb::ledger::run(&arguments),
        }
    });
    // What still blocks (a read of the disk, a name that is being looked up) must not hold the end up.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}
