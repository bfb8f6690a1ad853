//! What the views promise, on SQLite and on PostgreSQL: each event is applied exactly once, whoever projects and whenever
//! they die; a view made anew equals the live one and is never missed; nobody sees more than the log gives them.
//!
//! Reading order: `node` is a writer with its projector, `tables` a look into the database, `history` something to
//! project; then the promises.

#[path = "support/database.rs"]
mod support;

#[macro_use]
#[path = "log/shared.rs"]
mod log;

mod views {
    use crate::log::check; // after every test the log is checked, too

    mod history;
    mod node;
    mod tables;

    mod as_of;
    mod authority;
    mod faults;
    mod histories;
    mod model;
    mod pages;
    mod projector;
    mod rebuild;
    mod rows;
    mod start;
    mod told;
}
