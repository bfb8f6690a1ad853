//! Decisions about invitations: send, revoke, visit, click, ask for the newest, code, accept.

use crate::account::{Account, Invitation, InvitationStatus};
use crate::address::EmailAddress;
use crate::authority::{self, Authority};
use crate::caller::Context;
use crate::command::NewLink;
use crate::event::{
    Event, IdentityAssociated, InvitationIssued, InvitationRevoked, LatestLinkRequested, LinkClicked, LinkVisited,
    MailboxCodeIssued, MailboxProof, RevocationReason,
};
use crate::ids::{AccountId, FlowId, IdentityId, InvitationId, MailId, ProfessionalId};
use crate::refusal::Refusal;
use crate::time::{Millis, Timestamp};
use crate::words::Scope;

/// Visits of a link that are recorded for each generation: enough to see what happened, too few to fill the log (R24).
pub const VISITS_MAX: u32 = 20;
/// Mailbox codes for each generation (rules.md, limits).
pub const CODES_MAX: u32 = 5;
/// Wrong entries of one mailbox code (rules.md, limits).
pub const CODE_TRIES_MAX: u32 = 5;
/// How long a mailbox code works: long enough to switch windows (rules.md, limits).
pub const CODE_LIFETIME: Millis = Millis::minutes(10);
/// How often holders of older links may have the newest one mailed, for one invitation: a budget of its own, so that
/// nobody can spend another's.
pub const LATEST_LINK_REQUESTS_MAX: u32 = 5;
/// How fresh a person's sign-in must be for re-inviting oneself with the right to replace the identity (R11).
pub const FRESH_SIGN_IN: Millis = Millis::minutes(5);

/// Who may send and revoke invitations beside the account's own people.
const SENDERS: &[Scope] = &[Scope::Support, Scope::BackOffice, Scope::Operator];

/// How long an invitation's link works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(Millis);

/// A lifetime is outside [`Lifetime::SHORTEST_HOURS`] to [`Lifetime::LONGEST_HOURS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a link works for 1 to 720 hours")]
pub struct LifetimeOutOfBounds;

impl Lifetime {
    /// The shortest lifetime, in hours.
    pub const SHORTEST_HOURS: i64 = 1;
    /// The longest lifetime, in hours: 30 days.
    pub const LONGEST_HOURS: i64 = 30 * 24;
    /// What an invitation has if nothing else is asked for: 7 days.
    pub const DEFAULT: Self = Self(Millis::days(7));

    /// A lifetime in hours.
    ///
    /// # Errors
    /// It is shorter or longer than links may live.
    pub const fn hours(hours: i64) -> Result<Self, LifetimeOutOfBounds> {
        if hours < Self::SHORTEST_HOURS || hours > Self::LONGEST_HOURS {
            return Err(LifetimeOutOfBounds);
        }
        Ok(Self(Millis::hours(hours)))
    }
}

/// What a person who accepts can show for reading the registered mailbox (R15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mailbox {
    /// Nothing yet.
    Unproved,
    /// The code that went there was typed into the same flow.
    CodeEntered,
    /// The identity has this address, and its issuer is configured to be trusted for it. It proves the mailbox only if
    /// it is the registered one.
    TrustedAddress(EmailAddress),
}

/// A link: one generation of one invitation of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The account.
    pub account: AccountId,
    /// The invitation.
    pub invitation: InvitationId,
    /// The generation.
    pub generation: u32,
}

/// R8, R9: sends the first link of an invitation, or the next one of the open invitation.
pub(crate) fn send(
    account: &Account,
    id: AccountId,
    professional: ProfessionalId,
    new: &NewLink,
    context: &Context,
) -> Result<Vec<Event>, Refusal> {
    let by = authority::manage_professional(account, &context.caller, SENDERS, professional)?;
    let open = account
        .professional(professional)?
        .invitation
        .and_then(|invitation| account.invitations.get_key_value(&invitation))
        .filter(|(_, invitation)| invitation.status == InvitationStatus::Open);
    let (invitation, generation) = match open {
        Some((open, invitation)) => (*open, invitation.generation + 1),
        None => (new.invitation, 1),
    };
    if open.is_none() && account.invitations.contains_key(&new.invitation) {
        return Err(Refusal::IdInUse);
    }
    // Once issued with the right, an invitation keeps it: else the holder of the old identity could take it away.
    let may_replace = open.is_some_and(|(_, invitation)| invitation.may_replace) || gives_right_to_replace(by, context);
    issue(account, Link { account: id, invitation, generation }, professional, new, may_replace, context.now)
}

/// R11: administrators and support give it, and the person itself shortly after a sign-in.
fn gives_right_to_replace(by: Authority, context: &Context) -> bool {
    match by {
        Authority::Administrator => true,
        Authority::Staff => context.caller.has_any(&[Scope::Support]),
        // Either way round: a clock that was set back must not keep old sessions fresh.
        Authority::Oneself => context.caller.signed_in_at.is_some_and(|signed_in_at| {
            (context.now - signed_in_at).0.unsigned_abs() <= FRESH_SIGN_IN.0.unsigned_abs()
        }),
    }
}

/// R20: the event that issues a generation, if the account may invite now.
pub(crate) fn issue(
    account: &Account,
    link: Link,
    professional: ProfessionalId,
    new: &NewLink,
    may_replace: bool,
    now: Timestamp,
) -> Result<Vec<Event>, Refusal> {
    if !account.may_invite(now) {
        return Err(Refusal::NoServicePlan);
    }
    Ok(vec![
        InvitationIssued {
            account: link.account,
            professional,
            invitation: link.invitation,
            generation: link.generation,
            expires_at: now + new.lifetime.0,
            link_key: new.link_key.clone(),
            may_replace,
            mail: MailId::derive(link.invitation, link.generation, "invitation", 1),
        }
        .into(),
    ])
}

/// Revokes the open invitation; revoking a revoked one changes nothing.
pub(crate) fn revoke(
    account: &Account,
    id: AccountId,
    invitation: InvitationId,
    context: &Context,
) -> Result<Vec<Event>, Refusal> {
    let Some(found) = account.invitations.get(&invitation) else {
        authority::manage(account, &context.caller, SENDERS)?;
        return Err(Refusal::UnknownInvitation);
    };
    let by = authority::manage_professional(account, &context.caller, SENDERS, found.professional)?;
    if by == Authority::Oneself {
        // Else the holder of an identity could keep the account from ever replacing it.
        return Err(Refusal::NotAdministrator);
    }
    match found.status {
        InvitationStatus::Revoked => Ok(vec![]),
        InvitationStatus::Accepted(_) => Err(Refusal::AlreadyUsed),
        InvitationStatus::Open => Ok(vec![
            InvitationRevoked {
                account: id,
                professional: found.professional,
                invitation,
                generation: found.generation,
                reason: RevocationReason::Asked,
            }
            .into(),
        ]),
    }
}

/// R24: records a visit while the budget lasts. A visit is never refused for what the invitation has become.
pub(crate) fn visit(account: &Account, link: Link) -> Result<Vec<Event>, Refusal> {
    let found = of_link(account, link)?;
    if found.visits.get(&link.generation).is_some_and(|visits| *visits >= VISITS_MAX) {
        return Ok(vec![]);
    }
    Ok(vec![
        LinkVisited {
            account: link.account,
            professional: found.professional,
            invitation: link.invitation,
            generation: link.generation,
        }
        .into(),
    ])
}

/// R24: records the click that starts the sign-in, once for each flow.
pub(crate) fn click(account: &Account, link: Link, flow: FlowId, now: Timestamp) -> Result<Vec<Event>, Refusal> {
    let found = of_link(account, link)?;
    check_usable(account, found, link, now)?;
    if found.clicks.contains(&flow) {
        return Ok(vec![]);
    }
    Ok(vec![
        LinkClicked {
            account: link.account,
            professional: found.professional,
            invitation: link.invitation,
            generation: link.generation,
            flow,
        }
        .into(),
    ])
}

/// R9: mails the newest link again, or issues the next one if the newest has expired. Whoever holds an older link
/// learns nothing by it: the mail goes to the registered address.
pub(crate) fn request_latest(
    account: &Account,
    link: Link,
    new: &NewLink,
    now: Timestamp,
) -> Result<Vec<Event>, Refusal> {
    let found = of_link(account, link)?;
    match found.status {
        InvitationStatus::Revoked => return Err(Refusal::InvitationRevoked),
        InvitationStatus::Accepted(_) => return Err(Refusal::AlreadyUsed),
        InvitationStatus::Open => {}
    }
    let is_expired = found.expires_at <= now;
    if !is_expired && !account.may_invite(now) {
        return Err(Refusal::InvitationFrozen);
    }
    if link.generation == found.generation && !is_expired {
        return Err(Refusal::LinkStillWorks);
    }
    if found.latest_link_requests >= LATEST_LINK_REQUESTS_MAX {
        return Err(Refusal::LatestLinkUsedUp);
    }
    let (professional, number) = (found.professional, found.latest_link_requests + 1);
    let request = |generation, mail| LatestLinkRequested {
        account: link.account,
        professional,
        invitation: link.invitation,
        generation,
        number,
        mail,
    };
    if is_expired {
        let next = Link { generation: found.generation + 1, ..link };
        let mut events = issue(account, next, professional, new, found.may_replace, now)?;
        let mail = MailId::derive(next.invitation, next.generation, "invitation", 1);
        events.push(request(next.generation, mail).into());
        return Ok(events);
    }
    let mail = MailId::derive(link.invitation, found.generation, "latest-link", number);
    Ok(vec![request(found.generation, mail).into()])
}

/// R15: issues the next code for the registered mailbox, if this identity could accept with it.
pub(crate) fn issue_code(
    account: &Account,
    link: Link,
    flow: FlowId,
    identity: IdentityId,
    code_key: &str,
    now: Timestamp,
) -> Result<Vec<Event>, Refusal> {
    match accept(account, link, identity, &Mailbox::Unproved, now) {
        Err(Refusal::MailboxCodeRequired) => {}
        Err(refusal) => return Err(refusal),
        Ok(_) => return Ok(vec![]),
    }
    let found = of_link(account, link)?;
    if found.codes >= CODES_MAX {
        return Err(Refusal::MailboxCodesUsedUp);
    }
    let number = found.codes + 1;
    Ok(vec![
        MailboxCodeIssued {
            account: link.account,
            professional: found.professional,
            invitation: link.invitation,
            generation: link.generation,
            flow,
            number,
            expires_at: now + CODE_LIFETIME,
            code_key: code_key.into(),
            mail: MailId::derive(link.invitation, link.generation, "mailbox-code", number),
        }
        .into(),
    ])
}

/// R10, R11, R12, R15: ties the identity to the invited professional.
pub(crate) fn accept(
    account: &Account,
    link: Link,
    identity: IdentityId,
    mailbox: &Mailbox,
    now: Timestamp,
) -> Result<Vec<Event>, Refusal> {
    let found = of_link(account, link)?;
    let professional = account.professional(found.professional)?;
    if professional.identity == Some(identity) {
        return Ok(vec![]);
    }
    check_usable(account, found, link, now)?;
    if account.by_identity.contains_key(&identity) {
        return Err(Refusal::IdentityAlreadyInAccount);
    }
    if professional.identity.is_some() && !found.may_replace {
        return Err(Refusal::AssociationExists);
    }
    let proof = match mailbox {
        Mailbox::CodeEntered => MailboxProof::Code,
        Mailbox::TrustedAddress(address) if professional.address.as_ref() == Some(&address.key()) => {
            MailboxProof::TrustedAddress
        }
        Mailbox::TrustedAddress(_) | Mailbox::Unproved => return Err(Refusal::MailboxCodeRequired),
    };
    Ok(vec![
        IdentityAssociated {
            account: link.account,
            professional: found.professional,
            invitation: link.invitation,
            generation: link.generation,
            from: professional.identity,
            to: identity,
            proof,
        }
        .into(),
    ])
}

/// The invitation of a link that was really issued.
fn of_link(account: &Account, link: Link) -> Result<&Invitation, Refusal> {
    let found = account.invitation(link.invitation)?;
    if link.generation == 0 || link.generation > found.generation {
        return Err(Refusal::UnknownInvitation);
    }
    Ok(found)
}

/// R9, R10, R20: whether the link works now.
fn check_usable(account: &Account, found: &Invitation, link: Link, now: Timestamp) -> Result<(), Refusal> {
    match found.status {
        InvitationStatus::Accepted(_) => Err(Refusal::AlreadyUsed),
        InvitationStatus::Revoked => Err(Refusal::InvitationRevoked),
        InvitationStatus::Open if link.generation < found.generation => Err(Refusal::InvitationSuperseded),
        InvitationStatus::Open if found.expires_at <= now => Err(Refusal::InvitationExpired),
        InvitationStatus::Open if !account.may_invite(now) => Err(Refusal::InvitationFrozen),
        InvitationStatus::Open => Ok(()),
    }
}
