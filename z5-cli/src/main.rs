//! `z5`: test calls of a video-relay videophone from the command line.
//!
//! Reads the arguments, runs one command, ends with an exit status a script can read (see `exit`). Standard output carries
//! the answer, standard error what went wrong.

mod acceptance;
mod act;
mod advice;
mod args;
mod audio;
mod capsule;
mod capture;
mod commands;
mod exit;
mod expect;
mod failure;
mod firewall;
mod input;
mod junit;
mod live;
mod logging;
mod lossy;
mod metrics;
mod output;
mod page;
mod private;
mod read;
mod report;
mod result_file;
mod scenario;
mod script;
mod store;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::exit::Exit;

fn main() -> ExitCode {
    // Before anything else: the timings of the result count from here.
    let process_start = z5_core::clock::now();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help and version to standard output, errors to standard error
            let printed = error.print();
            let exit = match printed {
                _ if error.use_stderr() => Exit::Usage,
                // a reader that had read enough is no loss
                Err(lost) if lost.kind() != std::io::ErrorKind::BrokenPipe => Exit::Expectation,
                Ok(()) | Err(_) => Exit::Ok,
            };
            return ExitCode::from(exit.status());
        }
    };
    logging::start(cli.verbose);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        match runtime {
            Ok(runtime) => {
                let exit = runtime.block_on(commands::run(cli, process_start));
                // a name look-up or a read of standard input that hangs must not hold the program
                runtime.shutdown_background();
                exit
            }
            Err(error) => {
                output::error(&format!("the system gives z5 no runtime: {error}"));
                Exit::Usage
            }
        }
    }));
    let exit = outcome.unwrap_or(Exit::Bug);
    // what the command was for did not arrive
    let lost = exit == Exit::Ok && output::is_lost();
    ExitCode::from(if lost { Exit::Expectation.status() } else { exit.status() })
}
