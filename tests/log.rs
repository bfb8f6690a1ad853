//! What the log promises, each promise kept on SQLite and on PostgreSQL, by one writer and by several.
//!
//! Reading order: `bench` is a database and its writers, `commands` the wishes that the tests speak of, `check` what
//! holds of every log; then the promises.

mod support;

mod log {
    #[macro_use]
    mod bench;
    mod check;
    mod commands;

    mod clock;
    mod explained;
    mod faults;
    mod memory;
    mod races;
    mod readers;
    mod requests;
    mod rest;
    mod roles;
    mod verify;
}
