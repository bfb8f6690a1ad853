//! What the views promise, on SQLite and on PostgreSQL: each event is applied exactly once, whoever projects and whenever
//! they die; a view made anew equals the live one and is never missed; nobody sees more than the log gives them.
//!
//! Reading order: `node` is a writer with its projector, `tables` a look into the database, `history` something to
//! project; then the promises.

mod support {
    #![allow(dead_code, reason = "the views need a database only")]
    pub mod postgres;
    pub mod server;
}

#[macro_use]
mod log {
    #![allow(dead_code, reason = "the log's own tests use the rest")]
    #[macro_use]
    pub mod bench;
    pub mod check;
    pub mod commands;
}

mod views {
    use crate::log::check; // after every test the log is checked, too

    mod history;
    mod node;
    mod tables;

    mod authority;
    mod faults;
    mod pages;
    mod projector;
    mod rebuild;
    mod rows;
    mod start;
}
