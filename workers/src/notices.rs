//! The notices: mails that tell and ask for nothing. None has a link, so none is worth imitating.

use askama::Template;
use domain::name::{AccountName, PersonName};
use domain::time::Timestamp;
use domain::words::Language;

use crate::templates::{Rendered, rendered, until};

/// What a notice tells.
#[derive(Clone, PartialEq, Eq)]
pub enum Told {
    /// The profile is known by another address now (R16).
    AddressChanged,
    /// The profile has another identity now (R11).
    IdentityReplaced,
    /// Somebody was proposed as administrator, and administrators can object (R21).
    AppointmentProposed {
        /// Who shall become administrator.
        appointed: PersonName,
        /// Who shall lose the role.
        replaced: Option<PersonName>,
        /// Until when administrators can object.
        window_ends_at: Timestamp,
    },
    /// Somebody was appointed as administrator (R21).
    AppointmentCarriedOut {
        /// Who became administrator.
        appointed: PersonName,
        /// Who lost the role.
        replaced: Option<PersonName>,
    },
}

/// What a notice says, and about which account.
#[derive(Clone)]
pub struct NoticeMail {
    /// Who is told.
    pub recipient: PersonName,
    /// The account that the profile belongs to.
    pub account: AccountName,
    /// The portal's name as people know it; from the configuration.
    pub portal: String,
    /// What it tells.
    pub told: Told,
}

impl NoticeMail {
    /// Writes the mail in one language.
    pub fn render(&self, language: Language) -> Rendered {
        let mail = self;
        let (subject, paragraphs) = match language {
            Language::English => (self.english_subject(), &self.english()[..]),
            Language::German => (self.german_subject(), &self.german()[..]),
        };
        match language {
            Language::English => {
                let html = NoticeEnglishHtml { mail, paragraphs, subject: &subject }.render();
                let text = NoticeEnglishText { mail, paragraphs }.render();
                rendered(subject, text, html)
            }
            Language::German => {
                let html = NoticeGermanHtml { mail, paragraphs, subject: &subject }.render();
                let text = NoticeGermanText { mail, paragraphs }.render();
                rendered(subject, text, html)
            }
        }
    }

    fn english_subject(&self) -> String {
        let (account, portal) = (&self.account, &self.portal);
        match self.told {
            Told::AddressChanged => format!("Your address for “{account}” on {portal} was changed"),
            Told::IdentityReplaced => format!("Your sign-in for “{account}” on {portal} was replaced"),
            Told::AppointmentProposed { .. } => format!("A new administrator for “{account}” on {portal} was proposed"),
            Told::AppointmentCarriedOut { .. } => format!("“{account}” on {portal} has a new administrator"),
        }
    }

    fn german_subject(&self) -> String {
        let (account, portal) = (&self.account, &self.portal);
        match self.told {
            Told::AddressChanged => format!("Ihre Adresse für „{account}“ bei {portal} wurde geändert"),
            Told::IdentityReplaced => format!("Ihre Anmeldung für „{account}“ bei {portal} wurde ersetzt"),
            Told::AppointmentProposed { .. } => {
                format!("Für „{account}“ bei {portal} wurde ein neuer Administrator vorgeschlagen")
            }
            Told::AppointmentCarriedOut { .. } => format!("„{account}“ bei {portal} hat einen neuen Administrator"),
        }
    }

    fn english(&self) -> Vec<String> {
        let (account, portal) = (&self.account, &self.portal);
        let in_place = |replaced: &Option<PersonName>| match replaced {
            Some(replaced) => format!(" in place of “{}”", replaced.as_str()),
            None => String::new(),
        };
        match &self.told {
            Told::AddressChanged => vec![
                format!(
                    "The address that the account “{account}” on {portal} knows you by was changed. Mails from there no \
                     longer come to this mailbox, and links that it received no longer work."
                ),
                "If you did not expect this, tell an administrator of the account, your partner or support.".into(),
            ],
            Told::IdentityReplaced => vec![
                format!(
                    "The sign-in that is linked to your profile in the account “{account}” on {portal} was replaced by \
                     another one. The one before no longer opens the profile."
                ),
                "If this was not you, tell an administrator of the account, your partner or support at once.".into(),
            ],
            Told::AppointmentProposed { appointed, replaced, window_ends_at } => vec![
                format!(
                    "“{}” was proposed as administrator of the account “{account}” on {portal}{}.",
                    appointed.as_str(),
                    in_place(replaced)
                ),
                format!(
                    "Every administrator of the account can object until {}; then support decides. Without an objection \
                     the appointment is carried out.",
                    until(*window_ends_at, Language::English)
                ),
            ],
            Told::AppointmentCarriedOut { appointed, replaced } => vec![
                format!(
                    "“{}” is now an administrator of the account “{account}” on {portal}{}.",
                    appointed.as_str(),
                    in_place(replaced)
                ),
                "If you did not expect this, tell support. The account's history says who did it and why.".into(),
            ],
        }
    }

    fn german(&self) -> Vec<String> {
        let (account, portal) = (&self.account, &self.portal);
        let in_place = |replaced: &Option<PersonName>| match replaced {
            Some(replaced) => format!(" anstelle von „{}“", replaced.as_str()),
            None => String::new(),
        };
        match &self.told {
            Told::AddressChanged => vec![
                format!(
                    "Die Adresse, unter der das Konto „{account}“ bei {portal} Sie kennt, wurde geändert. Mails von dort \
                     kommen nicht mehr in dieses Postfach, und Links, die es bekommen hat, gelten nicht mehr."
                ),
                "Wenn Sie das nicht erwartet haben, sagen Sie es einem Administrator des Kontos, Ihrem Partner oder dem \
                 Support."
                    .into(),
            ],
            Told::IdentityReplaced => vec![
                format!(
                    "Die Anmeldung, die mit Ihrem Profil im Konto „{account}“ bei {portal} verknüpft ist, wurde durch \
                     eine andere ersetzt. Die bisherige öffnet das Profil nicht mehr."
                ),
                "Wenn Sie das nicht waren, sagen Sie es sofort einem Administrator des Kontos, Ihrem Partner oder dem \
                 Support."
                    .into(),
            ],
            Told::AppointmentProposed { appointed, replaced, window_ends_at } => vec![
                format!(
                    "„{}“ wurde als Administrator des Kontos „{account}“ bei {portal} vorgeschlagen{}.",
                    appointed.as_str(),
                    in_place(replaced)
                ),
                format!(
                    "Jeder Administrator des Kontos kann bis {} widersprechen; dann entscheidet der Support. Ohne \
                     Widerspruch wird der Vorschlag ausgeführt.",
                    until(*window_ends_at, Language::German)
                ),
            ],
            Told::AppointmentCarriedOut { appointed, replaced } => vec![
                format!(
                    "„{}“ ist jetzt Administrator des Kontos „{account}“ bei {portal}{}.",
                    appointed.as_str(),
                    in_place(replaced)
                ),
                "Wenn Sie das nicht erwartet haben, sagen Sie es dem Support. Die Geschichte des Kontos sagt, wer es war \
                 und warum."
                    .into(),
            ],
        }
    }
}

#[derive(Template)]
#[template(path = "notice.en.txt")]
struct NoticeEnglishText<'a> {
    mail: &'a NoticeMail,
    paragraphs: &'a [String],
}

#[derive(Template)]
#[template(path = "notice.en.html")]
struct NoticeEnglishHtml<'a> {
    mail: &'a NoticeMail,
    paragraphs: &'a [String],
    subject: &'a str,
}

#[derive(Template)]
#[template(path = "notice.de.txt")]
struct NoticeGermanText<'a> {
    mail: &'a NoticeMail,
    paragraphs: &'a [String],
}

#[derive(Template)]
#[template(path = "notice.de.html")]
struct NoticeGermanHtml<'a> {
    mail: &'a NoticeMail,
    paragraphs: &'a [String],
    subject: &'a str,
}
