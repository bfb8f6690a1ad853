//! The rules as given, when, then: each test cites its rule.

mod rules {
    mod access;
    mod accounts;
    mod appointments;
    mod authority;
    mod bounces;
    mod commands;
    mod departures;
    mod edits;
    mod erasure;
    mod harness;
    mod histories;
    mod invitations;
    mod links;
    mod mails;
    mod partners;
    mod people;
    mod plans;
    mod preconditions;
    mod relinking;
    mod retries;
    mod roles;
}
