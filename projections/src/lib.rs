//! The views: what portals and people read. Disposable, rebuilt from the log at any time; they never refuse a command.
//!
//! One file each: table, row, `apply`, queries. Reading order: [`view`] says what a view is, then the views, then how
//! they are kept ([`projector`]), made anew ([`rebuild`]) and asked ([`views`]), also for the past ([`as_of`]).

pub mod view;
pub mod accounts;
pub mod professionals;
pub mod partnerships;
pub mod identities;
pub mod invitations;
pub mod access_requests;
pub mod appointments;
pub mod mails;
pub mod tables;
pub mod projector;
pub mod rebuild;
pub mod views;
pub mod as_of;

pub use projector::Projector;
pub use views::{Reader, Views};

use view::Definition;

/// Every view. Add a new one here.
pub const ALL: &[Definition] = &[
    Definition::of::<accounts::Accounts>(),
    Definition::of::<professionals::Professionals>(),
    Definition::of::<partnerships::Partnerships>(),
    Definition::of::<identities::Identities>(),
    Definition::of::<invitations::Invitations>(),
    Definition::of::<access_requests::AccessRequests>(),
    Definition::of::<appointments::Appointments>(),
    Definition::of::<mails::Mails>(),
];
