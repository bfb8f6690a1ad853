//! What can be wished for, by whom and when, at random.

use super::*;

/// One step: who does what where, and how far the clock turns before.
#[derive(Clone, Debug)]
pub struct Step {
    pub(super) turn: Millis,
    pub(super) who: Who,
    pub(super) account: usize,
    pub(super) wish: Wish,
}

#[derive(Clone, Debug)]
pub(super) enum Who {
    /// Somebody who may do such things, if anybody may.
    Apt(Index),
    Staff(Scope),
    CommandLine(Scope),
    /// An administrator of the account with an identity; support, where there is none.
    Administrator(Index),
    /// An administrator of the partner account, who acts for it.
    Partner(Index),
    /// Anybody: people of some account, or strangers.
    Person {
        identity: u8,
        signed_in_minutes_ago: Option<i64>,
        acting_as: Option<u8>,
        for_partner: bool,
    },
    LinkHolder,
    Worker,
}

#[derive(Clone, Debug)]
pub(super) enum Wish {
    Open {
        account: usize,
        kind: bool,
    },
    Plan {
        days: Option<i64>,
    },
    Rename {
        name: u8,
    },
    Close,
    Assign {
        partner: usize,
    },
    Remove {
        partner: usize,
    },
    Add {
        professional: u8,
        address: usize,
        name: usize,
        invitation: Option<New>,
    },
    Edit {
        professional: u8,
        name: Option<usize>,
        address: Option<usize>,
        german: bool,
        invitation: Option<New>,
    },
    Delete {
        professional: u8,
    },
    HandOver {
        professional: u8,
        to: u8,
    },
    Give {
        professional: u8,
        role: usize,
    },
    Take {
        professional: u8,
        role: usize,
    },
    Unlink {
        professional: u8,
    },
    Send {
        professional: u8,
        new: New,
    },
    /// The same again and again, until a budget is used up.
    Flood {
        professional: u8,
        invitation: Index,
        identity: u8,
        what: u8,
    },
    Revoke {
        invitation: Index,
    },
    Retry {
        invitation: Index,
        professional: Option<u8>,
        address: Option<usize>,
        new: New,
    },
    Associate {
        professional: u8,
        identity: u8,
        address: Option<usize>,
        new: New,
    },
    Limit {
        identity: u8,
    },
    Ask {
        request: u8,
        identity: u8,
        address: usize,
    },
    Approve {
        request: Option<Index>,
        professional: u8,
        new: New,
    },
    Decline {
        request: Option<Index>,
    },
    Propose {
        appointment: u8,
        professional: u8,
        replaces: Option<u8>,
    },
    Object {
        appointment: Option<Index>,
    },
    Decide {
        appointment: Option<Index>,
        carry_out: bool,
    },
    CarryOut {
        appointment: Option<Index>,
    },
    SignIn {
        identity: u8,
    },
    Erase {
        professional: u8,
        all: bool,
    },
    EraseIdentity {
        identity: u8,
    },
    Audit,
    Bounce {
        mail: Index,
    },
    Visit {
        invitation: Index,
        age: u32,
    },
    Click {
        invitation: Index,
        age: u32,
        flow: u8,
    },
    RequestLatest {
        invitation: Index,
        age: u32,
        new: New,
    },
    Code {
        invitation: Index,
        age: u32,
        identity: u8,
    },
    Accept {
        invitation: Index,
        age: u32,
        identity: u8,
        mailbox: u8,
    },
    Register {
        identity: u8,
    },
    Attempt {
        mail: Index,
    },
    Record {
        mail: Index,
        attempts_ago: u32,
        outcome: u8,
        jitter_permille: u32,
    },
}

/// A link to send; the number is rarely one that is in use.
#[derive(Clone, Debug)]
pub(super) struct New {
    pub(super) number: u16,
    pub(super) hours: i64,
}

pub(super) fn any_new() -> impl Strategy<Value = New> {
    (0..400u16, prop_oneof![4 => Just(168i64), 1 => 1..200i64]).prop_map(|(number, hours)| New { number, hours })
}

pub(super) fn any_who() -> impl Strategy<Value = Who> {
    let scope = || {
        let scopes = [Scope::Support, Scope::Support, Scope::BackOffice, Scope::Operator, Scope::Auditor];
        proptest::sample::select(scopes.to_vec())
    };
    prop_oneof![
        20 => any::<Index>().prop_map(Who::Apt),
        3 => any::<Index>().prop_map(Who::Administrator),
        4 => scope().prop_map(Who::Staff),
        1 => scope().prop_map(Who::CommandLine),
        3 => any::<Index>().prop_map(Who::Partner),
        4 => (0..6u8, proptest::option::of(-20..20i64), proptest::option::weighted(0.2, 0..5u8), any::<bool>()).prop_map(
            |(identity, signed_in_minutes_ago, acting_as, for_partner)| Who::Person {
                identity,
                signed_in_minutes_ago,
                acting_as,
                for_partner,
            }
        ),
        1 => Just(Who::LinkHolder),
        1 => Just(Who::Worker),
    ]
}

pub(super) fn any_age() -> impl Strategy<Value = u32> {
    // Mostly the newest generation; 0 is one that was never issued.
    prop_oneof![1 => Just(0u32), 12 => Just(1u32), 2 => Just(2u32)]
}

pub(super) fn any_wish_about_accounts() -> impl Strategy<Value = Wish> {
    prop_oneof![
        4 => (0..3usize, any::<bool>()).prop_map(|(account, kind)| Wish::Open { account, kind }),
        10 => (30..400i64).prop_map(|days| Wish::Plan { days: Some(days) }),
        3 => proptest::option::weighted(0.8, -1..4i64).prop_map(|days| Wish::Plan { days }),
        2 => (0..2u8).prop_map(|name| Wish::Rename { name }),
        1 => Just(Wish::Close),
        12 => (0..3usize).prop_map(|partner| Wish::Assign { partner }),
        5 => (0..3usize).prop_map(|partner| Wish::Remove { partner }),
        1 => Just(Wish::Audit),
    ]
}

pub(super) fn any_wish_about_people() -> impl Strategy<Value = Wish> {
    let professional = || 0..7u8;
    let address = || 0..ADDRESSES.len();
    let new = || proptest::option::weighted(0.6, any_new());
    prop_oneof![
        8 => (professional(), address(), 0..3usize, new()).prop_map(|(professional, address, name, invitation)| {
            Wish::Add { professional, address, name, invitation }
        }),
        6 => (
            professional(),
            proptest::option::weighted(0.3, 0..3usize),
            proptest::option::weighted(0.5, address()),
            proptest::bool::weighted(0.1),
            proptest::option::weighted(0.4, any_new()),
        )
            .prop_map(|(professional, name, address, german, invitation)| {
                Wish::Edit { professional, name, address, german, invitation }
            }),
        3 => professional().prop_map(|professional| Wish::Delete { professional }),
        2 => (professional(), professional()).prop_map(|(professional, to)| Wish::HandOver { professional, to }),
        8 => (professional(), 0..7usize).prop_map(|(professional, role)| Wish::Give { professional, role }),
        4 => (professional(), 0..7usize).prop_map(|(professional, role)| Wish::Take { professional, role }),
        2 => professional().prop_map(|professional| Wish::Unlink { professional }),
        2 => (professional(), any::<bool>()).prop_map(|(professional, all)| Wish::Erase { professional, all }),
    ]
}

pub(super) fn any_wish_about_invitations() -> impl Strategy<Value = Wish> {
    prop_oneof![
        6 => (0..7u8, any_new()).prop_map(|(professional, new)| Wish::Send { professional, new }),
        1 => any::<Index>().prop_map(|invitation| Wish::Revoke { invitation }),
        1 => (0..7u8, any::<Index>(), 0..6u8, 0..4u8).prop_map(|(professional, invitation, identity, what)| {
            Wish::Flood { professional, invitation, identity, what }
        }),
        2 => (
            any::<Index>(),
            proptest::option::weighted(0.1, 0..5u8),
            proptest::option::weighted(0.3, 0..ADDRESSES.len()),
            any_new(),
        )
            .prop_map(|(invitation, professional, address, new)| {
                Wish::Retry { invitation, professional, address, new }
            }),
        3 => (0..5u8, 0..6u8, proptest::option::weighted(0.1, 0..ADDRESSES.len()), any_new()).prop_map(
            |(professional, identity, address, new)| Wish::Associate { professional, identity, address, new }
        ),
        1 => (0..6u8).prop_map(|identity| Wish::Limit { identity }),
        1 => (0..7u8).prop_map(|identity| Wish::EraseIdentity { identity }),
        1 => (any::<Index>(), any_age()).prop_map(|(invitation, age)| Wish::Visit { invitation, age }),
        1 => (any::<Index>(), any_age(), 0..4u8)
            .prop_map(|(invitation, age, flow)| Wish::Click { invitation, age, flow }),
        2 => (any::<Index>(), 0..4u32, any_new())
            .prop_map(|(invitation, age, new)| Wish::RequestLatest { invitation, age, new }),
        1 => (any::<Index>(), any_age(), 0..6u8)
            .prop_map(|(invitation, age, identity)| Wish::Code { invitation, age, identity }),
        14 => (any::<Index>(), any_age(), 0..6u8, 0..8u8).prop_map(|(invitation, age, identity, mailbox)| {
            Wish::Accept { invitation, age, identity, mailbox }
        }),
        3 => (0..6u8).prop_map(|identity| Wish::Register { identity }),
    ]
}

pub(super) fn any_wish_about_appointments() -> impl Strategy<Value = Wish> {
    let any_of = || proptest::option::weighted(0.9, any::<Index>());
    prop_oneof![
        4 => (0..20u8, 0..6u8, 0..ADDRESSES.len())
            .prop_map(|(request, identity, address)| Wish::Ask { request, identity, address }),
        3 => (any_of(), 0..5u8, any_new())
            .prop_map(|(request, professional, new)| Wish::Approve { request, professional, new }),
        1 => any_of().prop_map(|request| Wish::Decline { request }),
        6 => (0..40u8, 0..7u8, proptest::option::weighted(0.3, 0..7u8)).prop_map(|(appointment, professional, replaces)| {
            Wish::Propose { appointment, professional, replaces }
        }),
        2 => any_of().prop_map(|appointment| Wish::Object { appointment }),
        1 => (any_of(), any::<bool>()).prop_map(|(appointment, carry_out)| Wish::Decide { appointment, carry_out }),
        2 => any_of().prop_map(|appointment| Wish::CarryOut { appointment }),
        2 => (0..6u8).prop_map(|identity| Wish::SignIn { identity }),
    ]
}

pub(super) fn any_wish_about_mails() -> impl Strategy<Value = Wish> {
    prop_oneof![
        2 => any::<Index>().prop_map(|mail| Wish::Bounce { mail }),
        4 => any::<Index>().prop_map(|mail| Wish::Attempt { mail }),
        4 => (any::<Index>(), any_age(), 0..4u8, 0..1_000u32).prop_map(
            |(mail, attempts_ago, outcome, jitter_permille)| Wish::Record { mail, attempts_ago, outcome, jitter_permille }
        ),
    ]
}

pub fn any_step() -> impl Strategy<Value = Step> {
    // Mostly minutes, sometimes days, sometimes back.
    let turn = prop_oneof![
        40 => (0..10i64).prop_map(Millis::minutes),
        4 => (0..60i64).prop_map(Millis::hours),
        1 => (3..20i64).prop_map(Millis::days),
        1 => (-30..0i64).prop_map(Millis::hours),
    ];
    let account = prop_oneof![7 => Just(0usize), 2 => Just(1usize), 2 => Just(2usize)];
    let wish = prop_oneof![
        2 => any_wish_about_accounts(),
        6 => any_wish_about_people(),
        8 => any_wish_about_invitations(),
        4 => any_wish_about_appointments(),
        4 => any_wish_about_mails(),
    ];
    (turn, any_who(), account, wish).prop_map(|(turn, who, account, wish)| Step { turn, who, account, wish })
}
