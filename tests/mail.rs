//! What mail promises, on SQLite and on PostgreSQL: never lost, at most one copy more than outcomes were unknown, all
//! copies the same, and nobody's mail waits for another's.
//!
//! Reading order: `post` is a mail server that does as it is told, `desk` a node with its mails; then the promises.

mod support {
    #![allow(dead_code, reason = "mail needs a database only")]
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
    #![allow(dead_code, reason = "the views' own tests use the rest")]
    pub mod node;
}

mod mail {
    use crate::log::check; // after every test the log is checked, too

    mod desk;
    mod post;

    mod content;
    mod faults;
    mod isolation;
    mod once;
    mod retries;
    mod unwanted;
}
