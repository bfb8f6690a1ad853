//! The rules of Vinculum as pure functions: events, commands, decisions, refusals.
//!
//! No I/O, no async, no clock, no randomness: time, ids and secrets' results come in as arguments.
//! Reading order: the words, the ids, the personal texts, the events, the state, the decisions.

pub mod words;
pub mod ids;
pub mod time;
pub mod address;
pub mod name;
pub mod personal;
pub mod tag;
pub mod event;
pub mod refusal;
pub mod portal;
pub mod caller;
pub mod account;
pub mod authority;
pub mod command;
pub mod decide;
pub mod accounts;
pub mod people;
pub mod appointment;
pub mod access;
pub mod invitation;
pub mod mail;
pub mod erasure;
pub mod narrate;
pub mod check;
