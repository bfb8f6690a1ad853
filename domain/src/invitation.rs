//! Decisions about invitations: send, revoke, visit, click, ask for the newest, code, accept.

use crate::access::ASSOCIATION_LIFETIME;
use crate::account::{Account, Invitation, InvitationStatus};
use crate::address::EmailAddress;
use crate::authority::Scene;
use crate::caller::Actor;
use crate::command::{Edit, NewLink};
use crate::event::{
    Event, IdentityAssociated, InvitationIssued, LatestLinkRequested, LinkClicked, LinkVisited, MailboxCodeIssued,
    MailboxProof, Notice, NoticeIssued, NoticeTo, RevocationReason,
};
use crate::ids::{AccountId, FlowId, IdentityId, InvitationId, MailId, ProfessionalId};
use crate::people;
use crate::refusal::Refusal;
use crate::time::{Millis, Timestamp};
use crate::words::{Authority, Scope};

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

/// Links that the account's own people or a partner may send to one person within [`SENDS_WINDOW`]: nobody needs more,
/// and no mailbox is flooded. Other senders do not spend it.
pub const SENDS_MAX: usize = 20;
/// See [`SENDS_MAX`].
pub const SENDS_WINDOW: Millis = Millis::hours(24);

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

    /// A lifetime of the rules, which need no check.
    pub(crate) const fn of(length: Millis) -> Self {
        Self(length)
    }

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

/// With what right a generation is issued, and what it allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Right {
    /// With what right.
    pub by: Authority,
    /// The partner on whose behalf.
    pub partner: Option<AccountId>,
    /// The only identity that may accept (R14).
    pub bound_to: Option<IdentityId>,
    /// Whether accepting may replace an identity (R11).
    pub may_replace: bool,
}

/// R8, R9: sends the first link of an invitation, or the next one of the open invitation.
pub(crate) fn send(scene: &Scene<'_>, professional: ProfessionalId, new: &NewLink) -> Result<Vec<Event>, Refusal> {
    let by = scene.manage_professional(SENDERS, professional)?;
    send_by(scene, by, professional, new)
}

/// Sends with an authority that is found already.
pub(crate) fn send_by(
    scene: &Scene<'_>,
    by: Authority,
    professional: ProfessionalId,
    new: &NewLink,
) -> Result<Vec<Event>, Refusal> {
    let newest = scene.account.professional(professional)?.invitation;
    let open = newest.and_then(|invitation| scene.account.invitations.get_key_value(&invitation));
    match open.filter(|(_, invitation)| invitation.status == InvitationStatus::Open) {
        Some((id, invitation)) => send_next(scene, by, *id, invitation, new),
        None => begin(scene, by, professional, new, gives_right_to_replace(scene, by)),
    }
}

/// Sends the first link of a new invitation.
pub(crate) fn begin(
    scene: &Scene<'_>,
    by: Authority,
    professional: ProfessionalId,
    new: &NewLink,
    may_replace: bool,
) -> Result<Vec<Event>, Refusal> {
    if scene.account.invitations.contains_key(&new.invitation) {
        return Err(Refusal::IdInUse);
    }
    let link = Link { account: scene.id, invitation: new.invitation, generation: 1 };
    let right = Right { by, partner: scene.partner_of(by), bound_to: None, may_replace };
    issue(scene, link, professional, new, right)
}

/// Sends the next link of an open invitation.
fn send_next(
    scene: &Scene<'_>,
    by: Authority,
    id: InvitationId,
    open: &Invitation,
    new: &NewLink,
) -> Result<Vec<Event>, Refusal> {
    // Once issued with the right, an invitation keeps it: else the holder of the old identity could take it away.
    let may_replace = open.bound_to.is_none() && (open.may_replace || gives_right_to_replace(scene, by));
    // What a partner began stays its own (R22) until an administrator of the account takes it over.
    let partner = match by {
        Authority::Administrator => None,
        _ => scene.partner_of(by).or(open.partner),
    };
    let link = Link { account: scene.id, invitation: id, generation: open.generation + 1 };
    issue(scene, link, open.professional, new, Right { by, partner, bound_to: open.bound_to, may_replace })
}

/// R11: administrators, partners and support give it, and the person itself shortly after a sign-in.
pub(crate) fn gives_right_to_replace(scene: &Scene<'_>, by: Authority) -> bool {
    let context = scene.context;
    match by {
        Authority::Administrator | Authority::Partner => true,
        Authority::Staff => context.caller.has_any(&[Scope::Support]),
        Authority::Association => false,
        // Either way round: a clock that was set back must not keep old sessions fresh.
        Authority::Oneself => context.caller.signed_in_at.is_some_and(|signed_in_at| {
            (context.now - signed_in_at).0.unsigned_abs() <= FRESH_SIGN_IN.0.unsigned_abs()
        }),
    }
}

/// Whether a generation that this actor issues with this right spends the budget of [`SENDS_MAX`]. Who asks for the
/// newest link with an older one has a budget of their own.
pub(crate) fn is_counted(by: Option<Authority>, actor: &Actor) -> bool {
    matches!(by, Some(Authority::Administrator | Authority::Partner | Authority::Oneself)) && *actor != Actor::Link
}

/// R20: the event that issues a generation, if the account may invite now.
pub(crate) fn issue(
    scene: &Scene<'_>,
    link: Link,
    professional: ProfessionalId,
    new: &NewLink,
    right: Right,
) -> Result<Vec<Event>, Refusal> {
    let now = scene.now();
    if !scene.account.may_invite(now) {
        return Err(Refusal::NoServicePlan);
    }
    let sends = scene.account.professionals.get(&professional).map(|found| &found.sends);
    let is_used_up = sends.is_some_and(|sends| {
        sends.len() >= SENDS_MAX && sends.front().is_some_and(|oldest| now < *oldest + SENDS_WINDOW)
    });
    if is_counted(Some(right.by), &scene.context.caller.actor) && is_used_up {
        return Err(Refusal::SendsUsedUp);
    }
    // Whoever renews a link that needs no code, it is short-lived.
    let lifetime = if right.bound_to.is_some() { ASSOCIATION_LIFETIME } else { new.lifetime };
    Ok(vec![
        InvitationIssued {
            account: link.account,
            professional,
            invitation: link.invitation,
            generation: link.generation,
            expires_at: now + lifetime.0,
            link_key: new.link_key.clone(),
            may_replace: right.may_replace,
            mail: MailId::derive(link.invitation, link.generation, "invitation", 1),
            by: Some(right.by),
            partner: right.partner,
            bound_to: right.bound_to,
        }
        .into(),
    ])
}

/// Revokes the open invitation; revoking a revoked one changes nothing.
pub(crate) fn revoke(scene: &Scene<'_>, id: InvitationId) -> Result<Vec<Event>, Refusal> {
    // The invited person may not: else the holder of an identity could keep the account from ever replacing it.
    scene.manage(SENDERS)?;
    let found = scene.account.invitation(id)?;
    // What was sent to somebody who was deleted is revoked already, or was accepted.
    if !scene.account.departed.contains_key(&found.professional) {
        scene.manage_professional(SENDERS, found.professional)?;
    }
    match found.status {
        InvitationStatus::Revoked => Ok(vec![]),
        InvitationStatus::Accepted(_) => Err(Refusal::AlreadyUsed),
        InvitationStatus::Open => Ok(vec![people::revoked(scene, id, found, RevocationReason::Asked)]),
    }
}

/// An operator sends an invitation again, on the state of now: never to a stale address, to somebody deleted, or for a
/// profile that is linked.
pub(crate) fn retry(
    scene: &Scene<'_>,
    id: InvitationId,
    of: ProfessionalId,
    address: Option<&EmailAddress>,
    new: &NewLink,
) -> Result<Vec<Event>, Refusal> {
    scene.manage(SENDERS)?;
    let found = scene.account.invitation(id)?;
    if found.professional != of {
        return Err(Refusal::UnknownInvitation); // else the address would be sealed under another person's key
    }
    if scene.account.departed.contains_key(&found.professional) {
        return Err(Refusal::ProfessionalDeleted);
    }
    let by = scene.manage_professional(SENDERS, found.professional)?;
    match found.status {
        InvitationStatus::Accepted(_) => return Err(Refusal::AlreadyAssociated),
        InvitationStatus::Revoked => return Err(Refusal::InvitationRevoked),
        InvitationStatus::Open => {}
    }
    let professional = scene.account.professional(found.professional)?;
    if professional.identity.is_some() && !found.may_replace {
        return Err(Refusal::AlreadyAssociated);
    }
    if address.is_some_and(|address| Some(address.key()) != professional.address_key()) {
        let edit = Edit { address: address.cloned(), invitation: Some(new.clone()), ..Edit::default() };
        return people::edit_by(scene, by, found.professional, &edit);
    }
    send_next(scene, by, id, found, new)
}

/// R24: records a visit while the budget lasts. A visit is never refused for what the invitation has become; once the
/// person is deleted or the account closed, it is recorded no more (R7).
pub(crate) fn visit(account: &Account, link: Link) -> Result<Vec<Event>, Refusal> {
    let found = of_link(account, link)?;
    let is_over = !account.is_open() || !account.professionals.contains_key(&found.professional);
    if is_over || found.visits.get(&link.generation).is_some_and(|visits| *visits >= VISITS_MAX) {
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
pub(crate) fn request_latest(scene: &Scene<'_>, link: Link, new: &NewLink) -> Result<Vec<Event>, Refusal> {
    let (account, now) = (scene.account, scene.now());
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
        let by = found.by.unwrap_or(Authority::Staff);
        let right = Right { by, partner: found.partner, bound_to: found.bound_to, may_replace: found.may_replace };
        let mut events = issue(scene, next, professional, new, right)?;
        let mail = MailId::derive(next.invitation, next.generation, "invitation", 1);
        events.push(request(next.generation, mail).into());
        return Ok(events);
    }
    let mail = MailId::derive(link.invitation, found.generation, "latest-link", number);
    Ok(vec![request(found.generation, mail).into()])
}

/// R15: issues the next code for the registered mailbox, if this identity could accept with it.
pub(crate) fn issue_code(
    scene: &Scene<'_>,
    link: Link,
    flow: FlowId,
    identity: IdentityId,
    code_key: &str,
) -> Result<Vec<Event>, Refusal> {
    let (account, now) = (scene.account, scene.now());
    match accept(scene, link, identity, &Mailbox::Unproved) {
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

/// R10, R11, R12, R14, R15: ties the identity to the invited professional.
pub(crate) fn accept(
    scene: &Scene<'_>,
    link: Link,
    identity: IdentityId,
    mailbox: &Mailbox,
) -> Result<Vec<Event>, Refusal> {
    let (account, now) = (scene.account, scene.now());
    let found = of_link(account, link)?;
    let Some(professional) = account.professionals.get(&found.professional) else {
        return Err(Refusal::InvitationRevoked); // deleted: the invitation was revoked with the person
    };
    if professional.identity == Some(identity) {
        return Ok(vec![]);
    }
    check_usable(account, found, link, now)?;
    if found.bound_to.is_some_and(|bound_to| bound_to != identity) {
        return Err(Refusal::LinkOfAnotherIdentity);
    }
    if account.by_identity.contains_key(&identity) {
        return Err(Refusal::IdentityAlreadyInAccount);
    }
    if professional.identity.is_some() && !found.may_replace {
        return Err(Refusal::AssociationExists);
    }
    let proof = match mailbox {
        _ if found.bound_to.is_some() => MailboxProof::AssociationLink,
        Mailbox::CodeEntered => MailboxProof::Code,
        Mailbox::TrustedAddress(address) if professional.address_key() == Some(address.key()) => {
            MailboxProof::TrustedAddress
        }
        Mailbox::TrustedAddress(_) | Mailbox::Unproved => return Err(Refusal::MailboxCodeRequired),
    };
    let associated = IdentityAssociated {
        account: link.account,
        professional: found.professional,
        invitation: link.invitation,
        generation: link.generation,
        from: professional.identity,
        to: identity,
        proof,
    };
    let mut events = notices_of_replacement(&associated);
    events.insert(0, associated.into());
    // Whatever else is open for the person would only tempt somebody to replace what was just made.
    let others = account.open_invitations(found.professional).filter(|(other, _)| *other != link.invitation);
    events.extend(others.map(|(id, other)| people::revoked(scene, id, other, RevocationReason::AnotherAccepted)));
    Ok(events)
}

/// R11: who replaces an identity tells the registered address and those of both identities.
fn notices_of_replacement(associated: &IdentityAssociated) -> Vec<Event> {
    let Some(from) = associated.from else { return vec![] };
    let places = [NoticeTo::Registered, NoticeTo::Identity(from), NoticeTo::Identity(associated.to)];
    let (account, professional, notice) = (associated.account, associated.professional, Notice::IdentityReplaced);
    let notices = places.into_iter().enumerate().map(|(place, to)| {
        let mail = MailId::of_notice(associated.invitation.0, place);
        NoticeIssued { account, professional, notice, to, appointment: None, mail, address: None }.into()
    });
    notices.collect()
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
