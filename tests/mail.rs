//! What mail promises, on SQLite and on PostgreSQL: never lost, at most one copy more than outcomes were unknown, all
//! copies the same, and nobody's mail waits for another's.
//!
//! Reading order: `post` is a mail server that does as it is told, `desk` a node with its mails; then the promises.

#[path = "support/database.rs"]
mod support;

#[macro_use]
#[path = "log/shared.rs"]
mod log;

#[path = "views/shared.rs"]
mod views;

mod mail {
    use crate::log::check; // after every test the log is checked, too

    mod desk;
    mod post;

    mod associations;
    mod content;
    mod faults;
    mod isolation;
    mod once;
    mod retries;
    mod unwanted;
}
