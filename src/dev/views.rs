//! The view models of the development pages: the start page, which leads through the main job, and the mailbox.
//!
//! Plain fields and words only. They share the stylesheet of the hosted pages. Fields named `…_url` are made by the
//! service; everything else may hold anything and is escaped by the templates.

use askama::Template;
use std::cmp::Ordering;

/// Tells how far the newcomer is with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// It has happened.
    Done,
    /// It is what to do now.
    Next,
    /// Its turn comes.
    Later,
}

impl StepState {
    /// Returns the class of the stylesheet.
    fn class(self) -> &'static str {
        match self {
            StepState::Done => "done",
            StepState::Next => "next",
            StepState::Later => "later",
        }
    }

    /// Returns the state as a word, so that colour is never the only difference.
    fn word(self) -> &'static str {
        self.class()
    }
}

/// Names a page to go to.
#[derive(Clone, Debug)]
pub struct PlaceLink {
    /// The words on it.
    pub label: String,
    /// Where it leads, by GET.
    pub url: String,
}

/// Names something to do: a button that posts.
#[derive(Clone, Debug)]
pub struct PlaceAction {
    /// The words on it.
    pub label: String,
    /// Where it posts to.
    pub url: String,
}

/// Is one step of the main job.
#[derive(Clone, Debug)]
pub struct Step {
    /// What to do.
    pub title: String,
    /// How, and what happens.
    pub sentence: String,
    /// How far it is.
    pub state: StepState,
    /// Where to do it.
    pub link: Option<PlaceLink>,
}

/// Is one thing that people do to links, and what the service answers.
#[derive(Clone, Debug)]
pub struct Dare {
    /// What to try.
    pub title: String,
    /// How.
    pub sentence: String,
    /// What should be seen.
    pub outcome: String,
    /// Where to try it.
    pub link: Option<PlaceLink>,
    /// What starts it.
    pub action: Option<PlaceAction>,
}

/// Names the people and places that the words of the start page speak of.
#[derive(Clone, Debug)]
pub struct Places {
    /// The sample person who is invited.
    pub invitee: String,
    /// Another sample person, to whom the mail is forwarded.
    pub stranger: String,
    /// The portal that the invitation opens.
    pub portal: String,
    /// The list of mails.
    pub mailbox_url: String,
    /// The newest invitation mail; `None` while it is being sent.
    pub newest_mail_url: Option<String>,
    /// The mail whose link was accepted; `None` before that.
    pub accepted_mail_url: Option<String>,
    /// The mail before the newest, once the invitation was sent again.
    pub older_mail_url: Option<String>,
    /// "My profile".
    pub profile_url: String,
    /// The account's history.
    pub history_url: String,
    /// Sends the invitation again.
    pub send_again_action: String,
}

/// Counts the steps of [`main_job`].
pub const STEPS: usize = 8;

/// Words the main job. The first `done` steps have happened, the one after them is next; `done` may be `0..=STEPS`.
#[must_use]
pub fn main_job(done: usize, places: &Places) -> Vec<Step> {
    let Places { invitee, portal, .. } = places;
    let link = |label: &str, url: &String| Some(PlaceLink { label: label.to_owned(), url: url.clone() });
    let newest_mail_url = places.newest_mail_url.as_ref().unwrap_or(&places.mailbox_url);
    let words: [(&str, String, Option<PlaceLink>); STEPS] = [
        (
            "Look into the mailbox",
            format!("An invitation for {invitee} is waiting there."),
            link("Open the mailbox", &places.mailbox_url),
        ),
        (
            "Open the link in the mail",
            "Opening it changes nothing yet: mail scanners open links too.".to_owned(),
            link("Open the mail", newest_mail_url),
        ),
        (
            "Sign in",
            format!("Click a button on that page and be {invitee}. Any sign-in will do, whatever its address is."),
            link("Open the mail", newest_mail_url),
        ),
        (
            "Type in the code",
            "A second mail brings it to the registered mailbox. It stops whoever has only the link.".to_owned(),
            link("Open the mailbox", &places.mailbox_url),
        ),
        (
            "Confirm",
            "The page shows exactly what will be linked. Nothing is linked before this click.".to_owned(),
            None,
        ),
        ("Linked", format!("{invitee} may enter {portal} now: nothing to wait for, no browser to close."), None),
        (
            "See the profile",
            "All profiles of this sign-in, and whether each may enter its portal.".to_owned(),
            link("My profile", &places.profile_url),
        ),
        (
            "Read the history",
            "Everything that has happened, in words, with who and when.".to_owned(),
            link("History", &places.history_url),
        ),
    ];
    let state = |index: usize| match index.cmp(&done) {
        Ordering::Less => StepState::Done,
        Ordering::Equal => StepState::Next,
        Ordering::Greater => StepState::Later,
    };
    let step = |(index, (title, sentence, link)): (usize, (&str, String, Option<PlaceLink>))| Step {
        title: title.to_owned(),
        sentence,
        state: state(index),
        link: link.filter(|_| state(index) != StepState::Later),
    };
    words.into_iter().enumerate().map(step).collect()
}

/// Words what to dare. Each starts from a mail, so they make sense once an invitation was mailed.
#[must_use]
pub fn dares(places: &Places) -> Vec<Dare> {
    let Places { invitee, stranger, .. } = places;
    let link =
        |label: &str, url: Option<&String>| url.map(|url| PlaceLink { label: label.to_owned(), url: url.clone() });
    vec![
        Dare {
            title: "Click the link again".to_owned(),
            sentence: format!("Open the same mail and its link a second time, as {invitee}."),
            outcome: "that you are already linked, and the way to your profile. Nothing happens twice.".to_owned(),
            link: link("Open the mail", places.accepted_mail_url.as_ref().or(places.newest_mail_url.as_ref())),
            action: None,
        },
        Dare {
            title: "Send it again and use the old link".to_owned(),
            sentence: "Every sending makes a newer link. Then open the older mail.".to_owned(),
            outcome: "that there is a newer link, with an offer to send it.".to_owned(),
            link: link("Open the older mail", places.older_mail_url.as_ref()),
            action: Some(PlaceAction { label: "Send it again".to_owned(), url: places.send_again_action.clone() }),
        },
        Dare {
            title: format!("Forward it to {stranger}"),
            sentence: format!("Send it again, open the newest link in a private window and sign in as {stranger}."),
            outcome: format!(
                "a question for a code that only the mailbox of {invitee} gets (here you can read \
                 everybody's). The link alone opens nothing."
            ),
            link: link("Open the newest mail", places.newest_mail_url.as_ref()),
            action: None,
        },
    ]
}

/// Leads a newcomer through the main job.
#[derive(Clone, Debug, Template)]
#[template(path = "dev/start.html")]
pub struct StartPage {
    /// The synchroniser token that every form of the page posts as `csrf`.
    pub csrf: String,
    /// Who invites.
    pub inviter: String,
    /// Who is invited.
    pub invitee: String,
    /// Something that has just been done, as a sentence.
    pub notice: Option<String>,
    /// The main job; see [`main_job`].
    pub steps: Vec<Step>,
    /// What to try after it; see [`dares`].
    pub dares: Vec<Dare>,
    /// Whom the token of `curl` speaks for.
    pub curl_person: String,
    /// A whole command line that works as it is.
    pub curl: String,
    /// Where the data live.
    pub data_folder: String,
    /// How to stop the service.
    pub stop: String,
    /// How to begin with nothing.
    pub begin_again: String,
    /// The list of mails.
    pub mailbox_url: String,
    /// The API's documentation.
    pub docs_url: String,
}

/// Shows one mail in the list.
#[derive(Clone, Debug)]
pub struct MailRow {
    /// Where the mail is shown.
    pub url: String,
    /// The recipient.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// When it was sent, for people.
    pub time: String,
}

/// Lists the mails that were sent.
#[derive(Clone, Debug, Template)]
#[template(path = "dev/mailbox.html")]
pub struct MailboxPage {
    /// The mails, newest first.
    pub mails: Vec<MailRow>,
    /// The folder they lie in.
    pub folder: String,
    /// The start page.
    pub start_url: String,
}

/// Is one header of a mail.
#[derive(Clone, Debug)]
pub struct MailHeader {
    /// Its name.
    pub name: String,
    /// Its value, decoded.
    pub value: String,
}

/// Is a run of a mail's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPiece {
    /// The text.
    pub text: String,
    /// Whether the text is an `http` or `https` address to click on.
    pub is_link: bool,
}

/// Shows one mail.
#[derive(Clone, Debug, Template)]
#[template(path = "dev/mail.html")]
pub struct MailPage {
    /// The subject.
    pub subject: String,
    /// The headers worth showing.
    pub headers: Vec<MailHeader>,
    /// The plain text; see [`pieces`].
    pub text: Vec<TextPiece>,
    /// Where the HTML part is served; a page of its own, shown in a closed frame.
    pub html_url: Option<String>,
    /// The list of mails.
    pub mailbox_url: String,
    /// The start page.
    pub start_url: String,
}

/// Splits a mail's text at its `http` and `https` addresses. The pieces put together are the text.
#[must_use]
pub fn pieces(text: &str) -> Vec<TextPiece> {
    let mut pieces: Vec<TextPiece> = Vec::new();
    let mut rest = text;
    while let Some(start) = address_start(rest) {
        let (before, from) = rest.split_at(start);
        let ends = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"');
        let run = &from[..from.find(ends).unwrap_or(from.len())];
        let address = run.trim_end_matches(['.', ',', ';', ':', '!', '?', ')']);
        pieces.push(TextPiece { text: before.to_owned(), is_link: false });
        pieces.push(TextPiece { text: address.to_owned(), is_link: true });
        rest = &from[address.len()..];
    }
    pieces.push(TextPiece { text: rest.to_owned(), is_link: false });
    pieces.retain(|piece| !piece.text.is_empty());
    pieces
}

/// Finds where the first `http` or `https` address starts.
fn address_start(text: &str) -> Option<usize> {
    ["http://", "https://"].iter().filter_map(|scheme| text.find(scheme)).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    const XSS: &str = "\"><script>alert(1)</script><img src=x onerror='alert(1)'>";
    const TEXT: &str = "Hello Robin,\n\nMaya Brandt invites you to CustomerSource for Harbour Logistics.\n\nOpen this \
                        link: http://127.0.0.1:8080/i/AQEBAnY7h2k3mM1b5w8Zr0Qe6tYc9pLs. It works until 27 November \
                        2026, 09:00 UTC.\n\nYou were not expecting this? Do nothing.\n";

    type Typed<'a> = &'a dyn Fn(&str) -> String;

    fn places(t: Typed<'_>) -> Places {
        Places {
            invitee: t("Robin Ellison"),
            stranger: t("Sam Okafor"),
            portal: t("CustomerSource"),
            mailbox_url: "/dev/mailbox".to_owned(),
            newest_mail_url: Some("/dev/mailbox/2".to_owned()),
            accepted_mail_url: None,
            older_mail_url: Some("/dev/mailbox/1".to_owned()),
            profile_url: "/me".to_owned(),
            history_url: "/history".to_owned(),
            send_again_action: "/dev/send-again".to_owned(),
        }
    }

    fn start(t: Typed<'_>, done: usize) -> StartPage {
        let token = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImRldiJ9.".repeat(9);
        StartPage {
            csrf: t("sTlH0bqzvwYt0v7u"),
            inviter: t("Maya Brandt"),
            invitee: t("Robin Ellison"),
            notice: (done > 0).then(|| t("The invitation was sent again.")),
            steps: main_job(done, &places(t)),
            dares: dares(&places(t)),
            curl_person: t("Robin Ellison"),
            curl: t(&format!("curl -s http://127.0.0.1:8080/v1/me -H 'Authorization: Bearer {token}'")),
            data_folder: t("/home/robin/vinculum/data"),
            stop: t("Press Ctrl+C where it runs. Everything is kept."),
            begin_again: t("Stop it and delete the folder."),
            mailbox_url: "/dev/mailbox".to_owned(),
            docs_url: "/docs".to_owned(),
        }
    }

    fn mailbox(t: Typed<'_>, subjects: &[&str]) -> MailboxPage {
        let row = |(index, subject): (usize, &&str)| MailRow {
            url: format!("/dev/mailbox/{index}"),
            to: t("robin@harbour.example"),
            subject: t(subject),
            time: t("20 Nov 2026, 09:01:12 UTC"),
        };
        MailboxPage {
            mails: subjects.iter().enumerate().map(row).collect(),
            folder: t("/home/robin/vinculum/data/mail"),
            start_url: "/".to_owned(),
        }
    }

    fn mail(t: Typed<'_>) -> MailPage {
        let header = |name: &str, value: &str| MailHeader { name: t(name), value: t(value) };
        MailPage {
            subject: t("Your invitation to CustomerSource"),
            headers: vec![
                header("To", "Robin Ellison <robin@harbour.example>"),
                header("From", "Vinculum <no-reply@vinculum.example>"),
                header("Date", "20 Nov 2026, 09:01:12 UTC"),
            ],
            text: pieces(&t(TEXT)),
            html_url: Some("/dev/mailbox/2/html".to_owned()),
            mailbox_url: "/dev/mailbox".to_owned(),
            start_url: "/".to_owned(),
        }
    }

    fn pages(t: Typed<'_>) -> Vec<(&'static str, String)> {
        let subjects = ["Your code for CustomerSource", "Your invitation to CustomerSource"];
        let pages: [(&str, Box<dyn askama::DynTemplate>); 6] = [
            ("dev_start", Box::new(start(t, 0))),
            ("dev_start_midway", Box::new(start(t, 3))),
            ("dev_start_done", Box::new(start(t, STEPS))),
            ("dev_mailbox", Box::new(mailbox(t, &subjects))),
            ("dev_mailbox_empty", Box::new(mailbox(t, &[]))),
            ("dev_mail", Box::new(mail(t))),
        ];
        pages.map(|(name, page)| (name, page.dyn_render().expect("a page renders"))).into()
    }

    #[test]
    fn t53_typed_text_adds_no_tag_and_ends_no_attribute_on_development_pages() {
        for ((name, calm), (_, hostile)) in pages(&str::to_owned).iter().zip(pages(&|text| format!("{text}{XSS}"))) {
            for sign in ['<', '>', '"'] {
                assert_eq!(calm.matches(sign).count(), hostile.matches(sign).count(), "{name} lets {sign} through");
            }
        }
    }

    #[test]
    fn development_pages_keep_to_the_content_security_policy_and_post_with_a_token() {
        for (name, html) in pages(&str::to_owned) {
            for forbidden in ["<script", "<style", " style=", " onclick", " onload", "method=\"get\""] {
                assert!(!html.contains(forbidden), "{name}: {forbidden}");
            }
            assert_eq!(html.matches("<form method=\"post\"").count(), html.matches("<form").count(), "{name}");
            assert_eq!(html.matches("name=\"csrf\"").count(), html.matches("<form").count(), "{name}");
            assert_eq!(html.matches("<h1>").count(), 1, "{name}");
            assert!(html.contains("<title>") && html.contains("<html lang=\"en\">"), "{name}");
        }
    }

    #[test]
    fn one_step_is_next_until_all_are_done() {
        for done in 0..=STEPS {
            let steps = main_job(done, &places(&str::to_owned));
            let count = |state| steps.iter().filter(|step| step.state == state).count();
            assert_eq!(steps.len(), STEPS);
            assert_eq!(count(StepState::Done), done);
            assert_eq!(count(StepState::Next), usize::from(done < STEPS));
        }
    }

    #[test]
    fn only_web_addresses_become_links_and_no_text_is_lost() {
        for text in
            [TEXT, "", "javascript:alert(1) data:text/html,x //evil.example", "(https://a.example/b?c=d&e), <http://x>"]
        {
            let pieces = pieces(text);
            assert_eq!(pieces.iter().map(|piece| piece.text.as_str()).collect::<String>(), text);
            let links = pieces.iter().filter(|piece| piece.is_link);
            links.for_each(|link| assert!(link.text.starts_with("http://") || link.text.starts_with("https://")));
        }
        let links: Vec<String> =
            pieces(TEXT).into_iter().filter(|piece| piece.is_link).map(|piece| piece.text).collect();
        assert_eq!(links, ["http://127.0.0.1:8080/i/AQEBAnY7h2k3mM1b5w8Zr0Qe6tYc9pLs"]);
        assert!(pieces("javascript:alert(1)").iter().all(|piece| !piece.is_link));
    }

    /// Leaves the pages in `target/pages` for a look in a browser.
    #[test]
    fn development_pages_can_be_looked_at() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pages");
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (name, html) in pages(&str::to_owned) {
            fs::write(folder.join(format!("{name}.html")), html).expect("a page can be written");
        }
    }
}
