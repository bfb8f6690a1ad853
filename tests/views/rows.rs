//! What each view shows after a history that is written out, row by row and column by column.

use std::collections::BTreeSet;

use domain::caller::Actor;
use domain::command::Command;
use domain::event::ServicePlan;
use domain::ids::{EventId, MailId};
use domain::invitation::Link;
use domain::mail::{CLAIM_LIFETIME, MailOutcome};
use domain::time::{Millis, Timestamp};
use domain::words::{AccountKind, Authority, IdentityKind, Language, Role};
use projections::Reader;
use projections::accounts::AccountRow;
use projections::identities::IdentityRow;
use projections::invitations::{Delivery, DeliveryState, Filter, InvitationRow, Status};
use projections::mails::{Content, MailRow};
use projections::professionals::ProfessionalRow;
use store::Executed;

use super::history::everything;
use super::node::Node;
use super::tables::Tables;
use crate::log::bench::{Bench, at_once, open_at, run, standing_clock};
use crate::log::commands::*;

const STAFF: Reader = Reader::Staff;

/// A node with a clock that stands, so that times are known.
async fn node_at(bench: &Bench) -> (Node, domain::ids::AccountId, Timestamp) {
    let clock = standing_clock();
    let (store, _) = open_at(bench.location(), clock.clone()).await.unwrap();
    let node = Node::start_with(store).await;
    (node, fresh_account(), clock.now())
}

on_both! {
    async fn an_account_shows_its_plan_and_the_position_of_its_last_change(bench: &Bench) {
        let (node, account, at) = node_at(bench).await;
        let number = number();
        run(&node.store, &staff(), open(account, &number)).await.unwrap();
        let plan = run(&node.store, &staff(), set_plan(account, "Enhancement Plan")).await.unwrap();
        let (partner, partner_number) = (fresh_account(), self::number());
        let opened =
            run(&node.store, &staff(), open_as(partner, &partner_number, AccountKind::Partner)).await.unwrap();
        run(&node.store, &staff(), add(account, fresh_professional(), &address())).await.unwrap();
        node.follow().await;

        let found = node.views.account(account, STAFF).await.unwrap().unwrap();
        let expected = AccountRow {
            id: account,
            customer_number: domain::name::CustomerNumber::parse(&number).unwrap(),
            kind: AccountKind::Customer,
            name: domain::name::AccountName::parse("Harbour Trading").unwrap(),
            plan: Some(self::plan("Enhancement Plan")),
            partners: BTreeSet::new(),
            opened_at: at,
            closed_at: None,
            position: plan.position,
            changed_by: last(&plan),
        };
        assert_eq!(found, expected);
        assert!(found.plan_allows_entry(at) && !found.plan_allows_entry(self::plan("Support Plan").ends_at));
        let partner = node.views.account(partner, STAFF).await.unwrap().unwrap();
        assert!(partner.plan.is_none() && partner.position == opened.position && partner.plan_allows_entry(at));
        assert_eq!(node.views.account(fresh_account(), STAFF).await.unwrap(), None);

        let ended = run(&node.store, &staff(), end_plan(account)).await.unwrap();
        node.follow().await;
        let found = node.views.account(account, STAFF).await.unwrap().unwrap();
        assert_eq!(found, AccountRow { plan: None, position: ended.position, changed_by: last(&ended), ..expected });
        assert!(!found.plan_allows_entry(at));
    }

    async fn a_professional_shows_roles_identity_and_newest_invitation(bench: &Bench) {
        let (node, account, at) = node_at(bench).await;
        run(&node.store, &staff(), open(account, &number())).await.unwrap();
        run(&node.store, &staff(), set_plan(account, "Support Plan")).await.unwrap();
        let (first, second, invitation) = (fresh_professional(), fresh_professional(), fresh_invitation());
        let added = run(&node.store, &staff(), add(account, first, "Ada@Harbour.Example")).await.unwrap();
        let invited = run(&node.store, &staff(), invite(account, second, &address(), invitation)).await.unwrap();
        node.follow().await;
        let expected_first = ProfessionalRow {
            id: first,
            account,
            name: Some("Robin Rivers".into()),
            address: Some(details("Ada@Harbour.Example").address.as_str().into()),
            language: Language::English,
            roles: Role::MANDATORY.into_iter().chain([Role::Administrator]).collect(),
            identity: None,
            associated_at: None,
            invitation: None,
            added_at: at,
            deleted_at: None,
            position: added.position,
            changed_by: last(&added),
        };
        assert_eq!(node.views.professional(account, first, STAFF).await.unwrap(), Some(expected_first.clone()));
        let found = node.views.professional(account, second, STAFF).await.unwrap().unwrap();
        assert_eq!((&found.roles, found.language), (&BTreeSet::new(), Language::German));
        assert_eq!((found.invitation, found.position, found.identity), (Some(invitation), invited.position, None));

        node.store.clock().turn(Millis::hours(1));
        let identity = fresh_identity();
        run(&node.store, &person(identity), register(identity)).await.unwrap();
        let accepted = accept(link(account, invitation), identity);
        let accepted = run(&node.store, &person(identity), accepted).await.unwrap();
        node.follow().await;
        let found = node.views.professional(account, second, STAFF).await.unwrap().unwrap();
        assert_eq!((found.identity, found.associated_at), (Some(identity), Some(at + Millis::hours(1))));
        assert_eq!((found.added_at, found.position), (at, accepted.position));
        assert_eq!(node.views.professional(account, first, STAFF).await.unwrap(), Some(expected_first));

        let people = node.views.professionals(account, STAFF, "", 10).await.unwrap();
        assert!(people.len() == 2 && people.is_sorted_by_key(|row| row.id.to_string()));
        let rest = node.views.professionals(account, STAFF, &people[0].id.to_string(), 10).await.unwrap();
        assert_eq!(rest, people[1..]);
        assert_eq!(node.views.professionals(account, STAFF, "", 1).await.unwrap(), people[..1]);
        let profiles = node.views.profiles(identity).await.unwrap();
        assert_eq!(profiles.iter().map(|(row, account)| (row.id, account.id)).collect::<Vec<_>>(), [(second, account)]);
    }

    async fn an_identity_shows_what_its_issuer_told(bench: &Bench) {
        let (node, _, at) = node_at(bench).await;
        let identity = fresh_identity();
        run(&node.store, &person(identity), register(identity)).await.unwrap();
        node.follow().await;
        let expected = IdentityRow {
            id: identity,
            issuer: "microsoft".into(),
            kind: IdentityKind::Personal,
            name: Some("Robin Private".into()),
            address: Some("robin@mail.example".into()),
            registered_at: at,
        };
        assert_eq!(node.views.identity(identity).await.unwrap(), Some(expected));
        assert_eq!(node.views.identity(fresh_identity()).await.unwrap(), None);
    }

    /// The whole life of an invitation, and the to-dos beside it.
    async fn an_invitation_and_its_mails_show_every_step(bench: &Bench) {
        let (node, _, at) = node_at(bench).await;
        let (store, views, clock) = (&node.store, &node.views, node.store.clock());
        let account = an_account(store).await;
        let (person_id, invitation) = (fresh_professional(), fresh_invitation());
        let issued = run(store, &staff(), invite(account, person_id, &address(), invitation)).await.unwrap();
        let first = link(account, invitation);
        node.follow().await;
        let mut expected = InvitationRow {
            id: invitation,
            account,
            professional: person_id,
            generation: 1,
            status: Status::Open,
            revoked_for: None,
            issued_by: staff().actor,
            by: Some(Authority::Staff),
            partner: None,
            bound_to: None,
            issued_at: at,
            expires_at: at + Millis::days(7),
            link_key: "2026-11".into(),
            visits: 0,
            clicks: 0,
            delivery: delivery(mail_of(first), DeliveryState::Waiting, 0, at),
            position: issued.position,
            changed_by: last(&issued),
        };
        let changed = |expected: &mut InvitationRow, executed: &Executed| {
            (expected.position, expected.changed_by) = (executed.position, last(executed));
        };
        let row = async || {
            node.follow().await;
            views.invitation(invitation, STAFF).await.unwrap().unwrap()
        };
        let due = async || {
            node.follow().await;
            views.due_mails(clock.now() + Millis::days(1), 10).await.unwrap()
        };
        let mut to_do = MailRow {
            id: mail_of(first),
            account,
            professional: person_id,
            invitation: Some(invitation),
            generation: 1,
            content: Content::Link,
            due_at: at,
        };
        assert_eq!((row().await, due().await), (expected.clone(), vec![to_do.clone()]));

        // Two visits and a click are counted.
        for command in [visit(first), visit(first), click(first)] {
            changed(&mut expected, &run(store, &link_holder(), command).await.unwrap());
        }
        (expected.visits, expected.clicks) = (2, 1);
        assert_eq!(row().await, expected);

        // An attempt is deferred; the to-do is due when the next one is.
        clock.turn(Millis::seconds(1));
        let attempted = run(store, &worker(), attempt(first)).await.unwrap();
        changed(&mut expected, &attempted);
        expected.delivery = delivery(mail_of(first), DeliveryState::Sending, 1, clock.now());
        to_do.due_at = clock.now() + CLAIM_LIFETIME;
        assert_eq!((row().await, due().await), (expected.clone(), vec![to_do.clone()]));
        let deferred = run(store, &worker(), record_outcome(first, person_id, 1, deferred())).await.unwrap();
        to_do.due_at = clock.now() + Millis(30_000); // the jitter of the wish is in the middle
        changed(&mut expected, &deferred);
        expected.delivery = Delivery {
            code: Some(451),
            reply: Some("451 robin@harbour.example is busy".into()),
            retry_at: Some(to_do.due_at),
            ..delivery(mail_of(first), DeliveryState::Deferred, 1, clock.now())
        };
        assert_eq!((row().await, due().await), (expected.clone(), vec![to_do.clone()]));
        assert_eq!(views.due_mails(Timestamp(to_do.due_at.0 - 1), 10).await.unwrap(), []);
        assert_eq!(views.due_mails(to_do.due_at, 10).await.unwrap(), [to_do.clone()]);

        // A new generation: a to-do of its own; what becomes of the old mail no longer shows on the invitation.
        let resent = run(store, &staff(), send(account, person_id)).await.unwrap();
        let second = Link { generation: 2, ..first };
        expected.generation = 2;
        (expected.issued_at, expected.expires_at) = (clock.now(), clock.now() + Millis::days(7));
        expected.delivery = delivery(mail_of(second), DeliveryState::Waiting, 0, clock.now());
        changed(&mut expected, &resent);
        let new_to_do = MailRow { id: mail_of(second), generation: 2, due_at: clock.now(), ..to_do.clone() };
        assert_eq!((row().await, due().await), (expected.clone(), vec![new_to_do.clone(), to_do.clone()]));
        clock.turn(Millis::minutes(1));
        let cancelled = run(store, &worker(), attempt(first)).await.unwrap();
        assert_eq!(cancelled.events[0].event.name(), "MailCancelled");
        changed(&mut expected, &cancelled);
        assert_eq!((row().await, due().await), (expected.clone(), vec![new_to_do.clone()]));

        // Sent; then the holder of the older link asks for the newest.
        run(store, &worker(), attempt(second)).await.unwrap();
        let sent = MailOutcome::Sent { reply: "250 queued".into() };
        let sent = run(store, &worker(), record_outcome(second, person_id, 1, sent)).await.unwrap();
        changed(&mut expected, &sent);
        expected.delivery = Delivery {
            reply: Some("250 queued".into()),
            ..delivery(mail_of(second), DeliveryState::Sent, 1, clock.now())
        };
        assert_eq!((row().await, due().await), (expected.clone(), vec![]));
        let latest = Command::RequestLatestLink { link: first, new: new_link(fresh_invitation()) };
        changed(&mut expected, &run(store, &link_holder(), latest).await.unwrap());
        let latest = MailId::derive(invitation, 2, "latest-link", 1);
        expected.delivery = delivery(latest, DeliveryState::Waiting, 0, clock.now());
        let latest = MailRow { id: latest, due_at: clock.now(), ..new_to_do };
        assert_eq!((row().await, due().await), (expected.clone(), vec![latest.clone()]));

        // A code is another mail, and none that shows on the invitation.
        let identity = fresh_identity();
        run(store, &person(identity), register(identity)).await.unwrap();
        let code = issue_code(second, identity);
        let Command::IssueMailboxCode { flow, .. } = code.clone() else { unreachable!() };
        changed(&mut expected, &run(store, &person(identity), code).await.unwrap());
        let code = MailRow {
            id: MailId::derive(invitation, 2, "mailbox-code", 1),
            content: Content::Code { flow, number: 1, code_key: "2026-11".into() },
            ..latest.clone()
        };
        let mut waiting = vec![latest, code];
        waiting.sort_by_key(|row| row.id.to_string());
        assert_eq!((row().await, due().await), (expected.clone(), waiting));

        changed(&mut expected, &run(store, &person(identity), accept(second, identity)).await.unwrap());
        expected.status = Status::Accepted;
        assert_eq!(row().await, expected);
        let context = views.invitation_context(invitation).await.unwrap().unwrap();
        assert_eq!((context.professional.id, context.account.id, context.inviter), (person_id, account, None));
        everything(store).await;
        node.follow().await;
        Tables::equal_the_log(bench).await;
    }

    async fn a_revoked_invitation_shows_it_and_its_inviter_is_named(bench: &Bench) {
        let (node, _, _) = node_at(bench).await;
        let account = an_account(&node.store).await;
        // The first person administers the account and invites the second.
        let (administrator, invited) = somebody_invited(&node.store, account).await;
        let identity = fresh_identity();
        run(&node.store, &person(identity), register(identity)).await.unwrap();
        run(&node.store, &person(identity), accept(invited, identity)).await.unwrap();
        let (colleague, invitation) = (fresh_professional(), fresh_invitation());
        let command = invite(account, colleague, &address(), invitation);
        run(&node.store, &person(identity), command).await.unwrap();
        node.follow().await;
        let context = node.views.invitation_context(invitation).await.unwrap().unwrap();
        assert_eq!(context.inviter.as_ref().map(|inviter| inviter.id), Some(administrator));
        assert_eq!(context.invitation.issued_by, Actor::Identity(identity));
        // Of many at once each is answered with its own: one by staff, which names nobody, and one that there is not.
        let asked = [fresh_invitation(), invited.invitation, invitation].into_iter().cycle().take(9);
        let asks = asked.map(|id| {
            let views = node.views.clone();
            async move { views.invitation_context(id).await.unwrap() }
        });
        for (number, found) in at_once(asks.collect::<Vec<_>>()).await.into_iter().enumerate() {
            let found = found.map(|context| (context.professional.id, context.inviter.map(|inviter| inviter.id)));
            assert_eq!(found, [None, Some((administrator, None)), Some((colleague, Some(administrator)))][number % 3]);
        }
        let revoked = run(&node.store, &person(identity), revoke(link(account, invitation))).await.unwrap();
        node.follow().await;
        let found = node.views.invitation(invitation, STAFF).await.unwrap().unwrap();
        assert_eq!((found.status, found.position), (Status::Revoked, revoked.position));
    }

    async fn invitations_are_listed_by_account_and_delivery_those_that_changed_last_first(bench: &Bench) {
        let (node, _, _) = node_at(bench).await;
        let (harbour, bridge) = (an_account(&node.store).await, an_account(&node.store).await);
        let mut issued = Vec::new();
        for account in [harbour, bridge, harbour, harbour] {
            issued.push(somebody_invited(&node.store, account).await);
        }
        run(&node.store, &link_holder(), visit(issued[0].1)).await.unwrap();
        run(&node.store, &worker(), attempt(issued[1].1)).await.unwrap();
        node.follow().await;
        let ids = async |account: &str, delivery: &str, before, limit| {
            let filter = Filter { account: account.into(), delivery: delivery.into(), ..Filter::default() };
            let rows = node.views.invitations(&filter, before, limit).await.unwrap();
            rows.iter().map(|row| issued.iter().position(|(_, link)| link.invitation == row.id).unwrap()).collect()
        };
        let harbour = harbour.to_string();
        let all: Vec<usize> = ids("", "", i64::MAX, 100).await;
        assert_eq!(all, [1, 0, 3, 2]);
        assert_eq!(ids(&harbour, "", i64::MAX, 100).await, [0, 3, 2]);
        assert_eq!(ids("", "sending", i64::MAX, 100).await, [1]);
        assert_eq!(ids(&harbour, "waiting", i64::MAX, 2).await, [0, 3]);
        let third = node.views.invitation(issued[3].1.invitation, STAFF).await.unwrap().unwrap().position;
        assert_eq!(ids("", "", third, 100).await, [2]);
        assert_eq!(ids("", "sent", i64::MAX, 100).await, Vec::<usize>::new());
    }

    /// Two ends of one range of plans: a plan that has not begun does not let anybody in.
    async fn a_plan_counts_from_its_first_moment_to_its_last(bench: &Bench) {
        let (node, account, at) = node_at(bench).await;
        run(&node.store, &staff(), open(account, &number())).await.unwrap();
        let plan = ServicePlan { starts_at: at + Millis(1), ends_at: at + Millis(3), ..plan("Support Plan") };
        run(&node.store, &staff(), Command::SetServicePlan { account, plan: Some(plan) }).await.unwrap();
        node.follow().await;
        let row = node.views.account(account, STAFF).await.unwrap().unwrap();
        let allowed: Vec<bool> = (0..4).map(|ms| row.plan_allows_entry(at + Millis(ms))).collect();
        assert_eq!(allowed, [false, true, true, false]);
    }
}

fn delivery(mail: MailId, state: DeliveryState, attempts: u32, changed_at: Timestamp) -> Delivery {
    Delivery { mail, state, attempts, code: None, reply: None, parked_for: None, retry_at: None, changed_at }
}

/// The last event of what was done: the entity tag of what it changed.
fn last(executed: &Executed) -> EventId {
    executed.events.last().expect("something was done").id
}
