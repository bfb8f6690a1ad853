//! What every page carries, and what no request can change about it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;
use url::Url;

use super::cast::{Cast, invite, open_account};
use super::site::{ALEX, ROBIN, ROBIN_AT_WORK, Site, csrf, person};
use crate::support::{Page, Visitor};

const POLICY: &str = "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'";

/// Checks a page's headers (T14, T36) and that nothing on it comes from elsewhere.
fn check(page: &Page) {
    let named = format!("{} {}", page.url, page.status);
    let header =
        |name: &str| page.headers.get_all(name).iter().map(|value| value.to_str().expect("text")).collect::<Vec<_>>();
    let is_asset = page.url.path().starts_with("/assets/");
    assert_eq!(header("content-security-policy"), [POLICY], "{named}");
    assert_eq!(header("referrer-policy"), ["no-referrer"], "{named}");
    assert_eq!(header("cross-origin-opener-policy"), ["same-origin"], "{named}");
    assert_eq!(header("x-content-type-options"), ["nosniff"], "{named}");
    assert_eq!(header("cache-control"), [if is_asset { "public, max-age=3600" } else { "no-store" }], "{named}");
    assert_eq!(header("access-control-allow-origin"), [""; 0], "{named}");
    if page.media_type() == "text/html" {
        for name in ["src=\"", "href=\"", "action=\""] {
            for place in page.body.split(name).skip(1).filter_map(|rest| rest.split('"').next()) {
                let place = place.replace("&#x2F;", "/").replace("&#38;", "&");
                let target = page.url.join(&place).unwrap_or_else(|error| panic!("{named}: {place}: {error}"));
                assert_eq!(target.origin(), page.url.origin(), "{named}: {place}");
            }
        }
        for word in ["<script", "<style", " style=\"", " onclick", " onload", "<iframe", "javascript:"] {
            assert!(!page.body.contains(word), "{named} holds {word}");
        }
    }
    for cookie in header("set-cookie") {
        check_cookie(cookie, false);
    }
}

/// T34: bound to this host, out of reach of scripts, not sent along from elsewhere.
fn check_cookie(cookie: &str, is_secure: bool) {
    let mut parts = cookie.split("; ");
    let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a cookie has a value");
    let attributes: BTreeSet<&str> = parts.collect();
    let prefix = if is_secure { "__Host-vinculum_" } else { "vinculum_local_" };
    let known = ["session", "flow", "sign_in"].map(|end| format!("{prefix}{end}"));
    assert!(known.iter().any(|known| known == name), "{cookie}");
    let mut expected = BTreeSet::from(["Path=/", "HttpOnly", "SameSite=Lax"]);
    if is_secure {
        expected.insert("Secure");
    }
    if value.is_empty() {
        expected.insert("Max-Age=0");
    } else {
        assert!(value.len() >= 43, "256 bits: {cookie}");
    }
    assert_eq!(attributes, expected, "{cookie}");
}

/// Every page's route as the source lists them, so that a new one fails until it is walked here.
fn routes() -> BTreeSet<String> {
    let source = include_str!("../../api/src/pages/mod.rs");
    let mut routes = BTreeSet::new();
    for route in source.split(".route(\"").skip(1) {
        let (path, rest) = route.split_once('"').expect("a path ends");
        let handlers = rest.split(".route(").next().unwrap_or_default().split(";\n").next().unwrap_or_default();
        for method in ["get", "post"] {
            if handlers.contains(&format!("{method}(")) {
                routes.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    routes
}

#[tokio::test]
async fn t14_t34_t36_every_page_carries_its_headers_and_no_address_bar_the_token() {
    let site = Site::embedded().await;
    let link = site.nth_link(ROBIN_AT_WORK, 1).await;
    let visitor = Visitor::new();
    let mut walked = BTreeSet::new();
    let mut pages = Vec::new();
    let mut get = async |route: &str, path: &str| {
        walked.insert(format!("GET {route}"));
        let page = visitor.get(site.url(path)).await;
        check(&page);
        page
    };
    let open = ["/assets/vinculum.css", "/assets/vinculum.svg", "/sign-in"];
    for path in open.into_iter().chain(["/associations", "/profile", "/profile/history/{account}"]) {
        get(path, path).await;
    }
    get("/sign-in/{issuer}/callback", "/sign-in/personal/callback?state=x&code=y").await;
    let entered = get("/i/{token}", link.trim_start_matches(&site.url(""))).await;
    assert_eq!((entered.status, entered.location.as_ref().map(Url::as_str)), (303, Some(&*site.url("/invitation"))));
    let shown = get("/invitation", "/invitation").await;
    assert!(!shown.body.contains(link.rsplit('/').next().expect("a token")), "the page does not hold the token");
    for path in ["/invitation/code", "/invitation/confirm", "/invitation/linked"] {
        get(path, path).await;
    }

    let mut post = async |action: &str, page: &Page, fields: &[(&str, &str)]| {
        walked.insert(format!("POST {action}"));
        let token = csrf(page);
        let mut all = vec![("csrf", token.as_str())];
        all.extend(fields);
        let answer = visitor.post(site.url(action), &all).await;
        check(&answer);
        answer
    };
    let begun = post("/invitation/sign-in", &shown, &[("issuer", "personal")]).await;
    let callback = site.at_provider(&visitor, &begun.location.expect("to the provider"), ROBIN).await;
    let back = visitor.get(callback).await;
    check(&back);
    assert_eq!(back.location.as_ref().map(Url::query), Some(None), "the code does not stay in the address bar");
    let code_page = visitor.follow(back).await;
    check(&code_page);
    pages.push(post("/invitation/code", &code_page, &[("code", "0")]).await);
    pages.push(post("/invitation/code/again", &code_page, &[]).await);
    let code = site.nth_code(ROBIN_AT_WORK, 2).await;
    let typed = post("/invitation/code", &code_page, &[("code", &code)]).await;
    let confirm = visitor.follow(typed).await;
    check(&confirm);
    let confirmed = post("/invitation/confirm", &confirm, &[]).await;
    let linked = visitor.follow(confirmed).await;
    check(&linked);
    pages.push(post("/invitation/latest", &confirm, &[]).await);
    pages.push(post("/invitation/continue", &confirm, &[]).await);
    pages.push(post("/invitation/other-account", &confirm, &[]).await);
    pages.push(post("/invitation/cancel", &confirm, &[]).await);
    let sign_in = visitor.open(site.url("/sign-in")).await;
    check(&sign_in);
    let begun = post("/sign-in", &sign_in, &[("issuer", "work")]).await;
    let callback = site.at_provider(&visitor, &begun.location.expect("to the provider"), ALEX).await;
    let profile = visitor.open(callback).await;
    check(&profile);
    let history =
        profile.body.split("href=\"").find_map(|rest| rest.split('"').next().filter(|it| it.contains("/history/")));
    let history =
        visitor.get(site.url(&history.expect("an administrator reads the history").replace("&#x2F;", "/"))).await;
    assert_eq!(history.status, 200);
    check(&history);
    let associations = visitor.open(site.url("/associations")).await;
    assert_eq!(associations.status, 200);
    check(&associations);
    pages.push(post("/associations", &associations, &[("email", ROBIN_AT_WORK)]).await);
    pages.push(post("/profile/choose", &profile, &[("profile", &store::random::uuid().to_string())]).await);
    pages.push(post("/sign-out", &profile, &[]).await);
    assert_eq!(walked, routes(), "the walk and the source list the same routes");

    for path in
        ["/nowhere", "/invitation/nothing", "/profile/history/x", "/sign-in/nobody/callback", "/v1/nothing", "/i/x"]
    {
        check(&visitor.get(site.url(path)).await);
    }
    for path in ["/invitation", "/i/x", "/assets/vinculum.css", "/v1/me"] {
        check(&visitor.post(site.url(path), &[]).await);
    }
}

#[tokio::test]
async fn t34_behind_https_cookies_are_bound_to_the_host() {
    let site = Site::behind_https("id.example.com").await;
    let ask = async |request: reqwest::RequestBuilder| {
        let response = request.header("host", "id.example.com").send().await.expect("the service answers");
        let cookies = response.headers().get_all("set-cookie").iter();
        let cookies: Vec<String> = cookies.map(|cookie| cookie.to_str().expect("text").to_owned()).collect();
        (response.status().as_u16(), cookies)
    };
    let (status, flow) = ask(site.http.get(site.url("/sign-in"))).await;
    assert_eq!((status, flow.len()), (200, 1));
    let (status, session) = ask(site.http.post(site.url("/sign-out")).form(&[("csrf", "x")])).await;
    assert_eq!(status, 303);
    for cookie in flow.iter().chain(&session) {
        check_cookie(cookie, true);
    }
    assert!(
        flow[0].starts_with("__Host-vinculum_sign_in=")
            && session.iter().any(|it| it.starts_with("__Host-vinculum_session=;"))
    );
    // A cookie of the development's name, which a sibling host could plant, counts for nothing here.
    let value = flow[0].split(['=', ';']).nth(1).expect("a value");
    let begun = async |name: &str, csrf: &str| {
        let form = [("csrf", csrf), ("issuer", "personal")];
        ask(site.http.post(site.url("/sign-in")).form(&form).header("cookie", format!("{name}={value}"))).await.0
    };
    assert_eq!(begun("__Host-vinculum_sign_in", "x").await, 403, "the flow is found, its form's token is not right");
    assert_eq!(begun("vinculum_local_sign_in", "x").await, 410);
    for path in ["/", "/dev/mailbox", "/dev/history", "/dev/op/personal/jwks", "/dev/op/personal/authorize"] {
        assert_eq!(ask(site.http.get(site.url(path))).await.0, 404, "{path} is a development part");
    }
    let other = site.http.get(site.url("/sign-in")).send().await.expect("the service answers");
    assert_eq!(other.status(), 421, "the address it listens on is no host it serves");
    let localhost = site.http.get(site.url("/sign-in")).header("host", "localhost").send().await.expect("it answers");
    assert_eq!(localhost.status(), 421);
}

/// Sends one request as it stands, and reads the answer's head and body.
fn raw(site: &Site, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(site.host()).expect("the service listens");
    stream.write_all(request.as_bytes()).expect("the service reads");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer); // cut off is an answer, too
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, answer)
}

fn location(answer: &str) -> Option<&str> {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    head.lines().find_map(|line| line.strip_prefix("location: "))
}

#[tokio::test]
async fn t16_no_header_moves_a_link_and_no_other_host_is_served() {
    let site = Site::embedded().await;
    let cast = Cast::of(&site).await;
    let host = site.host().to_owned();
    let port = host.rsplit(':').next().expect("a port");
    let member = format!("member@{}-m.example", cast.number.to_lowercase());
    let send = format!("/v1/accounts/{}/professionals/{}/invitations", cast.meadow.id, cast.meadow.member);
    let forwarded: Vec<(&'static str, &str)> = vec![
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-host", "evil.example, 127.0.0.1"),
        ("x-forwarded-host", &host),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-proto", "javascript"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-server", "evil.example"),
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-path", "//evil.example"),
        ("x-forwarded-scheme", "https"),
        ("x-forwarded-ssl", "on"),
        ("x-host", "evil.example"),
        ("x-real-ip", "203.0.113.7"),
        ("x-original-host", "evil.example"),
        ("x-original-url", "//evil.example/"),
        ("x-rewrite-url", "//evil.example/"),
        ("x-http-host-override", "evil.example"),
        ("x-http-method-override", "DELETE"),
        ("forwarded", "host=evil.example;proto=https"),
        ("forwarded", "for=203.0.113.7;host=\"evil.example:80\""),
        ("via", "1.1 evil.example"),
        ("origin", "https://evil.example"),
        ("referer", "https://evil.example/"),
        ("front-end-https", "on"),
    ];
    for (n, (name, value)) in forwarded.iter().enumerate() {
        site.api(&cast.support).with(name, value).post(&send, json!({})).await.expect(201);
        let link = site.nth_link(&member, n + 2).await;
        assert!(link.starts_with(&site.url("/i/")), "{name}: {link}");
        let entered = site.http.get(&link).header(*name, *value).send().await.expect("the service answers");
        assert_eq!(entered.headers()["location"], "/invitation", "{name}");
    }
    assert_eq!(site.mails().iter().filter(|mail| mail.contains("evil")).count(), 0);
    let page = site.http.get(site.url("/sign-in")).header("x-forwarded-host", "evil.example");
    let page = page.send().await.expect("it answers").text().await.expect("text");
    assert!(!page.contains("evil"), "{page}");

    let get = |lines: &str| raw(&site, &format!("GET /sign-in HTTP/1.1\r\n{lines}connection: close\r\n\r\n"));
    assert_eq!(get(&format!("host: {host}\r\n")).0, 200);
    let unknown = [
        "host: evil.example\r\n".to_owned(),
        format!("host: evil.example:{port}\r\n"),
        "host: 127.0.0.1\r\n".into(),
        "host: 127.0.0.1:1\r\n".into(),
        format!("host: {host}.evil.example\r\n"),
        format!("host: evil.example@{host}\r\n"),
        format!("host: {host}/evil\r\n"),
        format!("host: {host},evil.example\r\n"),
        format!("host: {host}\r\nhost: evil.example\r\n"),
        format!("host: evil.example\r\nhost: {host}\r\n"),
        format!("host: {host}\r\nhost: {host}\r\n"),
        format!("host: 0.0.0.0:{port}\r\n"),
        format!("host: [::1]:{port}\r\n"),
        format!("host: 127.1:{port}\r\n"),
        "host: localhost\r\n".into(),
        "host: localhost:1\r\n".into(),
        format!("host: localhost.:{port}\r\n"),
        "host: \r\n".into(),
        String::new(),
        format!("x-forwarded-host: {host}\r\nhost: evil.example\r\n"),
    ];
    for lines in unknown {
        let (status, answer) = get(&lines);
        assert!([421, 400].contains(&status), "{lines}: {answer}");
        assert!(!answer.contains("set-cookie"), "{lines}");
    }
    let absolute = format!("GET http://evil.example/sign-in HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    assert_eq!(raw(&site, &absolute).0, 421, "the target names another host");
    let own = format!("GET http://{host}/sign-in HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
    assert_eq!(raw(&site, &own).0, 200, "the target comes before the header");

    let (status, answer) = get(&format!("host: localhost:{port}\r\n"));
    assert_eq!((status, location(&answer)), (307, Some(&*site.url("/sign-in"))));
}

#[tokio::test]
async fn t17_no_address_of_a_request_sends_anybody_away() {
    let site = Site::embedded().await;
    let port = site.host().rsplit(':').next().expect("a port").to_owned();
    let bypasses = [
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\\/evil.example",
        "//evil.example/%2f..",
        "//evil.example%2f%2e%2e",
        "/%09/evil.example",
        "/%5cevil.example",
        "//%5cevil.example",
        "/.evil.example",
        "//evil%E3%80%82example",
        "https:evil.example",
        "https:/evil.example",
        "https://evil.example",
        "https:///evil.example",
        "http:evil.example",
        "javascript:alert(1)",
        "java%0d%0ascript%0d%0a:alert(0)",
        "data:text/html,x",
        "/%0d%0alocation:%20//evil.example",
        "%2f%2fevil.example",
        "/%2f/evil.example",
        "//evil.example@127.0.0.1",
        "//127.0.0.1@evil.example",
        "//127.0.0.1:80@evil.example",
        "@evil.example",
        ".evil.example",
        "%40evil.example",
        "//0x7f000001",
        "//evil.example:80#@127.0.0.1",
        "//evil.example?127.0.0.1",
        "/..//evil.example",
        "/.//evil.example",
        "/x/..//evil.example",
        "//[::1]",
        "//127.0.0.1.evil.example",
        "/;//evil.example",
        "/?//evil.example",
        "/#//evil.example",
        "//evil.example/..;/",
        "//%65vil.example",
        "//evil.example%00",
        "/%00//evil.example",
        "//\u{ff0f}evil.example",
        "//evil\u{3002}example",
        "/ /evil.example",
        "/%20/evil.example",
        "//user:pass@evil.example",
        "ftp://evil.example",
        "//evil.example;@127.0.0.1",
        "/%u002fevil",
        "/%c0%af%c0%afevil.example",
        "http://127.0.0.1:1",
        "//localhost",
        "//127.0.0.1",
        "http:\\\\evil.example",
        "\t//evil",
        "/a/../..//evil.example",
    ];
    assert!(bypasses.len() >= 60);
    let base = Url::parse(&site.url("/")).expect("an address");
    let is_own = |place: &str, from: &str| {
        let target = base.join(place).unwrap_or_else(|error| panic!("{from}: {place}: {error}"));
        assert_eq!(target.origin(), base.origin(), "{from} leads to {place}");
    };
    for bypass in bypasses {
        let path = if bypass.starts_with('/') { bypass.to_owned() } else { format!("/{bypass}") };
        for host in [site.host().to_owned(), format!("localhost:{port}")] {
            for target in [path.as_str(), bypass] {
                let (_, answer) =
                    raw(&site, &format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"));
                location(&answer).into_iter().for_each(|place| is_own(place, target));
            }
        }
        let encoded: String = url::form_urlencoded::byte_serialize(bypass.as_bytes()).collect();
        for page in ["/sign-in", "/profile", "/invitation", "/sign-in/personal/callback", "/docs", "/"] {
            let names = ["next", "return_to", "redirect_uri", "url", "iss", "error_uri"];
            let query = names.map(|name| format!("{name}={encoded}")).join("&");
            let answer = site.http.get(site.url(&format!("{page}?{query}"))).send().await.expect("it answers");
            let place = answer.headers().get("location").map(|place| place.to_str().expect("text").to_owned());
            place.iter().for_each(|place| is_own(place, page));
        }
    }
    let visitor = Visitor::new();
    let page = visitor.open(site.url("/sign-in")).await;
    for issuer in bypasses.into_iter().chain(["", "nobody", "../personal", "personal/..", "PERSONAL", "personal "]) {
        let begun = visitor.post(site.url("/sign-in"), &[("csrf", &csrf(&page)), ("issuer", issuer)]).await;
        assert_eq!((begun.status, begun.location), (404, None), "{issuer}: {}", begun.body);
    }
}

#[tokio::test]
async fn t53_what_people_typed_is_text_on_every_page() {
    let corpus = [
        "<img src=x onerror=alert(1)>",
        "\"><svg onload=alert(2)>",
        "'-alert(3)-'",
        "</title><b>four",
        "<a href=x onclick=alert`5`>",
        "{{7*7}}${8*8}<%= 6 %>",
        "&lt;i&gt; &#x3C;i>",
        "</textarea><plaintext>",
        "--><!-- nine",
        "]]><b>ten",
    ];
    let site = Site::embedded().await;
    let key = site.key(&["back_office", "support", "auditor", "operator"]);
    for (n, attack) in corpus.into_iter().enumerate() {
        let account = open_account(&site, &key, &format!("T-8{n}"), attack).await;
        let mut plan = super::cast::plan();
        plan["service_plan"]["name"] = json!(attack);
        site.api(&key).put(&format!("/v1/accounts/{account}/service-plan"), plan).await.expect(200);
        let address = format!("o'{{n}}`|&#{n}@t8.example");
        invite(&site, &key, &account, attack, &address).await.expect(201);
        let link = site.nth_link(&address, 1).await;
        let visitor = Visitor::new();
        let mut pages = vec![visitor.open(&link).await];
        let email = Box::leak(format!("x{n}'\"<b>@home.example").into_boxed_str());
        let someone = person("personal", attack, email);
        let begun = [("csrf", &*csrf(&pages[0])), ("issuer", "personal")];
        let begun = visitor.post(site.url("/invitation/sign-in"), &begun).await;
        let authorize = begun.location.expect("to the provider");
        let callback = site.at_provider(&visitor, &authorize, someone).await;
        pages.push(visitor.get(&authorize).await);
        let code_page = visitor.open(callback).await;
        let confirm = site.type_code(&visitor, &code_page, &site.nth_code(&address, 1).await).await;
        assert_eq!(confirm.url.path(), "/invitation/confirm");
        pages.push(site.press(&visitor, &confirm, "/invitation/confirm").await);
        pages.extend([code_page, confirm]);
        for path in ["/profile", &format!("/profile/history/{account}"), "/dev/mailbox", "/dev/history", "/"] {
            pages.push(visitor.open(site.url(path)).await);
        }
        let mails: Vec<String> = pages
            .iter()
            .flat_map(|page| page.body.split("href=\""))
            .filter_map(|rest| rest.split('"').next())
            .filter(|place| place.contains("/dev/mailbox/") || place.contains("&#x2F;dev&#x2F;mailbox&#x2F;"))
            .map(|place| place.replace("&#x2F;", "/"))
            .take(2)
            .collect();
        assert_eq!(mails.len(), 2, "the mailbox lists mails");
        for mail in mails {
            pages.push(visitor.open(site.url(&mail)).await);
            pages.push(visitor.open(site.url(&format!("{mail}/html"))).await);
        }
        let mut shown = 0;
        for page in &pages {
            assert_eq!(page.status, 200, "{}: {}", page.url, page.body);
            for hostile in [attack, &*address, &*email] {
                let is_hostile = hostile.contains(['<', '"']) || hostile.contains("&lt;");
                assert!(
                    !is_hostile || !page.body.contains(hostile),
                    "{}: {hostile} stands as it is in {}",
                    page.url,
                    page.body
                );
            }
            // Escaped, and by what remains of it, it is there.
            let rest = attack.chars().rev().take_while(|sign| sign.is_ascii_alphanumeric() || *sign == ' ').count();
            shown += usize::from(page.body.contains("&#60;") || page.body.contains("&lt;") || rest > 3);
        }
        assert!(shown > 0 || !attack.contains('<'), "{attack} is shown nowhere");
        let history = site.api(&key).get(&format!("/v1/accounts/{account}/history")).await.expect(200);
        assert!(history.body.contains("AccountOpened"));
    }
}
