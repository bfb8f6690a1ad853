//! People who come by themselves: wishes to be added, the association page, and what they see of themselves.

use std::sync::Arc;

use serde_json::{Value, json};

use super::cast::{Cast, Partner, count, history, invite, open_account, pages};
use super::site::{NOOR, Person, SASHA, Site, heading, somebody};
use crate::support::{Visitor, eventually};

/// Somebody of this cast who has never signed in.
fn newcomer(cast: &Cast, name: &str) -> Person {
    somebody("personal", &format!("Newcomer {name}"), &format!("sign-in-{name}@{}", cast.at))
}

fn wish(number: &str, address: &str) -> Value {
    json!({ "customer_number": number, "name": "Wendy Wish", "address": address })
}

async fn wishes(site: &Site, credential: &str, account: &str) -> Vec<Value> {
    pages(site, credential, &format!("/v1/access-requests?account={account}")).await
}

pub async fn r23_a_wish_is_answered_alike_whatever_is_known_and_approved_or_declined(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let closed = open_account(site, &cast.back_office, &format!("{}-C", cast.number), "Closed Works").await;
    site.api(&cast.support).post(&format!("/v1/accounts/{closed}/close"), json!({})).await.expect(200);
    let number = |end: &str| format!("{}-{end}", cast.number);
    let mut answers = Vec::new();
    for (n, end) in ["H", "NOWHERE", "C"].into_iter().enumerate() {
        let bearer = site.bearer(newcomer(&cast, &format!("n{n}"))).await;
        let address = format!("wish{n}@{}", cast.at);
        let api = site.api(&bearer);
        let mut of_one = Vec::new();
        // Also a key that comes twice, with the same and with another body.
        for body in [wish(&number(end), &address), wish(&number(end), &address), wish(&number(end), "other@t.example")]
        {
            let answer = api.with("idempotency-key", "one").post("/v1/access-requests", body).await.expect(202);
            of_one.push(answer.body);
        }
        let me = api.get("/v1/me").await.expect(200).json();
        of_one.push(json!([me["issuer"], me["kind"], me["profiles"]]).to_string());
        answers.push(of_one);
    }
    assert!(answers.iter().all(|of_one| *of_one == answers[0]), "known or not, all look alike: {answers:?}");
    let of_harbour = wishes(site, &cast.administrator, &cast.harbour.id).await;
    assert_eq!(of_harbour.len(), 1, "{of_harbour:?}");
    assert_eq!(
        (&of_harbour[0]["name"], &of_harbour[0]["address"]),
        (&json!("Wendy Wish"), &json!(format!("wish0@{}", cast.at)))
    );
    assert!(wishes(site, &cast.stranger, &cast.harbour.id).await.is_empty());
    assert!(wishes(site, &cast.member, &cast.harbour.id).await.is_empty(), "an ordinary professional sees none");
    assert!(wishes(site, &cast.support, &closed).await.is_empty());

    let path = format!("/v1/access-requests/{}", of_harbour[0]["id"].as_str().expect("an id"));
    let administrator = site.api(&cast.administrator).with("idempotency-key", "approve");
    let approved = administrator.post(&format!("{path}/approve"), json!({})).await.expect(200);
    let replayed = administrator.post(&format!("{path}/approve"), json!({})).await.expect(200);
    assert_eq!((&approved.json()["replayed"], &replayed.json()["replayed"]), (&json!(false), &json!(true)));
    assert_eq!(approved.json()["professional"], replayed.json()["professional"]);
    let again = site.api(&cast.administrator).post(&format!("{path}/approve"), json!({})).await;
    again.expect_problem(404, "unknown_access_request");
    let address = format!("wish0@{}", cast.at);
    let link = site.nth_link(&address, 1).await;
    site.accept(&Visitor::new(), &link, newcomer(&cast, "n0"), &address).await;

    let bearer = site.bearer(newcomer(&cast, "n1")).await;
    let body = wish(&number("H"), &format!("later@{}", cast.at));
    site.api(&bearer).post("/v1/access-requests", body.clone()).await.expect(202);
    site.api(&bearer).post("/v1/access-requests", body.clone()).await.expect(202);
    let open = wishes(site, &cast.administrator, &cast.harbour.id).await;
    assert_eq!(open.len(), 1, "who has an open wish has it once");
    let path = format!("/v1/access-requests/{}", open[0]["id"].as_str().expect("an id"));
    let quay = Partner::of(site, &cast, "quay").await;
    let partner = site.api(&quay.administrator.bearer);
    partner.post(&format!("{path}/decline"), json!({})).await.expect_problem(404, "unknown_access_request");
    quay.serve(site, &cast, &cast.harbour.id).await;
    partner.post(&format!("{path}/decline"), json!({})).await.expect(200);
    assert!(wishes(site, &cast.administrator, &cast.harbour.id).await.is_empty());
    let events = history(site, &cast.auditor, &cast.harbour.id).await;
    assert_eq!((count(&events, "AccessRequestApproved"), count(&events, "AccessRequestDeclined")), (1, 1));
}

pub async fn r17_r18_r19_everybody_sees_what_may_be_entered_and_acts_as_one_profile(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let kim = newcomer(&cast, "kim");
    let address = format!("kim@{}", cast.at);
    for (n, account) in [&cast.harbour, &cast.meadow].into_iter().enumerate() {
        invite(site, &cast.support, &account.id, kim.name, &address).await.expect(201);
        let link = site.nth_link(&address, n + 1).await;
        site.accept(&Visitor::new(), &link, kim, &address).await;
    }
    let bearer = site.bearer(kim).await;
    let api = site.api(&bearer);
    let profiles = async || {
        let me = api.get("/v1/me").await.expect(200).json();
        me["profiles"].as_array().expect("profiles are listed").clone()
    };
    let both = profiles().await;
    let names: Vec<_> = both.iter().map(|one| one["account_name"].clone()).collect();
    assert_eq!(names, ["Harbour Works", "Meadow Mills"], "by account name");
    let plan = format!("/v1/accounts/{}/service-plan", cast.harbour.id);
    site.api(&cast.back_office).put(&plan, json!({ "service_plan": null })).await.expect(200);
    let close = format!("/v1/accounts/{}/close", cast.meadow.id);
    let before: Vec<_> = both.iter().map(|one| one["may_enter"].clone()).collect();
    site.api(&cast.support).post(&close, json!({})).await.expect(200);
    let after: Vec<_> = profiles().await.iter().map(|one| one["barred"]["code"].clone()).collect();
    assert_eq!((before, after), (vec![json!(true); 2], vec![json!("no_service_plan"), json!("account_closed")]));

    // Acting as one profile, a person sees nothing of the other.
    let of = |n: usize| both[n]["professional"].as_str().expect("an id").to_owned();
    let as_first = api.with("act-as", &of(0));
    as_first.get(&format!("/v1/accounts/{}", cast.harbour.id)).await.expect(200);
    let other = as_first.get(&format!("/v1/accounts/{}", cast.meadow.id)).await;
    other.expect_problem(404, "unknown_account");
    api.get(&format!("/v1/accounts/{}", cast.meadow.id)).await.expect(200);
    let foreign = api.with("act-as", &cast.harbour.administrator).get("/v1/me").await;
    foreign.expect_problem(403, "not_your_profile");
}

/// The mails that an account's invitations by association are.
async fn associations(site: &Site, cast: &Cast, account: &str) -> usize {
    let events = history(site, &cast.auditor, account).await;
    events.iter().filter(|event| !event["facts"]["bound_to"].is_null()).count()
}

pub async fn r13_r14_t10_links_of_the_association_page_are_for_the_identity_that_asked(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let kim = format!("kim@{}", cast.at);
    let mut people = Vec::new();
    for account in [&cast.harbour, &cast.meadow] {
        let body = json!({ "name": "Kim Reed", "address": kim });
        let path = format!("/v1/accounts/{}/professionals", account.id);
        let added = site.api(&cast.support).post(&path, body).await.expect(201);
        people.push(format!("{path}/{}", added.text("professional")));
    }
    let asker = newcomer(&cast, "kim");
    let bearer = site.bearer(asker).await;
    let api = site.api(&bearer);
    let ask = async |email: &str| api.post("/v1/me/associations", json!({ "email": email })).await.expect(202).body;
    let answers = [ask(&kim).await, ask(&format!("nobody@{}", cast.at)).await];
    assert_eq!(answers[0], answers[1], "the answer does not tell what is registered");
    ask_refused(&api).await;
    site.nth_link(&kim, 2).await;
    assert!(site.mails_to(&format!("nobody@{}", cast.at)).is_empty(), "mail goes to registered addresses only");
    for link in site.links(&kim) {
        let other = Visitor::new();
        let page = site.open_and_sign_in(&other, &link, SASHA).await;
        assert_eq!(page.status, 403, "{}", page.body);
        assert!(!page.body.contains("action=\"/invitation/confirm\""), "{}", page.body);
    }
    assert!(site.codes(&kim).is_empty(), "no code is sent for a bound link");
    for link in site.links(&kim) {
        let visitor = Visitor::new();
        let page = site.open_and_sign_in(&visitor, &link, asker).await;
        assert_eq!((page.status, page.url.path()), (200, "/invitation/confirm"), "{}", page.body);
        let linked = site.press(&visitor, &page, "/invitation/confirm").await;
        assert!(heading(&linked).contains("linked"), "{}", linked.body);
    }
    for path in &people {
        assert_eq!(site.api(&cast.support).get(path).await.expect(200).json()["is_associated"], true);
    }
    assert!(site.codes(&kim).is_empty());
}

async fn ask_refused(api: &super::client::Client<'_>) {
    let malformed = api.post("/v1/me/associations", json!({ "email": "no address" })).await;
    assert_eq!(malformed.status, 422, "{}", malformed.body);
}

pub async fn r13_the_fourth_request_for_an_address_within_an_hour_is_answered_alike_and_not_mailed(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (kim, last) = (format!("kim@{}", cast.at), format!("last@{}", cast.at));
    for address in [&kim, &last] {
        super::cast::add(site, &cast.support, &cast.harbour.id, "Kim Reed", address).await;
    }
    let before = associations(site, &cast, &cast.harbour.id).await;
    let ask = async |name: &str, key: &str, address: &str| {
        let bearer = site.bearer(newcomer(&cast, name)).await;
        let api = site.api(&bearer).with("idempotency-key", key);
        api.post("/v1/me/associations", json!({ "email": address })).await.expect(202).body
    };
    let mut answers = Vec::new();
    answers.push(ask("a", "once", &kim).await);
    answers.push(ask("a", "once", &kim).await); // the same request again has one effect
    for name in ["b", "c", "d", "e"] {
        answers.push(ask(name, "one", &kim).await);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    // Requests are handled in their order: once a later one is mailed, nothing more comes for those before.
    ask("f", "one", &last).await;
    site.nth_link(&last, 1).await;
    assert_eq!(
        associations(site, &cast, &cast.harbour.id).await - before,
        4,
        "three for the address, and the later one"
    );
    let three = async || (site.links(&kim).len() >= 3).then_some(());
    eventually("three links", three).await;
    assert_eq!(site.links(&kim).len(), 3);

    // An identity has five an hour, whatever it asks for.
    let many: Vec<String> = (0..6).map(|n| format!("many{n}@{}", cast.at)).collect();
    for address in &many {
        super::cast::add(site, &cast.support, &cast.meadow.id, "Many Names", address).await;
        ask("g", address, address).await;
    }
    super::cast::add(site, &cast.support, &cast.meadow.id, "End", &format!("end@{}", cast.at)).await;
    ask("h", "one", &format!("end@{}", cast.at)).await;
    site.nth_link(&format!("end@{}", cast.at), 1).await;
    assert_eq!(associations(site, &cast, &cast.meadow.id).await, 6, "five, and the later one");
    assert!(site.links(&many[5]).is_empty());
}

pub async fn r17_a_sign_in_without_a_profile_leads_to_the_association_page(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let visitor = Visitor::new();
    let page = site.sign_in(&visitor, newcomer(&cast, "page")).await;
    assert_eq!((page.status, page.url.path()), (200, "/associations"), "{}", page.body);
    let address = format!("first@{}-h.example", cast.number.to_lowercase());
    let mut sent = Vec::new();
    for email in [&address, &format!("nobody@{}", cast.at)] {
        let fields = [("csrf", &*super::site::csrf(&page)), ("email", email)];
        let answer = visitor.post(site.url("/associations"), &fields).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        sent.push(answer.body);
    }
    assert_eq!(sent[0], sent[1]);
    site.nth_link(&address, 2).await;
    let one = Visitor::new();
    let page = site.sign_in(&one, NOOR).await;
    assert_eq!(page.url.path(), "/profile", "{}", page.body);
}

pub async fn r18_a_browser_acts_as_the_profile_that_was_chosen(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let kim = newcomer(&cast, "chooser");
    let address = format!("chooser@{}", cast.at);
    let mut profiles = Vec::new();
    for (n, account) in [&cast.harbour, &cast.meadow].into_iter().enumerate() {
        let added = invite(site, &cast.support, &account.id, kim.name, &address).await.expect(201);
        let link = site.nth_link(&address, n + 1).await;
        site.accept(&Visitor::new(), &link, kim, &address).await;
        profiles.push(added.text("professional"));
    }
    let visitor = Visitor::new();
    let page = site.sign_in(&visitor, kim).await;
    assert_eq!((page.status, page.url.path()), (200, "/profile"));
    let offers = |page: &crate::support::Page, profile: &str| page.body.contains(&format!("value=\"{profile}\""));
    assert!(profiles.iter().all(|profile| offers(&page, profile)), "both are offered: {}", page.body);
    let token = super::site::csrf(&page);
    let choose = async |csrf: &str, profile: &str| {
        let chosen = visitor.post(site.url("/profile/choose"), &[("csrf", csrf), ("profile", profile)]).await;
        visitor.follow(chosen).await
    };
    for foreign in [&cast.harbour.administrator, &store::random::uuid().to_string()] {
        let page = choose(&token, foreign).await;
        assert_eq!(page.status, 403, "{}", page.body);
        assert!(page.body.contains("not_your_profile"), "{}", page.body);
    }
    assert_eq!(choose("x", &profiles[0]).await.status, 403);
    for (n, profile) in profiles.iter().enumerate() {
        let page = choose(&token, profile).await;
        assert_eq!((page.status, page.url.path()), (200, "/profile"));
        let offered = (offers(&page, profile), offers(&page, &profiles[1 - n]));
        assert_eq!(offered, (false, true), "switching needs no sign-out: {}", page.body);
    }
    // With one usable profile a sign-in goes straight in.
    let close = format!("/v1/accounts/{}/close", cast.meadow.id);
    site.api(&cast.support).post(&close, json!({})).await.expect(200);
    let page = site.sign_in(&Visitor::new(), kim).await;
    assert!(profiles.iter().all(|profile| !offers(&page, profile)), "{}", page.body);
}
