//! Vinculum: the composition root and the one binary.
//!
//! It puts the house together and decides nothing. Reading order: [`cli`] is what can be asked for, [`config`] what it
//! is told, [`serve`] how the service is put together, [`commands`], [`export`], [`import`], [`sample`], [`invitations`] and
//! [`verify`] everything else, [`dev`] the development parts.

mod cli;
mod config;
mod telemetry;
mod serve;
mod listen;
mod commands;
mod export;
mod invitations;
mod verify;
mod import;
mod sample;
mod dev;

use std::process::ExitCode;

use clap::Parser as _;

/// Events are made on one thread and dropped on another, which costs the C library's allocator most.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("vinculum: another TLS provider is in place");
        return ExitCode::FAILURE;
    }
    let arguments = cli::Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("vinculum: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("vinculum: {failure}");
            ExitCode::FAILURE
        }
    }
}
