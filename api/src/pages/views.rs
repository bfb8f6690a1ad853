//! The view models of the hosted pages: what a handler fills in and a template shows.
//!
//! Plain fields and words only: no rule, no store, no clock. Every text field may hold anything a person typed; the
//! templates escape it. Fields named `…_url` and `…_action` are made by the service or its configuration, never by a
//! person: the first are followed by GET, the second are posted to, always with the hidden field `csrf`.

use askama::Template;

/// Holds the one stylesheet; it is served at `/assets/vinculum.css`, since the pages forbid inline styles.
pub const STYLESHEET: &str = include_str!("../../assets/vinculum.css");

/// Holds the icon of the pages; it is served at `/assets/vinculum.svg` as `image/svg+xml`.
pub const ICON: &str = include_str!("../../assets/vinculum.svg");

/// Carries what stands around the content of every page.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The synchroniser token that every form of the page posts as `csrf`. Pages without a form may leave it empty.
    pub csrf: String,
    /// Where the development start page is; `None` in production.
    pub start_page: Option<String>,
}

/// Describes one configured issuer as a way to sign in.
#[derive(Clone, Debug)]
pub struct IssuerButton {
    /// The value posted as `issuer`.
    pub id: String,
    /// Follows "Continue with", for example `Work account`.
    pub label: String,
    /// One sentence about which accounts these are.
    pub hint: String,
    /// Where a person without such an account makes one (another site; opens in a new tab).
    pub create_url: Option<String>,
}

/// Describes a signed-in identity to the person who owns it.
#[derive(Clone, Debug)]
pub struct IdentityView {
    /// The display name, or what stands for it when the provider gives none; never empty.
    pub name: String,
    /// The address that the provider states, unmasked.
    pub address: Option<String>,
    /// The issuer in words, for example `login.example`.
    pub issuer: String,
    /// `Personal account` or `Work account`.
    pub kind: String,
}

/// Names a page to go to.
#[derive(Clone, Debug)]
pub struct PageLink {
    /// The words on it.
    pub label: String,
    /// Where it leads, by GET.
    pub url: String,
}

/// Names something to do: a button that posts.
#[derive(Clone, Debug)]
pub struct PostAction {
    /// The words on it.
    pub label: String,
    /// Where it posts to.
    pub url: String,
}

/// Tells whether a profile may enter its portal now.
#[derive(Clone, Debug)]
pub enum Entry {
    /// It may.
    Open {
        /// Where the portal is, if it is configured.
        portal_url: Option<String>,
    },
    /// It may not.
    Closed {
        /// Why not, as a sentence.
        reason: String,
        /// What the person can do about it, as a sentence.
        next_step: String,
    },
}

/// Shows one profile to the person whose identity is associated with it.
#[derive(Clone, Debug)]
pub struct ProfileCard {
    /// The professional's name.
    pub name: String,
    /// The registered address, unmasked: the person has shown that it is theirs.
    pub address: String,
    /// The account's name.
    pub account_name: String,
    /// `Customer account` or `Partner account`.
    pub account_kind: String,
    /// The customer number, if the account has one.
    pub customer_number: Option<String>,
    /// `CustomerSource` or `PartnerSource`.
    pub portal: String,
    /// The roles in words.
    pub roles: Vec<String>,
    /// The service plan in words with its end; `None` where none is needed.
    pub plan: Option<String>,
    /// Whether it may enter the portal now.
    pub entry: Entry,
    /// Where the profile's history is, if this person may read it.
    pub history_url: Option<String>,
    /// Whether this browser acts as it, or may choose to (R18).
    pub choice: Choice,
}

/// What a browser has to do with a profile (R18): it acts as one at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// There is nothing to choose here.
    #[default]
    None,
    /// The browser acts as it.
    Chosen,
    /// The browser may act as it, at once and without signing out.
    Offered {
        /// Takes the form.
        action: String,
        /// The form's token.
        csrf: String,
        /// The profile's id.
        profile: String,
    },
}

/// Shows what an opened link leads to, before anything is decided.
#[derive(Clone, Debug, Template)]
#[template(path = "invitation.html")]
pub struct InvitationPage {
    /// What stands around the content.
    pub frame: Frame,
    /// Who invites, described: `Maya Brandt, administrator of Harbour Logistics`.
    pub inviter: String,
    /// The invited professional's name.
    pub profile_name: String,
    /// The registered address, masked: `r…n@harbour.example`.
    pub address_masked: String,
    /// The account's name.
    pub account_name: String,
    /// `Customer account` or `Partner account`.
    pub account_kind: String,
    /// `CustomerSource` or `PartnerSource`.
    pub portal: String,
    /// When the link ends, for people, with the time zone.
    pub valid_until: String,
    /// Who is signed in here already.
    pub signed_in: Option<IdentityView>,
    /// One button for each issuer, in the configured order.
    pub issuers: Vec<IssuerButton>,
    /// Takes `issuer` and starts the sign-in with the provider's account chooser.
    pub sign_in_action: String,
    /// Goes on as the person of `signed_in`.
    pub continue_action: String,
}

/// Says how grave a [`LinkEndedPage`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// It does not work now; a step of the person or of somebody else mends it.
    Wait,
    /// It is over.
    Stop,
}

impl Tone {
    /// Returns the class of the stylesheet.
    fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Wait => "warn",
            Tone::Stop => "bad",
        }
    }

    /// Returns a sign, so that colour is never the only difference.
    fn mark(self) -> &'static str {
        match self {
            Tone::Good => "✓",
            Tone::Wait => "!",
            Tone::Stop => "×",
        }
    }
}

/// Lists the ways in which a link does not lead to an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// It is past its time.
    Expired,
    /// A newer generation was sent (R9).
    Superseded,
    /// The invitation was withdrawn.
    Revoked,
    /// Another identity accepted it; which one is nobody's business here.
    AlreadyUsed,
    /// It is not one of ours.
    Unknown,
    /// The professional was deleted.
    ProfessionalGone,
    /// The account was closed.
    AccountClosed,
    /// The account has no current service plan (R20).
    Frozen,
    /// The person who asks has accepted it already.
    AlreadyYours,
}

impl LinkEnd {
    /// Every end, for tests and documentation.
    pub const ALL: [LinkEnd; 9] = [
        LinkEnd::Expired,
        LinkEnd::Superseded,
        LinkEnd::Revoked,
        LinkEnd::AlreadyUsed,
        LinkEnd::Unknown,
        LinkEnd::ProfessionalGone,
        LinkEnd::AccountClosed,
        LinkEnd::Frozen,
        LinkEnd::AlreadyYours,
    ];

    /// Returns how grave it is.
    #[must_use]
    pub fn tone(self) -> Tone {
        match self {
            LinkEnd::AlreadyYours => Tone::Good,
            LinkEnd::Expired | LinkEnd::Superseded | LinkEnd::Frozen => Tone::Wait,
            LinkEnd::Revoked
            | LinkEnd::AlreadyUsed
            | LinkEnd::Unknown
            | LinkEnd::ProfessionalGone
            | LinkEnd::AccountClosed => Tone::Stop,
        }
    }

    /// Returns the heading and the sentence below it.
    #[must_use]
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            LinkEnd::Expired => (
                "This link has expired",
                "Links work for a limited time, so that an old mail in a mailbox opens nothing.",
            ),
            LinkEnd::Superseded => (
                "There is a newer link",
                "The invitation was sent again after this mail, and only the newest link works.",
            ),
            LinkEnd::Revoked => {
                ("This invitation was withdrawn", "Its link no longer works. Nothing was linked with it.")
            }
            LinkEnd::AlreadyUsed => (
                "This link has already been used",
                "The invitation was accepted with another sign-in. To protect its owner we do not show which one.",
            ),
            LinkEnd::Unknown => {
                ("We do not know this link", "It may be incomplete: some mail programs break long links in two.")
            }
            LinkEnd::ProfessionalGone => (
                "This profile no longer exists",
                "The person was removed from the account, so there is nothing left to link.",
            ),
            LinkEnd::AccountClosed => {
                ("This account is closed", "Nobody can be invited to it and its profiles open no portal.")
            }
            LinkEnd::Frozen => (
                "This invitation is on hold",
                "The account has no current service plan, so its portal is closed to it for now.",
            ),
            LinkEnd::AlreadyYours => {
                ("You are already linked", "The sign-in you use now opens this profile. There is nothing left to do.")
            }
        }
    }

    /// Returns what the person can do next, one sentence each.
    #[must_use]
    pub fn next(self) -> Vec<String> {
        let sentences: &[&str] = match self {
            LinkEnd::Expired => &[
                "Look for a newer mail: if the invitation was sent again, its link works.",
                "Otherwise ask the person who invited you, or an administrator of your account, to send it again.",
            ],
            LinkEnd::Superseded => &["Open the link in the newest mail. Mails go to the registered address only."],
            LinkEnd::Revoked => {
                &["If you expected to be invited, ask an administrator of your account to send a new invitation."]
            }
            LinkEnd::AlreadyUsed => &[
                "If it was you, sign in with the account that you used then.",
                "If it was not you, or you have lost that account, ask an administrator of your account, your partner \
                 or support to send the invitation again. With the new link you can use another account.",
            ],
            LinkEnd::Unknown => &[
                "Copy the whole link from the mail into the address bar and try again.",
                "Or ask the person who invited you to send the invitation again.",
            ],
            LinkEnd::ProfessionalGone => {
                &["If you still work with this account, ask one of its administrators to add you again."]
            }
            LinkEnd::AccountClosed => &["If this surprises you, ask the partner who serves the account, or support."],
            LinkEnd::Frozen => &[
                "Ask an administrator of your account, or your partner, to renew the plan.",
                "Then open this link again: until it expires you need no new mail.",
            ],
            LinkEnd::AlreadyYours => &[],
        };
        sentences.iter().map(|sentence| (*sentence).to_owned()).collect()
    }
}

/// Ends the way of a link that leads to no invitation.
#[derive(Clone, Debug, Template)]
#[template(path = "link_ended.html")]
pub struct LinkEndedPage {
    /// What stands around the content.
    pub frame: Frame,
    /// How grave it is.
    pub tone: Tone,
    /// The heading; see [`LinkEnd::words`].
    pub title: String,
    /// What happened, in one sentence or two.
    pub sentence: String,
    /// What the person can do, one sentence each.
    pub next: Vec<String>,
    /// What the service can do for the person at once: `Send me the newest link`.
    pub action: Option<PostAction>,
    /// Where else to go.
    pub links: Vec<PageLink>,
    /// The stable code of the refusal, for support.
    pub code: Option<String>,
}

/// Asks for the code that was sent to the registered mailbox (R15).
#[derive(Clone, Debug, Template)]
#[template(path = "code.html")]
pub struct CodePage {
    /// What stands around the content.
    pub frame: Frame,
    /// Who is signed in.
    pub identity: IdentityView,
    /// The registered address, masked.
    pub address_masked: String,
    /// How long the code lives, in minutes from its sending.
    pub valid_minutes: u32,
    /// What was wrong with the last try, as a sentence.
    pub error: Option<String>,
    /// Tries left for this code; at 0 the input is gone.
    pub tries_left: u32,
    /// Codes that may still be sent; at 0 the button is gone.
    pub codes_left: u32,
    /// Takes `code`: 8 digits, perhaps with one space or hyphen in the middle.
    pub check_action: String,
    /// Sends another code.
    pub resend_action: String,
    /// Leaves the flow; the invitation stays as it is.
    pub cancel_action: String,
}

/// Shows exactly what a confirmation will link, and what it will replace. Its forms carry no ids: the flow decides.
#[derive(Clone, Debug, Template)]
#[template(path = "confirm.html")]
pub struct ConfirmPage {
    /// What stands around the content.
    pub frame: Frame,
    /// The identity that will be linked.
    pub identity: IdentityView,
    /// The professional's name.
    pub profile_name: String,
    /// The registered address.
    pub registered_address: String,
    /// The account's name.
    pub account_name: String,
    /// `Customer account` or `Partner account`.
    pub account_kind: String,
    /// The customer number, if the account has one.
    pub customer_number: Option<String>,
    /// `CustomerSource` or `PartnerSource`.
    pub portal: String,
    /// The roles in words.
    pub roles: Vec<String>,
    /// Who invites, described.
    pub inviter: String,
    /// The sign-in that loses this profile (R11), without a full stop: `a personal account, linked on 3 March 2025`.
    pub replaces: Option<String>,
    /// Something else worth knowing, for example that the two addresses differ.
    pub note: Option<String>,
    /// Confirms.
    pub confirm_action: String,
    /// Starts the sign-in again with the account chooser.
    pub other_account_action: String,
    /// Leaves the flow; the invitation stays as it is.
    pub cancel_action: String,
}

/// Tells that the identity is linked, and what that gives.
#[derive(Clone, Debug, Template)]
#[template(path = "linked.html")]
pub struct LinkedPage {
    /// What stands around the content.
    pub frame: Frame,
    /// The linked identity.
    pub identity: IdentityView,
    /// The profile it now opens.
    pub profile: ProfileCard,
    /// What the profile allows, one sentence each.
    pub may: Vec<String>,
    /// The other profiles of this identity.
    pub others: Vec<ProfileCard>,
    /// Where "my profile" is.
    pub profile_url: String,
}

/// Shows all profiles of an identity: "my profile".
#[derive(Clone, Debug, Template)]
#[template(path = "profile.html")]
pub struct ProfilePage {
    /// What stands around the content.
    pub frame: Frame,
    /// Who is signed in.
    pub identity: IdentityView,
    /// Something that has just been done, as a sentence.
    pub notice: Option<String>,
    /// Every profile of the identity; the chooser where there are several that may be entered (R17).
    pub profiles: Vec<ProfileCard>,
    /// Where a person asks for links to the profiles of an address (R13).
    pub association_url: Option<String>,
    /// Ends the session.
    pub sign_out_action: String,
}

/// Asks for the address that a person is known by (R13).
#[derive(Clone, Debug, Template)]
#[template(path = "associations.html")]
pub struct AssociationPage {
    /// What stands around the content.
    pub frame: Frame,
    /// Who is signed in: only this identity can use the links.
    pub identity: IdentityView,
    /// What was wrong with the form of the address that was typed.
    pub error: Option<String>,
    /// Takes `email`.
    pub action: String,
}

/// Offers the ways to sign in.
#[derive(Clone, Debug, Template)]
#[template(path = "sign_in.html")]
pub struct SignInPage {
    /// What stands around the content.
    pub frame: Frame,
    /// What for, as a sentence: `Sign in to see your profiles.`
    pub purpose: String,
    /// One button for each issuer, in the configured order.
    pub issuers: Vec<IssuerButton>,
    /// Takes `issuer` and starts the sign-in.
    pub sign_in_action: String,
}

/// Tells that something is under way; the same whatever was found.
#[derive(Clone, Debug, Template)]
#[template(path = "sent.html")]
pub struct SentPage {
    /// What stands around the content.
    pub frame: Frame,
    /// The heading.
    pub title: String,
    /// What happens now.
    pub sentence: String,
    /// What the person can do, one sentence each.
    pub next: Vec<String>,
    /// Where else to go.
    pub links: Vec<PageLink>,
}

/// Tells that a request failed.
#[derive(Clone, Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// What stands around the content.
    pub frame: Frame,
    /// The HTTP status.
    pub status: u16,
    /// The heading.
    pub title: String,
    /// What happened, for people.
    pub sentence: String,
    /// What the person can do, one sentence each.
    pub next: Vec<String>,
    /// Where else to go.
    pub links: Vec<PageLink>,
    /// The stable code.
    pub code: String,
    /// Finds the request in the service's log.
    pub request_id: String,
}

/// Shows one event in words.
#[derive(Clone, Debug)]
pub struct HistoryEvent {
    /// Its place in the log.
    pub position: u64,
    /// When it was recorded, for people, with the time zone.
    pub time: String,
    /// Who did it, described.
    pub actor: String,
    /// What happened, as a sentence.
    pub words: String,
}

/// Shows what happened to something, event by event.
#[derive(Clone, Debug, Template)]
#[template(path = "history.html")]
pub struct HistoryPage {
    /// What stands around the content.
    pub frame: Frame,
    /// Whose history it is: the name of an account or a profile.
    pub subject: String,
    /// Which events these are, as a sentence: `12 events, newest first.`
    pub summary: String,
    /// The events, in the order to show them.
    pub events: Vec<HistoryEvent>,
    /// Where the next page of events is.
    pub older_url: Option<String>,
    /// Where the reader came from.
    pub back: Option<PageLink>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    /// What an attacker would put into a name, an address or a reason.
    const XSS: [&str; 9] = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' autofocus onfocus=alert(1) x='",
        "</title></style></textarea><svg onload=alert(1)>",
        "<a href=javascript:alert(1)>go</a>",
        "<style>*{display:none}</style>",
        "<form action=//evil.example><input name=csrf>",
        "<!-- --!><iframe srcdoc=x>",
        "{{ 7*7 }}&lt;b&gt;&#60;i&#62;",
    ];

    type Typed<'a> = &'a dyn Fn(&str) -> String;

    fn frame(t: Typed<'_>) -> Frame {
        Frame { csrf: t("sTlH0bqzvwYt0v7u"), start_page: None }
    }

    fn identity(t: Typed<'_>) -> IdentityView {
        IdentityView {
            name: t("Robin Ellison"),
            address: Some(t("robin.ellison@post.example")),
            issuer: t("login.example"),
            kind: t("Personal account"),
        }
    }

    fn issuers(t: Typed<'_>) -> Vec<IssuerButton> {
        vec![
            IssuerButton {
                id: t("personal"),
                label: t("Personal account"),
                hint: t("The one you use at home for mail, games or files."),
                create_url: Some("https://login.example/create".to_owned()),
            },
            IssuerButton {
                id: t("work"),
                label: t("Work account"),
                hint: t("The one your work or school gave you."),
                create_url: None,
            },
        ]
    }

    fn card(t: Typed<'_>, entry: Entry) -> ProfileCard {
        ProfileCard {
            name: t("Robin Ellison"),
            address: t("robin@harbour.example"),
            account_name: t("Harbour Logistics"),
            account_kind: t("Customer account"),
            customer_number: Some(t("100234")),
            portal: t("CustomerSource"),
            roles: vec![t("Administrator"), t("Billing contact")],
            plan: Some(t("Enhancement plan until 30 June 2027")),
            entry,
            history_url: Some("/history/harbour".to_owned()),
            choice: Choice::None,
        }
    }

    fn offered(t: Typed<'_>) -> Choice {
        Choice::Offered { action: "/profile/choose".to_owned(), csrf: t("sTlH0bqzvwYt0v7u"), profile: t("0193f2a4") }
    }

    fn open() -> Entry {
        Entry::Open { portal_url: Some("https://portal.example/customers".to_owned()) }
    }

    fn closed(t: Typed<'_>) -> Entry {
        Entry::Closed {
            reason: t("The service plan of Quay Foods ended on 31 May 2026."),
            next_step: t("Ask an administrator of the account, Jo Marsh, or your partner to renew it."),
        }
    }

    fn invitation(t: Typed<'_>, signed_in: Option<IdentityView>) -> InvitationPage {
        InvitationPage {
            frame: frame(t),
            inviter: t("Maya Brandt, administrator of Harbour Logistics"),
            profile_name: t("Robin Ellison"),
            address_masked: t("r…n@harbour.example"),
            account_name: t("Harbour Logistics"),
            account_kind: t("Customer account"),
            portal: t("CustomerSource"),
            valid_until: t("27 November 2026, 09:00 UTC"),
            signed_in,
            issuers: issuers(t),
            sign_in_action: "/invitation/sign-in".to_owned(),
            continue_action: "/invitation/continue".to_owned(),
        }
    }

    fn ended(t: Typed<'_>, end: LinkEnd) -> LinkEndedPage {
        let (title, sentence) = end.words();
        let action = PostAction { label: t("Send me the newest link"), url: "/invitation/newest".to_owned() };
        LinkEndedPage {
            frame: frame(t),
            tone: end.tone(),
            title: t(title),
            sentence: t(sentence),
            next: end.next().iter().map(|sentence| t(sentence)).collect(),
            action: (end == LinkEnd::Superseded).then_some(action),
            links: vec![PageLink { label: t("My profile"), url: "/me".to_owned() }],
            code: Some(t("a_stable_code")),
        }
    }

    fn code(t: Typed<'_>, tries_left: u32, codes_left: u32, error: Option<String>) -> CodePage {
        CodePage {
            frame: frame(t),
            identity: identity(t),
            address_masked: t("r…n@harbour.example"),
            valid_minutes: 10,
            error,
            tries_left,
            codes_left,
            check_action: "/invitation/code".to_owned(),
            resend_action: "/invitation/code/again".to_owned(),
            cancel_action: "/invitation/cancel".to_owned(),
        }
    }

    fn confirm(t: Typed<'_>, replaces: Option<String>) -> ConfirmPage {
        ConfirmPage {
            frame: frame(t),
            identity: identity(t),
            profile_name: t("Robin Ellison"),
            registered_address: t("robin@harbour.example"),
            account_name: t("Harbour Logistics"),
            account_kind: t("Customer account"),
            customer_number: Some(t("100234")),
            portal: t("CustomerSource"),
            roles: vec![t("Administrator"), t("Billing contact")],
            inviter: t("Maya Brandt, administrator of Harbour Logistics"),
            replaces,
            note: Some(t("The two addresses differ. That is fine: the code has shown that the mailbox is yours.")),
            confirm_action: "/invitation/confirm".to_owned(),
            other_account_action: "/invitation/sign-in".to_owned(),
            cancel_action: "/invitation/cancel".to_owned(),
        }
    }

    fn linked(t: Typed<'_>) -> LinkedPage {
        LinkedPage {
            frame: Frame { start_page: Some("/".to_owned()), ..frame(t) },
            identity: identity(t),
            profile: card(t, open()),
            may: vec![t("Enter CustomerSource as Robin Ellison."), t("Add colleagues and send them invitations.")],
            others: vec![ProfileCard { account_name: t("Quay Foods"), ..card(t, closed(t)) }],
            profile_url: "/me".to_owned(),
        }
    }

    fn profile(t: Typed<'_>, profiles: Vec<ProfileCard>) -> ProfilePage {
        ProfilePage {
            frame: frame(t),
            identity: identity(t),
            notice: Some(t("You are signed in.")),
            profiles,
            association_url: Some("/associations".to_owned()),
            sign_out_action: "/sign-out".to_owned(),
        }
    }

    fn associations(t: Typed<'_>, error: Option<String>) -> AssociationPage {
        AssociationPage { frame: frame(t), identity: identity(t), error, action: "/associations".to_owned() }
    }

    fn history(t: Typed<'_>) -> HistoryPage {
        let event = |position, time: &str, actor: &str, words: &str| HistoryEvent {
            position,
            time: t(time),
            actor: t(actor),
            words: t(words),
        };
        HistoryPage {
            frame: frame(t),
            subject: t("Harbour Logistics"),
            summary: t("4 events, newest first."),
            events: vec![
                event(9, "20 Nov 2026, 09:14 UTC", "Robin Ellison", "Robin Ellison linked a personal account."),
                event(8, "20 Nov 2026, 09:12 UTC", "Robin Ellison", "The link of the invitation was clicked."),
                event(5, "20 Nov 2026, 09:01 UTC", "Mail worker", "The invitation was mailed."),
                event(4, "20 Nov 2026, 09:00 UTC", "Maya Brandt", "An invitation was issued for Robin Ellison."),
            ],
            older_url: Some("/history/harbour?before=4".to_owned()),
            back: Some(PageLink { label: t("My profile"), url: "/me".to_owned() }),
        }
    }

    fn notices(t: Typed<'_>) -> (SignInPage, SentPage, ErrorPage) {
        let links = || vec![PageLink { label: t("Go to sign-in"), url: "/sign-in".to_owned() }];
        (
            SignInPage {
                frame: frame(t),
                purpose: t("Sign in to see your profiles and to enter the portals."),
                issuers: issuers(t),
                sign_in_action: "/sign-in".to_owned(),
            },
            SentPage {
                frame: frame(t),
                title: t("Look into your mailbox"),
                sentence: t(
                    "If the invitation can be sent again, the newest link is on its way to r…n@harbour.example.",
                ),
                next: vec![t("It can take a minute. Look in the junk folder too.")],
                links: links(),
            },
            ErrorPage {
                frame: frame(t),
                status: 403,
                title: t("This form is out of date"),
                sentence: t("It belongs to another session, or it was open for too long. Nothing was changed."),
                next: vec![t("Open the link in your mail again.")],
                links: links(),
                code: t("csrf_mismatch"),
                request_id: t("0193f2a4-8a1e-7cc1"),
            },
        )
    }

    /// Renders every page, and the variants that show other parts of a template.
    fn pages(t: Typed<'_>) -> Vec<(String, String)> {
        let (sign_in, sent, error) = notices(t);
        let wrong = || Some(t("That code is not right."));
        let unplanned = ProfileCard {
            account_name: t("Quay Foods"),
            customer_number: None,
            roles: vec![],
            plan: Some(t("Ended on 31 May 2026")),
            history_url: None,
            ..card(t, closed(t))
        };
        let replaced = t("a personal account, linked on 3 March 2025");
        let mut pages: Vec<(String, Box<dyn askama::DynTemplate>)> = vec![
            ("invitation".into(), Box::new(invitation(t, None))),
            ("invitation_signed_in".into(), Box::new(invitation(t, Some(identity(t))))),
            ("code".into(), Box::new(code(t, 5, 4, None))),
            ("code_wrong".into(), Box::new(code(t, 1, 1, wrong()))),
            ("code_no_tries".into(), Box::new(code(t, 0, 2, wrong()))),
            ("code_no_codes".into(), Box::new(code(t, 0, 0, wrong()))),
            ("confirm".into(), Box::new(confirm(t, None))),
            ("confirm_replaces".into(), Box::new(confirm(t, Some(replaced)))),
            ("linked".into(), Box::new(linked(t))),
            ("profile".into(), Box::new(profile(t, vec![card(t, open()), unplanned]))),
            (
                "profile_choose".into(),
                Box::new(profile(
                    t,
                    vec![
                        ProfileCard { choice: Choice::Chosen, ..card(t, open()) },
                        ProfileCard { choice: offered(t), ..card(t, open()) },
                    ],
                )),
            ),
            ("associations".into(), Box::new(associations(t, None))),
            ("associations_wrong".into(), Box::new(associations(t, Some(t("An address has exactly one @."))))),
            ("profile_none".into(), Box::new(profile(t, vec![]))),
            ("sign_in".into(), Box::new(sign_in)),
            ("sent".into(), Box::new(sent)),
            ("error".into(), Box::new(error)),
            ("history".into(), Box::new(history(t))),
        ];
        for end in LinkEnd::ALL {
            pages.push((format!("link_{end:?}").to_lowercase(), Box::new(ended(t, end))));
        }
        pages.into_iter().map(|(name, page)| (name, page.dyn_render().expect("a page renders"))).collect()
    }

    /// One start or end tag: its name and its attributes.
    #[derive(Debug, PartialEq, Eq)]
    struct Tag {
        name: String,
        attributes: Vec<(String, String)>,
    }

    impl Tag {
        fn attribute(&self, name: &str) -> Option<&str> {
            self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
        }
    }

    /// Reads the tags as a browser would: a quoted value may hold `>`.
    fn tags(html: &str) -> Vec<Tag> {
        let mut tags = Vec::new();
        let mut rest = html;
        while let Some(start) = rest.find('<') {
            rest = &rest[start + 1..];
            let name_end = rest.find(|c: char| c.is_whitespace() || c == '>').expect("a tag ends");
            let name = rest[..name_end].to_lowercase();
            rest = rest[name_end..].trim_start();
            let mut attributes = Vec::new();
            while !rest.starts_with('>') {
                let key_end = rest.find(|c: char| c.is_whitespace() || c == '>' || c == '=').expect("a tag ends");
                let key = rest[..key_end].to_lowercase();
                rest = &rest[key_end..];
                let value = if let Some(quoted) = rest.strip_prefix("=\"") {
                    let (value, after) = quoted.split_once('"').expect("a quoted value ends");
                    rest = after;
                    value
                } else {
                    assert!(!rest.starts_with('='), "an attribute is not quoted: {key}");
                    ""
                };
                attributes.push((key, value.to_owned()));
                rest = rest.trim_start();
            }
            tags.push(Tag { name, attributes });
        }
        tags
    }

    /// Reduces a page to the elements and attributes that a browser would build from it.
    fn skeleton(html: &str) -> Vec<(String, Vec<String>)> {
        let names = |tag: Tag| (tag.name, tag.attributes.into_iter().map(|(key, _)| key).collect());
        tags(html).into_iter().map(names).collect()
    }

    #[test]
    fn t53_typed_text_adds_no_element_and_no_attribute_to_any_page() {
        let neutral = pages(&str::to_owned);
        for attack in XSS {
            for ((name, calm), (_, hostile)) in neutral.iter().zip(pages(&|text| format!("{text}{attack}"))) {
                assert_eq!(skeleton(calm), skeleton(&hostile), "{name} lets {attack} through");
                assert!(!hostile.contains(attack), "{name} shows {attack} as it is");
            }
        }
    }

    #[test]
    fn pages_hold_no_inline_style_no_script_and_no_event_handler() {
        for (name, html) in pages(&str::to_owned) {
            for tag in tags(&html) {
                assert!(
                    !["script", "style", "iframe", "object", "embed", "base"].contains(&tag.name.as_str()),
                    "{name}"
                );
                for (key, value) in &tag.attributes {
                    assert!(key != "style" && !key.starts_with("on"), "{name}: {key}");
                    let is_address = ["href", "src", "action", "formaction"].contains(&key.as_str());
                    let is_safe = value.starts_with('/') || value.starts_with('#') || value.starts_with("https://");
                    assert!(!is_address || is_safe, "{name}: {value}");
                }
            }
        }
    }

    #[test]
    fn forms_post_and_carry_the_csrf_token() {
        for (name, html) in pages(&str::to_owned) {
            for form in html.split("<form").skip(1) {
                let form = form.split("</form>").next().expect("a form ends");
                assert!(form.contains("method=\"post\""), "{name}: a form does not post");
                let token = "<input type=\"hidden\" name=\"csrf\" value=\"sTlH0bqzvwYt0v7u\">";
                assert!(form.contains(token), "{name}: a form without token");
                assert_eq!(form.matches("type=\"hidden\"").count(), 1, "{name}: a form carries more than the token");
            }
        }
    }

    #[test]
    fn pages_have_one_heading_a_title_a_language_and_names_that_exist() {
        for (name, html) in pages(&str::to_owned) {
            assert_eq!(html.matches("<h1>").count(), 1, "{name}");
            assert!(html.contains("<html lang=\"en\">"), "{name}");
            let title = html.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
            assert!(title.is_some_and(|title| title.ends_with(" · Vinculum") && title.len() > 14), "{name}: {title:?}");
            let tags = tags(&html);
            let ids: Vec<&str> = tags.iter().filter_map(|tag| tag.attribute("id")).collect();
            let mut unique = ids.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), ids.len(), "{name}: an id stands twice");
            for reference in ["for", "aria-labelledby", "aria-describedby"] {
                let named = tags.iter().filter_map(|tag| tag.attribute(reference)).flat_map(str::split_whitespace);
                named.for_each(|id| assert!(ids.contains(&id), "{name}: {reference} names no element: {id}"));
            }
        }
    }

    #[test]
    fn the_invitation_does_not_show_the_registered_address_and_the_confirmation_shows_both_sides() {
        let pages = pages(&str::to_owned);
        let page = |wanted: &str| &pages.iter().find(|(name, _)| name == wanted).expect("the page exists").1;
        assert!(!page("invitation").contains("robin@harbour.example"));
        let shown =
            ["robin.ellison@post.example", "robin@harbour.example", "Harbour Logistics", "100234", "Maya Brandt"];
        for text in shown {
            assert!(page("confirm").contains(text), "the confirmation lacks {text}");
        }
        assert!(page("confirm_replaces").contains("linked on 3 March 2025"));
        assert!(!page("confirm").contains("replaces another sign-in"));
    }

    /// Leaves the pages in `target/pages` for a look in a browser.
    #[test]
    fn pages_can_be_looked_at() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pages");
        fs::create_dir_all(folder.join("assets")).expect("the folder can be made");
        fs::write(folder.join("assets/vinculum.css"), STYLESHEET).expect("the stylesheet can be written");
        fs::write(folder.join("assets/vinculum.svg"), ICON).expect("the icon can be written");
        for (name, html) in pages(&str::to_owned) {
            fs::write(folder.join(format!("{name}.html")), html).expect("a page can be written");
        }
    }
}
