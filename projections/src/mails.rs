//! Mail to-dos: one row for each mail that a worker must act on. Its outcome removes the row.

use domain::event::{Event, Notice, NoticeTo, Recorded};
use domain::ids::{AccountId, AppointmentId, FlowId, InvitationId, MailId, ProfessionalId};
use domain::invitation::Lifetime;
use domain::mail::CLAIM_LIFETIME;
use domain::time::{Millis, Timestamp};
use serde::{Deserialize, Serialize};

use crate::view::{Column, Value, View};
use crate::views::{QueryError, Views};

/// No link that was mailed so long ago works any more.
const LINK_LIFETIME_MAX: Millis = Millis::hours(Lifetime::LONGEST_HOURS);

/// The view of mails that wait, by mail id.
#[derive(Debug)]
pub struct Mails;

/// What a mail carries; secrets are derived when it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// The newest link of the invitation.
    Link,
    /// A mailbox code.
    Code {
        /// The browser's passage that asked.
        flow: FlowId,
        /// Which request of it.
        number: u32,
        /// The key that the code is derived with.
        code_key: String,
    },
    /// A notice.
    Notice {
        /// What it tells.
        notice: Notice,
        /// Where it goes.
        to: NoticeTo,
        /// The former address, where it goes there; none once erased.
        address: Option<String>,
        /// The appointment that it tells of.
        appointment: Option<AppointmentId>,
    },
}

/// One mail that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailRow {
    /// Its id.
    pub id: MailId,
    /// The account.
    pub account: AccountId,
    /// To whom.
    pub professional: ProfessionalId,
    /// About which invitation; none for a notice.
    pub invitation: Option<InvitationId>,
    /// About which generation; 0 for a notice.
    pub generation: u32,
    /// What it carries.
    pub content: Content,
    /// When the next attempt is due; while one is under way, when it counts as dead.
    pub due_at: Timestamp,
}

impl View for Mails {
    const NAME: &'static str = "mails";
    const VERSION: i64 = 3;
    const COLUMNS: &'static [Column] = &[Column::Number("due_at"), Column::PlainText("link_of")];
    type Row = MailRow;

    fn keys(recorded: &Recorded) -> Vec<String> {
        let mail = match &recorded.event {
            Event::InvitationIssued(e) => e.mail,
            Event::LatestLinkRequested(e) => e.mail,
            Event::MailboxCodeIssued(e) => e.mail,
            Event::NoticeIssued(e) => e.mail,
            Event::MailAttempted(e) => e.mail,
            Event::MailSent(e) => e.mail,
            Event::MailRefused(e) => e.mail,
            Event::MailDeferred(e) => e.mail,
            Event::MailOutcomeUnknown(e) => e.mail,
            Event::MailParked(e) => e.mail,
            Event::MailCancelled(e) => e.mail,
            _ => return vec![],
        };
        vec![mail.to_string()]
    }

    fn apply(_: &str, row: Option<MailRow>, recorded: &Recorded) -> Option<MailRow> {
        let at = recorded.recorded_at;
        match &recorded.event {
            Event::InvitationIssued(e) => Some(MailRow {
                id: e.mail,
                account: e.account,
                professional: e.professional,
                invitation: Some(e.invitation),
                generation: e.generation,
                content: Content::Link,
                due_at: at,
            }),
            Event::LatestLinkRequested(e) => row.or(Some(MailRow {
                id: e.mail,
                account: e.account,
                professional: e.professional,
                invitation: Some(e.invitation),
                generation: e.generation,
                content: Content::Link,
                due_at: at,
            })),
            Event::MailboxCodeIssued(e) => Some(MailRow {
                id: e.mail,
                account: e.account,
                professional: e.professional,
                invitation: Some(e.invitation),
                generation: e.generation,
                content: Content::Code { flow: e.flow, number: e.number, code_key: e.code_key.clone() },
                due_at: at,
            }),
            Event::NoticeIssued(e) => Some(MailRow {
                id: e.mail,
                account: e.account,
                professional: e.professional,
                invitation: None,
                generation: 0,
                content: Content::Notice {
                    notice: e.notice,
                    to: e.to,
                    address: e.address.as_ref().map(|address| address.as_str().into()),
                    appointment: e.appointment,
                },
                due_at: at,
            }),
            Event::MailAttempted(_) => row.map(|row| MailRow { due_at: at + CLAIM_LIFETIME, ..row }),
            Event::MailDeferred(e) => row.map(|row| MailRow { due_at: e.retry_at, ..row }),
            Event::MailOutcomeUnknown(e) => row.map(|row| MailRow { due_at: e.retry_at, ..row }),
            Event::MailSent(_) | Event::MailRefused(_) | Event::MailParked(_) | Event::MailCancelled(_) => None,
            _ => row,
        }
    }

    fn columns(row: &MailRow) -> Vec<Value> {
        let link_of = (row.content == Content::Link).then(|| row.account.to_string());
        vec![Value::Number(Some(row.due_at.0)), Value::Text(link_of)]
    }
}

impl Views {
    /// Lists mails that are due, the longest waiting first. Links of an account without a current plan wait (R20), until they
    /// work no longer: then whoever claims them cancels them.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn due_mails(&self, now: Timestamp, limit: usize) -> Result<Vec<MailRow>, QueryError> {
        // Not `exists`, for which PostgreSQL would read all accounts with a plan.
        self.list(
            "select m.body from mails m where m.due_at <= cast($1 as bigint) and \
             (m.link_of is null or m.due_at <= cast($2 as bigint) or \
             (select a.invites_from <= cast($1 as bigint) and a.invites_until > cast($1 as bigint) \
             from accounts a where a.key = m.link_of)) order by m.due_at, m.key limit $3",
            &[&now.0.to_string(), &(now.0 - LINK_LIFETIME_MAX.0).to_string()],
            limit,
        )
        .await
    }
}
