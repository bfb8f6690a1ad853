//! From the link in the mail to the linked profile: what consumes a link, and what does not.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::cast::{Cast, count, history, plan};
use super::site::{ALEX, NOOR, ROBIN, ROBIN_AT_WORK, SASHA, Site, csrf, heading, token_of};
use crate::support::{Page, Visitor};

/// Every address that a form of the invitation's pages posts to.
const ACTIONS: [&str; 8] = [
    "/invitation/sign-in",
    "/invitation/continue",
    "/invitation/code",
    "/invitation/code/again",
    "/invitation/confirm",
    "/invitation/latest",
    "/invitation/other-account",
    "/invitation/cancel",
];

/// The address that the cast's ordinary professional of `meadow` is registered with; nobody has accepted yet.
fn invited(cast: &Cast) -> String {
    format!("member@{}-m.example", cast.number.to_lowercase())
}

async fn member_of_meadow(site: &Site, cast: &Cast) -> Value {
    let path = format!("/v1/accounts/{}/professionals/{}", cast.meadow.id, cast.meadow.member);
    site.api(&cast.support).get(&path).await.expect(200).json()
}

async fn invitation(site: &Site, cast: &Cast) -> Value {
    site.api(&cast.operator).get(&format!("/v1/invitations/{}", cast.meadow.member_invitation)).await.expect(200).json()
}

async fn send_again(site: &Site, cast: &Cast) {
    let path = format!("/v1/accounts/{}/professionals/{}/invitations", cast.meadow.id, cast.meadow.member);
    site.api(&cast.support).post(&path, json!({})).await.expect(201);
}

fn is_dead(page: &Page, status: u16, words: &str) {
    assert_eq!((page.status, heading(page).as_str()), (status, words), "{}", page.body);
    assert!(!page.body.contains("/invitation/sign-in\""), "a dead link offers no sign-in");
}

pub async fn t1_gateways_open_the_link_500_times_and_the_person_still_succeeds(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let address = invited(&cast);
    let link = site.nth_link(&address, 1).await;
    let before = member_of_meadow(site, &cast).await;
    let agents =
        ["Mozilla/5.0", "curl/8", "SafeLinks", "Barracuda", "", "Slackbot-LinkExpanding 1.0", "GoogleImageProxy"];
    let scanners: Vec<_> = (0..10)
        .map(|n| {
            let (link, http) = (link.clone(), site.http.clone());
            tokio::spawn(async move {
                for m in 0..50 {
                    let method = if m % 2 == 0 { Method::GET } else { Method::HEAD };
                    let request = http.request(method, &link).header("user-agent", agents[(n + m) % agents.len()]);
                    let status = request.send().await.expect("the service answers").status();
                    assert_eq!(status, 303);
                }
            })
        })
        .collect();
    for scanner in scanners {
        scanner.await.expect("a scanner is always let in");
    }
    assert_eq!(member_of_meadow(site, &cast).await, before, "nothing that counts has changed");
    let open = invitation(site, &cast).await;
    assert_eq!((&open["status"], &open["clicks"]), (&json!("open"), &json!(0)));
    let linked = site.accept(&Visitor::new(), &link, NOOR, &address).await;
    assert!(heading(&linked).contains("linked"), "{}", linked.body);
    let events = history(site, &cast.auditor, &cast.meadow.id).await;
    let of_link: Vec<Value> =
        events.into_iter().filter(|event| event["facts"]["invitation"] == cast.meadow.member_invitation).collect();
    assert_eq!(count(&of_link, "LinkVisited"), 20, "so many visits are recorded, and no more");
    assert_eq!(count(&of_link, "LinkClicked"), 1, "the click that starts the sign-in is always recorded");
}

pub async fn t2_forms_sent_again_and_again_without_a_sign_in_consume_nothing(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let link = site.nth_link(&invited(&cast), 1).await;
    for _ in 0..25 {
        let scanner = Visitor::new();
        let page = scanner.open(&link).await;
        for action in ACTIONS {
            let fields = [("csrf", csrf(&page)), ("issuer", "personal".into()), ("code", "00000000".into())];
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let sent = scanner.post(site.url(action), &fields).await;
            let is_to_provider = sent.location.as_ref().is_some_and(|to| to.as_str().contains("state="));
            assert_eq!(is_to_provider, action == "/invitation/sign-in", "{action}: {:?}", sent.location);
        }
        let after = scanner.open(site.url("/invitation/confirm")).await;
        assert_eq!(after.status, 410, "the flow was cancelled last");
    }
    assert_eq!(invitation(site, &cast).await["status"], "open");
    assert_eq!(member_of_meadow(site, &cast).await["is_associated"], false);
    assert!(site.codes(&invited(&cast)).is_empty(), "nobody asked for a code");
    assert_eq!(site.links(&invited(&cast)).len(), 1, "and no newer link was mailed");
    let events = history(site, &cast.auditor, &cast.meadow.id).await;
    assert_eq!(count(&events, "IdentityAssociated"), 1, "the administrator's");
    site.accept(&Visitor::new(), &link, NOOR, &invited(&cast)).await;
}

pub async fn t5_an_older_link_says_so_and_sends_the_newest_and_only_that_works(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let address = invited(&cast);
    let first = site.nth_link(&address, 1).await;
    let under_way = Visitor::new();
    let begun = site.open_and_sign_in(&under_way, &first, SASHA).await;
    let code = site.nth_code(&address, 1).await;
    send_again(site, &cast).await;
    let second = site.nth_link(&address, 2).await;
    assert_ne!(token_of(&first), token_of(&second));

    is_dead(&site.type_code(&under_way, &begun, &code).await, 410, "There is a newer link");
    is_dead(&site.press(&under_way, &begun, "/invitation/confirm").await, 410, "There is a newer link");
    let holder = Visitor::new();
    let superseded = holder.open(&first).await;
    is_dead(&superseded, 410, "There is a newer link");
    let forced = [("csrf", &*csrf(&superseded)), ("issuer", "personal")];
    is_dead(&holder.post(site.url("/invitation/sign-in"), &forced).await, 410, "There is a newer link");
    assert_eq!(Visitor::new().open(&second).await.status, 200);

    for n in 3..8 {
        let sent = site.press(&holder, &superseded, "/invitation/latest").await;
        assert_eq!((sent.status, &*heading(&sent)), (200, "The newest link is on its way"), "{}", sent.body);
        assert!(!sent.body.contains(&address) && !sent.body.contains(token_of(&second)), "the page names neither");
        assert_eq!(site.nth_link(&address, n).await, second, "it goes to the registered mailbox");
    }
    assert_eq!(site.press(&holder, &superseded, "/invitation/latest").await.status, 429);

    let owner = Visitor::new();
    site.accept(&owner, &second, NOOR, &address).await;
    let again = owner.open(&second).await;
    assert_eq!((again.status, &*heading(&again)), (200, "You are already linked"));
    for link in [&first, &second] {
        is_dead(&Visitor::new().open(link).await, 409, "This link has already been used");
        let stranger = Visitor::new();
        site.sign_in(&stranger, SASHA).await;
        let used = stranger.open(link).await;
        is_dead(&used, 409, "This link has already been used");
        assert!(!used.body.contains(NOOR.name) && !used.body.contains(NOOR.email), "it does not say by whom");
    }
    let events = history(site, &cast.auditor, &cast.meadow.id).await;
    assert_eq!(count(&events, "LatestLinkRequested"), 5);
    assert_eq!(count(&events, "IdentityAssociated"), 2);
}

pub async fn t8_a_forwarded_link_is_worthless_and_its_owner_still_succeeds(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let address = invited(&cast);
    let link = site.nth_link(&address, 1).await;
    let coworker = Visitor::new();
    let mut page = site.open_and_sign_in(&coworker, &link, SASHA).await;
    assert_eq!(page.url.path(), "/invitation/code");
    assert!(!page.body.contains(&address), "the page shows the registered address masked");
    let owner = Visitor::new();
    let owners_page = site.open_and_sign_in(&owner, &link, NOOR).await;
    let (of_coworker, of_owner) = (site.nth_code(&address, 1).await, site.nth_code(&address, 2).await);
    assert_ne!(of_coworker, of_owner);
    for wrong in [&*of_owner, "00000000", "", "abcdefgh", &format!("{of_owner}{of_owner}")] {
        page = site.type_code(&coworker, &page, wrong).await;
        assert_eq!(page.status, 422, "{}", page.body);
        assert!(page.body.contains("not the code"), "{}", page.body);
    }
    assert!(!page.body.contains("name=\"code\""), "after five tries the field is gone");
    for late in [&of_coworker, &of_owner] {
        let late = site.type_code(&coworker, &page, late).await;
        assert_eq!((late.status, late.body.contains("too many")), (422, true), "the right code comes too late");
    }
    is_not_linked(site, &cast, &coworker, &page).await;
    for n in 3..=5 {
        page = site.press(&coworker, &page, "/invitation/code/again").await;
        assert_eq!(page.status, 200, "{}", page.body);
        site.nth_code(&address, n).await;
    }
    let sixth = site.press(&coworker, &page, "/invitation/code/again").await;
    assert_eq!((sixth.status, sixth.body.contains("No more codes")), (422, true), "{}", sixth.body);
    assert_eq!(site.codes(&address).len(), 5);
    is_not_linked(site, &cast, &coworker, &page).await;

    // The code that the owner got before the coworker used up the rest still works, in the owner's browser.
    let confirm = site.type_code(&owner, &owners_page, &format!("{} {}", &of_owner[..4], &of_owner[4..])).await;
    assert_eq!(confirm.url.path(), "/invitation/confirm", "{}", confirm.body);
    let shown = [NOOR.name, NOOR.email, &address, "Meadow Mills", "Mel Ordinary", "Support"];
    shown.iter().for_each(|words| assert!(confirm.body.contains(words), "T18: the confirmation lacks {words}"));
    send_again(site, &cast).await;
    is_dead(&site.press(&owner, &confirm, "/invitation/confirm").await, 410, "There is a newer link");
    // A new generation has codes of its own.
    site.accept(&owner, &site.nth_link(&address, 2).await, NOOR, &address).await;
    is_dead(&site.press(&coworker, &page, "/invitation/confirm").await, 409, "This link has already been used");
}

async fn is_not_linked(site: &Site, cast: &Cast, visitor: &Visitor, page: &Page) {
    let forced = site.press(visitor, page, "/invitation/confirm").await;
    assert_eq!(forced.url.path(), "/invitation/code", "without the code the way leads back to it");
    assert_ne!(visitor.open(site.url("/invitation/linked")).await.url.path(), "/invitation/linked");
    assert_eq!(member_of_meadow(site, cast).await["is_associated"], false);
}

pub async fn r11_another_identity_replaces_the_old_one_which_loses_the_profile_at_once(site: &Arc<Site>) {
    let cast = Cast::of(site).await;
    let (account, address) = (&cast.harbour.id, format!("member@{}", cast.at));
    let old = Visitor::new();
    let profile = site.sign_in(&old, NOOR).await;
    assert_eq!((profile.url.path(), profile.body.contains("Harbour Works")), ("/profile", true), "{}", profile.body);
    let before = profile.body.matches("Harbour Works").count();
    let send = format!("/v1/accounts/{account}/professionals/{}/invitations", cast.harbour.member);
    site.api(&cast.administrator).post(&send, json!({})).await.expect(201);
    let link = site.nth_link(&address, 2).await;
    let own = old.open(&link).await;
    assert!(own.body.contains("Continue as"), "an open invitation may bring another sign-in: {}", own.body);
    let own = site.press(&old, &own, "/invitation/continue").await;
    assert_eq!((own.status, &*heading(&own)), (200, "You are already linked"));
    let new = Visitor::new();
    let page = site.open_and_sign_in(&new, &link, SASHA).await;
    let code = site.nth_code(&address, 2).await;
    let confirm = site.type_code(&new, &page, &code).await;
    assert!(confirm.body.contains("This replaces another sign-in"), "{}", confirm.body);
    let member = format!("/v1/accounts/{account}/professionals/{}", cast.harbour.member);
    site.api(&cast.member).get(&member).await.expect(200);
    let linked = site.press(&new, &confirm, "/invitation/confirm").await;
    assert_eq!(linked.url.path(), "/invitation/linked");

    site.api(&cast.member).get(&member).await.expect_problem(404, "unknown_professional");
    site.api(&cast.member).get(&format!("/v1/accounts/{account}")).await.expect_problem(404, "unknown_account");
    site.api(&cast.member).post(&send, json!({})).await.expect_problem(404, "unknown_account");
    let me = site.api(&cast.member).get("/v1/me").await.expect(200).json();
    assert!(!me.to_string().contains(account.as_str()), "{me}");
    let after = old.open(site.url("/profile")).await;
    assert!(after.body.matches("Harbour Works").count() < before, "{}", after.body);
    let profiles = site.api(&site.bearer(SASHA).await).get("/v1/me").await.expect(200).json()["profiles"].clone();
    assert!(profiles.to_string().contains(account.as_str()), "{profiles}");

    let events = history(site, &cast.auditor, account).await;
    let of_member: Vec<&Value> = events
        .iter()
        .filter(|event| event["event_type"] == "IdentityAssociated")
        .filter(|event| event["facts"]["professional"] == cast.harbour.member)
        .collect();
    assert_eq!(of_member.len(), 2);
    assert_eq!(of_member[1]["facts"]["from"], of_member[0]["facts"]["to"], "the old identity stands in the history");
    assert_ne!(of_member[1]["facts"]["to"], of_member[0]["facts"]["to"]);
    // Back office and operators may send again, but not give the right to replace.
    site.api(&cast.operator).post(&send, json!({})).await.expect(201);
    let third = Visitor::new();
    let refused = site.open_and_sign_in(&third, &site.nth_link(&address, 3).await, ROBIN).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(refused.body.contains("association_exists"), "{}", refused.body);
}

#[tokio::test]
async fn t6_t12_a_token_that_is_not_whole_leads_nowhere() {
    let site = Site::embedded().await;
    let link = site.nth_link(ROBIN_AT_WORK, 1).await;
    let (base, token) = link.rsplit_once('/').expect("a link has parts");
    let visitor = Visitor::new();
    let page = site.open_and_sign_in(&visitor, &link, ROBIN).await;
    let code = site.nth_code(ROBIN_AT_WORK, 1).await;
    let mut wrong = vec![
        code,
        csrf(&page),
        "A".repeat(199),
        "A".repeat(5_000),
        "%00".into(),
        "..%2f..".into(),
        token.to_lowercase(),
    ];
    for cookie in ["vinculum_local_flow", "vinculum_local_session"] {
        wrong.push(visitor.cookie(&link, cookie).expect("the visitor is under way"));
    }
    for n in 0..token.len() {
        let other = if token.as_bytes()[n] == b'A' { 'B' } else { 'A' };
        wrong.push(format!("{}{other}{}", &token[..n], &token[n + 1..]));
        wrong.push(token[..n].to_owned());
    }
    wrong.extend([format!("{token}A"), format!("{token}="), format!("{token}AAAA"), format!("A{token}")]);
    for _ in 0..100 {
        wrong.push(store::working::fresh_secret().reveal().repeat(3)[..token.len()].to_owned());
    }
    let mut bodies = Vec::new();
    for wrong in wrong.iter().filter(|wrong| !wrong.is_empty()) {
        let answer = site.http.get(format!("{base}/{wrong}")).send().await.expect("it answers");
        assert_eq!(answer.status(), 404, "{wrong}");
        assert!(answer.headers().get("set-cookie").is_none(), "{wrong} begins nothing");
        bodies.push(answer.text().await.expect("text"));
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "every wrong token reads the same");
    assert_eq!(visitor.open(&link).await.status, 200, "and the right one still works");
}

#[tokio::test]
async fn t8_tries_at_the_same_time_count_each() {
    let site = Site::embedded().await;
    let link = site.nth_link(ROBIN_AT_WORK, 1).await;
    let coworker = Visitor::new();
    let page = site.open_and_sign_in(&coworker, &link, SASHA).await;
    let code = site.nth_code(ROBIN_AT_WORK, 1).await;
    let cookies = ["vinculum_local_flow", "vinculum_local_session"];
    let cookies = cookies.map(|name| format!("{name}={}", coworker.cookie(&link, name).expect("a cookie"))).join("; ");
    let tries: Vec<_> = (0..64)
        .map(|n| {
            let form = [("csrf", csrf(&page)), ("code", format!("{n:08}"))];
            let request = site.http.post(site.url("/invitation/code")).form(&form).header("cookie", &cookies);
            tokio::spawn(async move { request.send().await.expect("it answers").text().await.expect("text") })
        })
        .collect();
    let mut compared = 0;
    for body in tries {
        compared += usize::from(body.await.expect("no try panics").contains("not the code"));
    }
    assert!((1..=5).contains(&compared), "{compared} codes were compared");
    let mut last = page;
    for _ in 0..5 {
        last = site.type_code(&coworker, &last, "00000000").await;
    }
    let late = site.type_code(&coworker, &last, &code).await;
    assert_eq!((late.status, late.body.contains("too many")), (422, true), "{}", late.body);
}

#[tokio::test]
async fn t13_fields_that_are_added_or_changed_decide_nothing() {
    let site = Site::embedded().await;
    let cast = Cast::of(&site).await;
    let address = invited(&cast);
    let theirs = site.nth_link(ROBIN_AT_WORK, 1).await;
    let link = site.nth_link(&address, 1).await;
    let visitor = Visitor::new();
    let foreign = [
        ("account", cast.harbour.id.clone()),
        ("invitation", cast.harbour.member_invitation.clone()),
        ("professional", cast.harbour.administrator.clone()),
        ("identity", store::random::uuid().to_string()),
        ("generation", "7".into()),
        ("link", theirs.clone()),
        ("token", token_of(&theirs).into()),
        ("flow", store::random::uuid().to_string()),
        ("errand", "sign_in".into()),
        ("code_entered_for", "x".into()),
        ("mailbox", "CodeEntered".into()),
        ("next", "//evil.example".into()),
        ("role", "administrator".into()),
    ];
    let post = async |page: &Page, action: &str, fields: &[(&str, &str)]| {
        let token = csrf(page);
        let mut all = vec![("csrf", token.as_str())];
        all.extend(fields);
        all.extend(foreign.iter().map(|(name, value)| (*name, value.as_str())));
        visitor.post(site.url(&format!("{action}?account={}&next=//evil.example", cast.harbour.id)), &all).await
    };
    let page = visitor.open(&link).await;
    let begun = post(&page, "/invitation/sign-in", &[("issuer", "personal")]).await;
    let callback = site.at_provider(&visitor, &begun.location.expect("to the provider"), NOOR).await;
    let page = visitor.open(callback).await;
    let early = post(&page, "/invitation/confirm", &[]).await;
    assert_eq!(early.location.expect("back to the code").path(), "/invitation/code");
    let code = site.nth_code(&address, 1).await;
    let typed = post(&page, "/invitation/code", &[("code", &code)]).await;
    let confirm = visitor.follow(typed).await;
    assert!(confirm.body.contains("Meadow Mills"), "{}", confirm.body);

    // A second link in the same browser takes the flow over; the first page's forms are worthless then.
    let mut other = visitor.open(&theirs).await;
    assert!(other.body.contains("Harbour Lights Bakery"));
    for action in ACTIONS {
        let stale = post(&confirm, action, &[("issuer", "personal"), ("code", "1")]).await;
        assert_eq!(stale.status, 403, "{action}: {}", stale.body);
    }
    for spoilt in ["", "x", &csrf(&other)[1..], &format!("{}x", csrf(&other))] {
        let sent = visitor.post(site.url("/invitation/sign-in"), &[("csrf", spoilt), ("issuer", "personal")]).await;
        assert_eq!(sent.status, 403, "{spoilt}: {}", sent.body);
    }
    for twice in
        [[("csrf", csrf(&other)), ("csrf", csrf(&confirm))], [("issuer", "work".into()), ("issuer", "personal".into())]]
    {
        let twice: Vec<_> = twice.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(visitor.post(site.url("/invitation/sign-in"), &twice).await.status, 422);
    }
    other = visitor.open(&link).await;
    assert!(other.body.contains("Continue as"), "the visitor is signed in");
    let page = site.press(&visitor, &other, "/invitation/continue").await;
    let page = site.type_code(&visitor, &page, &site.nth_code(&address, 2).await).await;
    let linked = post(&page, "/invitation/confirm", &[]).await;
    let linked = visitor.follow(linked).await;
    assert!(linked.body.contains("Meadow Mills"), "what was shown is what was linked: {}", linked.body);
    assert_eq!(member_of_meadow(&site, &cast).await["is_associated"], true);
    let events = history(&site, &cast.auditor, &cast.harbour.id).await;
    assert_eq!(count(&events, "IdentityAssociated"), 2, "the other account has what it had");
}

#[tokio::test]
async fn every_bad_end_of_a_link_has_its_page_and_its_status() {
    let site = Site::embedded().await;
    let cast = Cast::of(&site).await;
    let address = invited(&cast);
    let link = site.nth_link(&address, 1).await;
    let visitor = Visitor::new();
    let page = visitor.open(&link).await;
    let plan_path = format!("/v1/accounts/{}/service-plan", cast.meadow.id);
    site.api(&cast.back_office).put(&plan_path, json!({ "service_plan": null })).await.expect(200);
    is_dead(&visitor.open(&link).await, 409, "This invitation is on hold");
    site.api(&cast.back_office).put(&plan_path, plan()).await.expect(200);
    assert_eq!(visitor.open(&link).await.status, 200, "with the plan the link works again");

    let revoke = format!("/v1/invitations/{}/revoke", cast.meadow.member_invitation);
    site.api(&cast.support).post(&revoke, json!({})).await.expect(200);
    let revoked = visitor.open(&link).await;
    is_dead(&revoked, 410, "This invitation was withdrawn");
    assert!(!revoked.body.contains("/invitation/latest"), "a withdrawn invitation is not sent again on demand");
    let forced = visitor.post(site.url("/invitation/latest"), &[("csrf", &csrf(&page))]).await;
    assert!([403, 410].contains(&forced.status), "{}", forced.body);
    is_dead(&Visitor::new().open(&link).await, 410, "This invitation was withdrawn");
    is_dead(&visitor.open(site.url("/i/nothing")).await, 404, "We do not know this link");

    let without_flow = Visitor::new().open(site.url("/invitation")).await;
    assert_eq!((without_flow.status, without_flow.body.contains("flow_ended")), (410, true));

    // An identity that has a profile in the account cannot take a second one there.
    let added = json!({ "name": "Kim Reed", "address": "kim@t.example", "send_invitation": true });
    let people = format!("/v1/accounts/{}/professionals", cast.harbour.id);
    site.api(&cast.support).post(&people, added).await.expect(201);
    let taken = site.open_and_sign_in(&Visitor::new(), &site.nth_link("kim@t.example", 1).await, ALEX).await;
    assert_eq!((taken.status, taken.body.contains("identity_already_in_account")), (409, true), "{}", taken.body);
    assert!(site.codes("kim@t.example").is_empty(), "no code is sent for nothing");
}

#[tokio::test]
async fn t32_the_chooser_is_always_shown_and_cancelling_is_free() {
    let site = Site::embedded().await;
    let link = site.nth_link(ROBIN_AT_WORK, 1).await;
    let visitor = Visitor::new();
    site.sign_in(&visitor, SASHA).await;
    let page = visitor.open(&link).await;
    assert!(page.body.contains("You are signed in as") && page.body.contains(SASHA.name), "{}", page.body);
    let begun = visitor.post(site.url("/invitation/sign-in"), &[("csrf", &csrf(&page)), ("issuer", "personal")]).await;
    let authorize = begun.location.expect("to the provider");
    let asked: std::collections::BTreeMap<_, _> = authorize.query_pairs().into_owned().collect();
    assert_eq!(asked["prompt"], "select_account");
    assert_eq!((&*asked["response_type"], &*asked["code_challenge_method"]), ("code", "S256"));
    assert!(asked["state"].len() >= 43 && asked["nonce"].len() >= 43 && asked["state"] != asked["nonce"]);
    let chooser = visitor.get(authorize).await;
    let back = visitor.submit(&chooser, &[("cancel", "yes")]).await;
    let back = visitor.follow(back).await;
    assert_eq!((back.url.path(), back.status), ("/invitation", 200), "{}", back.body);
    let page = site.press(&visitor, &back, "/invitation/continue").await;
    assert_eq!(page.url.path(), "/invitation/code");
    assert!(page.body.contains(SASHA.email), "the page shows whose sign-in it is");
    let other = site.press(&visitor, &page, "/invitation/other-account").await;
    assert!(!other.body.contains(SASHA.email), "use another account: {}", other.body);
    let cancelled = site.press(&visitor, &other, "/invitation/cancel").await;
    assert_eq!(heading(&cancelled), "Nothing was linked");
    assert_eq!(visitor.open(site.url("/invitation")).await.status, 410, "the flow has ended");
    site.accept(&visitor, &link, ROBIN, ROBIN_AT_WORK).await;
}
