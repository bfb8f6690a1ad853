//! The newcomer's minute: `vinculum serve` with nothing configured, and a person in a browser who follows the start page
//! through the main job, then does what people do to links.

mod support;

use std::process::Command;
use std::time::Duration;

use fantoccini::Locator;
use support::{Browser, Vinculum, eventually, free_port};

/// As wide as a laptop's window; the height is that of the page.
const WINDOW_WIDTH: u32 = 1280;
/// Lower than every page.
const WINDOW_HEIGHT_MIN: u32 = 400;

#[tokio::test]
async fn a_newcomer_does_the_main_job_and_dares_in_a_browser() {
    let home = tempfile::tempdir().expect("there is room for a folder");
    let listen = format!("127.0.0.1:{}", free_port());
    let service = Vinculum::serve(home.path(), &[("VINCULUM_LISTEN", &listen)]);
    let robin = Newcomer::arrive(&service).await;

    robin.finds_the_invitation().await;
    robin.signs_in_as("Sample Home ID", "Robin Rivers (robin.rivers@home.example)").await;
    robin.types_the_code_from_the_mailbox().await;
    robin.confirms_and_looks_around().await;

    robin.clicks_the_link_again().await;
    robin.uses_an_older_link().await;
    let sasha = Newcomer::arrive(&service).await;
    sasha.gets_the_mail_forwarded().await;
    robin.runs_the_curl_line(&service).await;

    assert!(service.interrupt().success(), "Ctrl-C is a clean end");
    let service = Vinculum::serve(home.path(), &[("VINCULUM_LISTEN", &listen)]);
    robin.finds_everything_as_it_was(&service).await;
    for person in [robin, sasha] {
        person.had_nothing_to_complain_about().await;
    }
}

/// A person at a browser of their own.
struct Newcomer {
    browser: Browser,
    start_page: String,
}

impl Newcomer {
    async fn arrive(service: &Vinculum) -> Self {
        let newcomer = Self { browser: Browser::start().await, start_page: service.url("/") };
        newcomer.starts().await;
        newcomer
    }

    async fn starts(&self) {
        self.browser.goto(&self.start_page).await.expect("the start page opens");
        self.browser.sees("The main job").await;
    }

    /// From the start page to the invitation, by way of the mailbox.
    async fn finds_the_invitation(&self) {
        self.looks_at("01-start").await;
        self.browser.press("Open the mailbox").await;
        self.reloads_until_it_shows("Robin Rivers <robin.rivers@harbour.example>").await;
        self.looks_at("02-mailbox").await;
        self.opens_the_newest_mail_about("invit").await;
        self.looks_at("03-mail").await;
        self.follows_the_link().await;
        self.browser.sees("You are invited to CustomerSource").await;
        self.looks_at("04-invitation").await;
        let address = self.browser.current_url().await.expect("a page has an address");
        assert_eq!(address.path(), "/invitation", "the token has left the address bar");
    }

    async fn signs_in_as(&self, provider: &str, person: &str) {
        self.browser.press(&format!("Continue with {provider}")).await;
        self.browser.sees("Choose an account").await;
        self.looks_at("05-chooser").await;
        self.browser.press(person).await;
        self.browser.sees("Enter the code from your mail").await;
        self.looks_at("06-code").await;
    }

    /// Reads the mailbox in another tab, as a person does.
    async fn types_the_code_from_the_mailbox(&self) {
        let page = self.browser.window().await.expect("there is a window");
        let tab = self.browser.new_window(true).await.expect("a tab opens");
        self.browser.switch_to_window(tab.handle).await.expect("the tab is there");
        self.browser.goto(&format!("{}dev/mailbox", self.start_page)).await.expect("the mailbox opens");
        self.reloads_until_it_shows("code").await;
        self.looks_at("07-mailbox-with-code").await;
        self.opens_the_newest_mail_about("code").await;
        self.looks_at("08-code-mail").await;
        let code = code_in(&self.browser.text().await);
        self.browser.close_window().await.expect("a tab closes");
        self.browser.switch_to_window(page).await.expect("the window is still there");

        self.browser.fill("8-digit code", &code).await;
        self.browser.press("Continue").await;
        self.browser.sees("Do you want to link these two?").await;
        self.looks_at("09-confirm").await;
    }

    async fn confirms_and_looks_around(&self) {
        self.browser.press("Confirm and link").await;
        self.browser.sees("You are linked").await;
        self.looks_at("10-linked").await;
        self.browser.press("My profile").await;
        self.browser.sees("You may enter CustomerSource now.").await;
        self.browser.sees("Harbour Lights Bakery").await;
        self.looks_at("11-profile").await;
        self.browser.press("Back to the start page").await;
        self.browser.sees("Now dare").await;
        assert!(!self.browser.text().await.contains(" next"), "every step of the main job is done");
        self.looks_at("12-start-done").await;
        self.browser.press("History").await;
        self.browser.sees("Robin Rivers is now linked to the personal identity of Robin Rivers").await;
        self.looks_at("13-history").await;
    }

    async fn clicks_the_link_again(&self) {
        self.starts().await;
        self.browser.press("Open the mail").await;
        self.follows_the_link().await;
        self.browser.sees("You are already linked").await;
        self.looks_at("14-already-linked").await;
        self.browser.press("My profile").await;
        self.browser.sees("One profile with this sign-in").await;
    }

    async fn uses_an_older_link(&self) {
        self.starts().await;
        self.browser.press("Send it again").await;
        self.browser.sees("is in the mailbox").await;
        self.looks_at("15-sent-again").await;
        self.browser.press("Open the older mail").await;
        self.follows_the_link().await;
        self.browser.sees("There is a newer link").await;
        self.looks_at("16-superseded").await;
        self.browser.press("Send me the newest link").await;
        self.browser.sees("The newest link is on its way").await;
        self.looks_at("17-on-its-way").await;
    }

    /// Whoever has only the link stops at the code.
    async fn gets_the_mail_forwarded(&self) {
        self.browser.press("Open the newest mail").await;
        self.follows_the_link().await;
        self.browser.press("Continue with Sample Home ID").await;
        self.browser.press("Sasha Lind (sasha.lind@home.example)").await;
        self.browser.sees("Enter the code from your mail").await;
        self.looks_at("18-forwarded").await;
        self.browser.fill("8-digit code", "0000 0000").await;
        self.browser.press("Continue").await;
        self.browser.sees("This is not the code that we sent.").await;
        self.looks_at("19-wrong-code").await;
        self.browser.goto(&format!("{}invitation/confirm", self.start_page)).await.expect("the code page comes back");
        self.browser.sees("Enter the code from your mail").await;
        self.browser.press("Cancel").await;
        self.browser.sees("Nothing was linked").await;
        self.looks_at("20-cancelled").await;
        self.browser.goto(&format!("{}profile", self.start_page)).await.expect("the profile opens");
        self.browser.sees("No profile is linked to this sign-in yet").await;
        self.looks_at("21-no-profile").await;
        self.browser.press("Sign out").await;
        self.browser.sees("Your password stays with the provider").await;
        self.looks_at("22-signed-out").await;
    }

    async fn runs_the_curl_line(&self, service: &Vinculum) {
        self.starts().await;
        let shown = self.browser.element(Locator::Css("pre.command code")).await;
        let line = shown.text().await.expect("the line can be read");
        let ran = Command::new("sh").args(["-c", &line]).output().expect("there is a shell");
        let answer: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
        });
        assert_eq!(answer["profiles"][0]["name"], "Robin Rivers", "{answer}");
        assert_eq!(answer["profiles"][0]["may_enter"], true);
        assert!(line.contains(&service.url("/v1/me")));
        self.browser.press("Read the API").await;
        self.browser.sees("/v1/accounts/{account}/history").await;
        self.looks_at("23-api").await;
        self.browser.goto(&format!("{}nothing-here", self.start_page)).await.expect("an error is a page, too");
        self.browser.sees("There is nothing here").await;
        self.looks_at("24-not-found").await;
    }

    /// After a restart: the mails, the links in them and the sign-in.
    async fn finds_everything_as_it_was(&self, service: &Vinculum) {
        assert_eq!(service.url("/"), self.start_page);
        self.starts().await;
        self.browser.press("Open the newest mail").await;
        self.follows_the_link().await;
        self.browser.sees("You are signed in as Robin Rivers").await;
        self.looks_at("25-after-a-restart").await;
        self.browser.press("Continue as Robin Rivers").await;
        self.browser.sees("You are already linked").await;
        self.looks_at("26-linked-with-this-sign-in").await;
        self.browser.press("My profile").await;
        self.browser.sees("You may enter CustomerSource now.").await;
    }

    async fn reloads_until_it_shows(&self, words: &str) {
        eventually(words, async || {
            let shows = self.browser.text().await.contains(words);
            if !shows {
                tokio::time::sleep(Duration::from_millis(200)).await; // nobody reloads faster
                self.browser.refresh().await.expect("a page can be loaded again");
            }
            shows.then_some(())
        })
        .await;
    }

    async fn opens_the_newest_mail_about(&self, word: &str) {
        let path = format!("(//ul[contains(@class, 'mails')]//a[contains(., '{word}')])[1]");
        self.browser.element(Locator::XPath(&path)).await.click().await.expect("a mail can be opened");
        self.browser.sees("As text").await;
    }

    async fn follows_the_link(&self) {
        self.browser.element(Locator::Css("div.letter a")).await.click().await.expect("the mail's link can be clicked");
    }

    /// Takes a picture of the whole page.
    async fn looks_at(&self, name: &str) {
        self.browser.set_window_size(WINDOW_WIDTH, WINDOW_HEIGHT_MIN).await.expect("a window can be resized");
        let script = "return document.documentElement.scrollHeight + window.outerHeight - window.innerHeight";
        let height = self.browser.execute(script, Vec::new()).await.expect("a page has a height");
        let height = height.as_u64().and_then(|height| u32::try_from(height).ok()).expect("a height is a number");
        self.browser.set_window_size(WINDOW_WIDTH, height).await.expect("a window can be resized");
        self.browser.screenshot(name).await;
    }

    /// A page whose own status is an error is in the console, too; everything else there is a defect.
    async fn had_nothing_to_complain_about(&self) {
        let expected = |line: &String| {
            let pages = [("/invitation ", "410"), ("/invitation/code ", "422"), ("/nothing-here ", "404")];
            pages.iter().any(|(page, status)| line.contains(page) && line.contains(&format!("status of {status}")))
        };
        let complaints = self.browser.complaints().await;
        let unexpected: Vec<_> = complaints.iter().filter(|line| !expected(line)).collect();
        assert!(unexpected.is_empty(), "{unexpected:#?}");
    }
}

/// Eight digits, in one group or two, as they are copied out of the mail.
fn code_in(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is = |word: &str, length: usize| word.len() == length && word.bytes().all(|byte| byte.is_ascii_digit());
    let single = words.iter().find(|word| is(word, 8)).map(|word| (*word).to_owned());
    let pair = || words.windows(2).find(|pair| is(pair[0], 4) && is(pair[1], 4)).map(|pair| pair.join("\u{a0}"));
    single.or_else(pair).unwrap_or_else(|| panic!("no code in: {text}"))
}
