//! Side effects: from to-dos to mail. The outcome of everything done here is an event.
//!
//! It never decides and never holds a transaction while a server talks. Reading order: [`dispatch`] claims and records,
//! [`mailer`] says how handing over can end, [`smtp`] and [`eml`] hand over, [`mail`], [`templates`] and [`notices`] are what.
//! [`associations`], [`appointments`] and [`import`] turn what people typed, time, and existing records into commands.

pub mod dispatch;
pub mod mailer;
pub mod smtp;
pub mod eml;
pub mod mail;
pub mod templates;
pub mod notices;
pub mod associations;
pub mod appointments;
pub mod import;
