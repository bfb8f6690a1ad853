//! What the steps come to, each by itself.

use domain::invitation::Mailbox;

use super::*;

impl World {
    /// R1, R2, R8.
    #[expect(clippy::too_many_arguments, reason = "the fields of two commands")]
    pub(super) fn add(
        &mut self,
        account: AccountId,
        right: Right,
        id: ProfessionalId,
        details: &ProfessionalDetails,
        language: Language,
        new: Option<&NewLink>,
        now: Timestamp,
    ) -> Answer {
        let found = self.account_mut(account);
        let mut against = Against::default();
        against.when(found.people.iter().any(|person| person.id == id), "id_in_use");
        against.when(found.has_address(details, None), "address_already_in_account");
        against.when(new.is_some_and(|new| found.invitation(new.invitation).is_some()), "id_in_use");
        against.when(new.is_some() && !found.has_plan(now), "no_service_plan");
        if !against.is_empty() {
            return answered(against);
        }
        let is_first = found.living().count() == 0;
        found.people.push(Person {
            id,
            details: details.clone(),
            language,
            is_deleted: false,
            is_erased: false,
            is_administrator: is_first,
            contacts: if is_first { Role::MANDATORY.to_vec() } else { vec![] },
            identity: None,
            identities: vec![],
            seen_at: None,
            sends: vec![],
        });
        if let Some(new) = new {
            found.count_send(id, right.0, now);
            found.put(None, new.invitation, id, right, now + length(new), true, None);
        }
        Accepted
    }

    /// R16.
    pub(super) fn edit(
        &mut self,
        account: AccountId,
        caller: &Caller,
        right: Right,
        id: ProfessionalId,
        edit: &Edit,
        now: Timestamp,
    ) -> Answer {
        let found = self.account(account).unwrap();
        let person = found.person(id).unwrap();
        let mut changed = person.clone();
        if let Some(name) = &edit.name {
            changed.details.name = name.clone();
        }
        if let Some(address) = &edit.address {
            changed.details.address = address.clone();
        }
        changed.language = edit.language.unwrap_or(person.language);
        let is_other = changed.details.address.key() != person.details.address.key();
        let is_same = (&changed.details, changed.language) == (&person.details, person.language);
        let mut against = Against::default();
        against.when(found.has_address(&changed.details, Some(id)), "address_already_in_account");
        let is_outsider = matches!(right.0, Authority::Staff | Authority::Partner);
        let is_seat = person.is_administrator && found.has_settled_administrator();
        against.when(is_outsider && is_other && is_seat, "administrator_out_of_reach");
        if is_same && edit.invitation.is_none() && against.is_empty() {
            return Unchanged;
        }
        if !against.is_empty() {
            // The address is looked at before the invitation; then what is against that is not told.
            return answered(against);
        }
        let before = self.clone();
        *self.account_mut(account).person_mut(id) = changed;
        if is_other {
            self.account_mut(account).revoke_all(|it| it.professional == id);
        }
        if is_other && is_outsider {
            self.account_mut(account).withdraw_all(|it| it.professional == id);
        }
        let Some(new) = &edit.invitation else { return Accepted };
        let answer = self.send(account, caller, right, id, new, now);
        if answer != Accepted {
            *self = before; // all or nothing
        }
        answer
    }

    /// R8, R9: the next generation of what is open, or a new invitation.
    pub(super) fn send(
        &mut self,
        account: AccountId,
        caller: &Caller,
        right: Right,
        id: ProfessionalId,
        new: &NewLink,
        now: Timestamp,
    ) -> Answer {
        let open = self.account(account).unwrap().open_unbound(id).map(|it| it.id);
        self.issue(account, caller, right, id, open, new, now)
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of several commands")]
    pub(super) fn issue(
        &mut self,
        account: AccountId,
        caller: &Caller,
        right: Right,
        id: ProfessionalId,
        open: Option<InvitationId>,
        new: &NewLink,
        now: Timestamp,
    ) -> Answer {
        let found = self.account_mut(account);
        let mut against = Against::default();
        against.when(open.is_none() && found.invitation(new.invitation).is_some(), "id_in_use");
        against.when(!found.has_plan(now), "no_service_plan");
        let recent = found.person(id).unwrap().sends.iter().filter(|at| now < **at + Millis::hours(24)).count();
        against.when(is_limited(right.0) && recent >= 20, "sends_used_up");
        if !against.is_empty() {
            return answered(against);
        }
        let is_fresh = |at: Timestamp| (now - at).0.abs() <= Millis::minutes(5).0;
        let gives = match right.0 {
            Authority::Administrator | Authority::Partner => true,
            Authority::Staff => caller.has_any(&[Scope::Support]),
            Authority::Oneself => caller.signed_in_at.is_some_and(is_fresh),
            Authority::Association => false,
        };
        found.count_send(id, right.0, now);
        let before = open.and_then(|open| found.invitation(open)).cloned();
        let bound_to = before.as_ref().and_then(|it| it.bound_to);
        let may_replace = bound_to.is_none() && (gives || before.as_ref().is_some_and(|it| it.may_replace));
        let partner = match right.0 {
            Authority::Administrator => None,
            _ => right.1.or(before.and_then(|it| it.partner)),
        };
        let lifetime = if bound_to.is_some() { Millis::hours(24) } else { length(new) };
        found.put(open, new.invitation, id, (right.0, partner), now + lifetime, may_replace, bound_to);
        Accepted
    }

    pub(super) fn hand_over(
        &mut self,
        account: AccountId,
        right: Right,
        from: ProfessionalId,
        to: ProfessionalId,
    ) -> Answer {
        let found = self.account(account).unwrap();
        let mut against = Against::default();
        let Some(heir) = found.person(to) else { return Refused(vec!["unknown_professional"]) };
        against.when(from == to, "hand_over_to_oneself");
        let leaves = found.person(from).unwrap().clone();
        let promotes = leaves.is_administrator && !heir.is_administrator;
        let is_past = promotes && right.0 != Authority::Administrator && found.has_settled_administrator();
        against.when(is_past, "appointment_needed");
        if !against.is_empty() {
            return answered(against);
        }
        let found = self.account_mut(account);
        if promotes {
            found.promote(to);
        }
        leaves.contacts.into_iter().for_each(|role| found.move_contact(role, to));
        found.remove(from);
        Accepted
    }

    /// R21.
    pub(super) fn carry_out(&mut self, account: AccountId, id: AppointmentId) {
        let it = self.appointment_mut(account, id);
        it.has_ended = true;
        let (professional, replaces) = (it.professional, it.replaces);
        let found = self.account_mut(account);
        if !found.person(professional).unwrap().is_administrator {
            found.promote(professional);
        }
        if let Some(replaced) = replaces {
            found.person_mut(replaced).is_administrator = false;
        }
    }

    /// R27.
    pub(super) fn erase(
        &mut self,
        caller: &Caller,
        account: AccountId,
        id: ProfessionalId,
        identities: &[IdentityId],
    ) -> Result<Answer, Answer> {
        match self.staff(account, caller, &[Scope::Support]) {
            Err(Refused(codes)) if codes == ["account_closed"] => {}
            other => drop(other?),
        }
        let found = self.account_mut(account);
        let Some(person) = found.people.iter().find(|person| person.id == id).cloned() else {
            return Err(Refused(vec!["unknown_professional"]));
        };
        let mut changes = !person.is_erased;
        if !person.is_deleted {
            if !found.is_closed && found.keeps(id) {
                return Err(Refused(vec!["deletion_blocked"]));
            }
            found.remove(id);
        }
        found.person_mut(id).is_erased = true;
        for identity in identities {
            let is_elsewhere = self.accounts.iter().any(|account| account.of_identity(*identity).is_some());
            let is_known = self.registered.contains(identity) && !self.erased.contains(identity);
            if person.identities.contains(identity) && is_known && !is_elsewhere {
                self.erased.push(*identity);
                self.accounts.iter_mut().for_each(|account| account.wishes.retain(|wish| wish.identity != *identity));
                changes = true;
            }
        }
        Ok(if changes { Accepted } else { Unchanged })
    }

    /// R9.
    pub(super) fn request_latest(&mut self, caller: &Caller, link: Link, new: &NewLink, now: Timestamp) -> Answer {
        let Some(found) = self.accounts.iter().find(|it| it.id == link.account) else {
            return Refused(vec!["unknown_invitation"]);
        };
        let Some(it) = found.invitation(link.invitation).filter(|it| (1..=it.generation).contains(&link.generation))
        else {
            return Refused(vec!["unknown_invitation"]);
        };
        let mut against = Against::default();
        against.when(it.status == Status::Revoked, "invitation_revoked");
        against.when(it.status == Status::Accepted, "already_used");
        let is_expired = it.expires_at <= now;
        against.when(!is_expired && !found.has_plan(now), "invitation_frozen");
        against.when(is_expired && !found.has_plan(now), "no_service_plan");
        against.when(!is_expired && link.generation == it.generation, "link_still_works");
        against.when(it.latest_link_requests >= 5, "latest_link_used_up");
        if !against.is_empty() {
            return answered(against);
        }
        assert_eq!(caller.actor, Actor::Link, "else it would spend another budget");
        let it = it.clone();
        let found = self.account_mut(link.account);
        if is_expired {
            let right = (it.by, it.partner);
            let lifetime = if it.bound_to.is_some() { Millis::hours(24) } else { length(new) };
            found.put(Some(it.id), it.id, it.professional, right, now + lifetime, it.may_replace, it.bound_to);
        }
        found.invitations.iter_mut().find(|other| other.id == it.id).unwrap().latest_link_requests += 1;
        Accepted
    }

    /// R10, R11, R12, R14, R15, R20.
    pub(super) fn accept(&mut self, link: Link, identity: IdentityId, mailbox: &Mailbox, now: Timestamp) -> Answer {
        let Some(found) = self.accounts.iter().find(|it| it.id == link.account) else {
            return Refused(vec!["unknown_invitation"]);
        };
        let Some(it) = found.invitation(link.invitation).filter(|it| (1..=it.generation).contains(&link.generation))
        else {
            return Refused(vec!["unknown_invitation"]);
        };
        let Some(person) = found.person(it.professional) else {
            return Refused(vec!["invitation_revoked", "already_used"]);
        };
        if person.identity == Some(identity) {
            return Unchanged;
        }
        let mut against = Against::default();
        against.when(it.status == Status::Revoked, "invitation_revoked");
        against.when(it.status == Status::Accepted, "already_used");
        against.when(link.generation < it.generation, "invitation_superseded");
        against.when(it.expires_at <= now, "invitation_expired");
        against.when(!found.has_plan(now), "invitation_frozen");
        against.when(it.bound_to.is_some_and(|bound| bound != identity), "link_of_another_identity");
        against.when(found.of_identity(identity).is_some(), "identity_already_in_account");
        against.when(person.identity.is_some() && !it.may_replace, "association_exists");
        let is_proved = match mailbox {
            Mailbox::CodeEntered => true,
            Mailbox::TrustedAddress(address) => address.key() == person.details.address.key(),
            Mailbox::Unproved => false,
        };
        against.when(!is_proved && it.bound_to.is_none(), "mailbox_code_required");
        if !against.is_empty() {
            return answered(against);
        }
        let (id, professional) = (it.id, it.professional);
        let found = self.account_mut(link.account);
        found.invitations.iter_mut().filter(|it| it.id == id).for_each(|it| it.status = Status::Accepted);
        found.revoke_all(|it| it.professional == professional);
        let person = found.person_mut(professional);
        (person.identity, person.seen_at) = (Some(identity), Some(now));
        person.identities.push(identity);
        Accepted
    }
}

impl Account {
    pub(super) fn count_send(&mut self, id: ProfessionalId, by: Authority, now: Timestamp) {
        if is_limited(by) {
            self.person_mut(id).sends.push(now);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of an invitation")]
    pub(super) fn put(
        &mut self,
        open: Option<InvitationId>,
        new: InvitationId,
        professional: ProfessionalId,
        (by, partner): Right,
        expires_at: Timestamp,
        may_replace: bool,
        bound_to: Option<IdentityId>,
    ) {
        if let Some(it) = self.invitations.iter_mut().find(|it| Some(it.id) == open) {
            it.generation += 1;
            (it.by, it.partner, it.expires_at, it.may_replace) = (by, partner, expires_at, may_replace);
            return;
        }
        self.invitations.push(Invitation {
            id: new,
            professional,
            generation: 1,
            expires_at,
            may_replace,
            by,
            partner,
            bound_to,
            status: Status::Open,
            latest_link_requests: 0,
        });
    }
}

/// Whether it spends the budget of the account's own people and partners.
pub(super) fn is_limited(by: Authority) -> bool {
    matches!(by, Authority::Administrator | Authority::Partner | Authority::Oneself)
}

pub(super) fn senders() -> [Scope; 3] {
    [Scope::Support, Scope::BackOffice, Scope::Operator]
}

/// The length of a link's life, which [`domain::invitation::Lifetime`] keeps to itself.
pub(super) fn length(new: &NewLink) -> Millis {
    (1..=30 * 24)
        .map(Millis::hours)
        .find(|length| domain::invitation::Lifetime::hours(length.0 / 3_600_000) == Ok(new.lifetime))
        .unwrap()
}

pub(super) fn answered(against: Against) -> Answer {
    if against.is_empty() { Accepted } else { Refused(against.0) }
}
