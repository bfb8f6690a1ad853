//! The rules as given, when, then: each test cites its rule. And every rule at once, on random sequences of commands.

mod rules {
    mod accounts;
    mod authority;
    mod harness;
    mod invitations;
    mod links;
    mod mails;
    mod people;
    mod relinking;
    mod sequences;
}
