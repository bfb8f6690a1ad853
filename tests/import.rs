//! Import of existing records: rows become commands, on SQLite and on PostgreSQL, from the command line and over the API.
//!
//! Reading order: `files` are files and what is told of their rows; then the promises.

mod support;

#[macro_use]
#[path = "log/shared.rs"]
mod log;

mod import {
    use crate::log::check; // after every test the log is checked, too

    mod files;

    mod rows;
    mod again;
    mod hostile;
    mod throttle;
    mod asked;
    mod service;
}
