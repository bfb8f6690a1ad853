//! Accounts: customer numbers and service plans.

use domain::command::Command;
use domain::event::{AccountOpened, AccountRenamed, ServicePlanSet};
use domain::name::AccountName;
use domain::refusal::Refusal;
use domain::time::Millis;
use domain::words::{AccountKind, Scope};

use super::harness::*;

#[test]
fn a_customer_number_opens_an_account() {
    Given::nothing().when(&back_office(), open(HARBOUR, "C-1001", AccountKind::Customer)).then([AccountOpened {
        account: HARBOUR,
        customer_number: number("C-1001"),
        kind: AccountKind::Customer,
        name: AccountName::parse("Harbour Trading").unwrap(),
    }]);
}

#[test]
fn a_customer_number_opens_one_account_only() {
    let given = Given::nothing().and(&back_office(), open(HARBOUR, "C-1001", AccountKind::Customer));
    let given = given
        .when(&back_office(), open(QUARRY, "c-1001", AccountKind::Partner))
        .then_refused(Refusal::CustomerNumberTaken);
    given.when(&back_office(), open(QUARRY, "C-1002", AccountKind::Partner)).then_types(["AccountOpened"]);
}

#[test]
fn an_account_is_opened_once() {
    let given = Given::nothing().and(&back_office(), open(HARBOUR, "C-1001", AccountKind::Customer));
    given.when(&back_office(), open(HARBOUR, "C-1002", AccountKind::Customer)).then_refused(Refusal::IdInUse);
}

#[test]
fn r6_only_the_back_office_opens_accounts_and_sets_plans() {
    let mut callers = vec![person(ROBINS), worker(), link_holder()];
    callers.extend([Scope::Support, Scope::Operator, Scope::Auditor].map(staff));
    for caller in callers {
        let opens = Given::nothing().when(&caller, open(HARBOUR, "C-1001", AccountKind::Customer));
        opens.then_refused(Refusal::ScopeMissing);
        Given::robin_linked().when(&caller, set_plan(HARBOUR, None)).then_refused(Refusal::ScopeMissing);
    }
}

#[test]
fn a_plan_is_set_changed_and_taken_away() {
    let given = Given::nothing().and(&back_office(), open(HARBOUR, "C-1001", AccountKind::Customer));
    let (year, month) = (plan(start(), Millis::days(365)), plan(start(), Millis::days(30)));
    let given = [Some(year), Some(month), None].into_iter().fold(given, |given, plan| {
        given.when(&back_office(), set_plan(HARBOUR, plan.clone())).then([ServicePlanSet { account: HARBOUR, plan }])
    });
    given.when(&back_office(), set_plan(HARBOUR, None)).then_nothing();
}

#[test]
fn the_plan_that_an_account_has_already_changes_nothing() {
    let year = plan(start(), Millis::days(365));
    Given::account().when(&back_office(), set_plan(HARBOUR, Some(year))).then_nothing();
}

#[test]
fn a_plan_ends_after_it_starts() {
    for length in [Millis(0), Millis(-1)] {
        let plan = plan(start(), length);
        let set = Given::account().when(&back_office(), set_plan(HARBOUR, Some(plan)));
        set.then_refused(Refusal::PlanEndsBeforeItStarts);
    }
    let shortest = plan(start(), Millis(1));
    Given::account().when(&back_office(), set_plan(HARBOUR, Some(shortest))).then_types(["ServicePlanSet"]);
}

#[test]
fn r19_a_partner_account_has_no_plan() {
    let given = Given::nothing().and(&back_office(), open(HARBOUR, "P-1", AccountKind::Partner));
    let year = plan(start(), Millis::days(365));
    given.when(&back_office(), set_plan(HARBOUR, Some(year))).then_refused(Refusal::PlanNotForPartners);
}

#[test]
fn r1_no_plan_is_set_for_an_account_that_was_never_opened() {
    let year = plan(start(), Millis::days(365));
    Given::nothing().when(&back_office(), set_plan(HARBOUR, Some(year))).then_refused(Refusal::UnknownAccount);
}

fn rename(name: &str) -> Command {
    Command::RenameAccount { account: HARBOUR, name: AccountName::parse(name).unwrap() }
}

#[test]
fn an_account_gets_another_name() {
    let name = AccountName::parse("Harbour Holding").unwrap();
    for caller in [back_office(), support()] {
        let given = Given::account().when(&caller, rename("Harbour Holding"));
        let given = given.then([AccountRenamed { account: HARBOUR, name: name.clone() }]);
        assert_eq!(given.state(HARBOUR).name, Some(name.clone()));
        given.when(&caller, rename("Harbour Holding")).then_nothing();
    }
    for caller in [person(ROBINS), staff(Scope::Operator), staff(Scope::Auditor), worker()] {
        Given::robin_linked().when(&caller, rename("Harbour Holding")).then_refused(Refusal::ScopeMissing);
    }
    Given::nothing().when(&support(), rename("Harbour Holding")).then_refused(Refusal::UnknownAccount);
}
