//! Refusals and people in the words of the pages.

use domain::refusal::Refusal;
use domain::words::{AccountKind, IdentityKind, Role};
use projections::accounts::AccountRow;
use projections::identities::IdentityRow;
use projections::invitations::InvitationContext;
use projections::professionals::ProfessionalRow;

use super::views::{Choice, Entry, IdentityView, IssuerButton, LinkEnd, ProfileCard};
use crate::state::Api;
use crate::v1::me::barred;

/// Which bad end a refusal is, if it is one of a link's.
pub(super) fn link_end(refusal: &Refusal) -> Option<LinkEnd> {
    Some(match refusal {
        Refusal::InvitationExpired => LinkEnd::Expired,
        Refusal::InvitationSuperseded => LinkEnd::Superseded,
        Refusal::InvitationRevoked => LinkEnd::Revoked,
        Refusal::AlreadyUsed => LinkEnd::AlreadyUsed,
        Refusal::InvitationFrozen | Refusal::NoServicePlan => LinkEnd::Frozen,
        Refusal::UnknownInvitation | Refusal::UnknownAccount => LinkEnd::Unknown,
        Refusal::UnknownProfessional => LinkEnd::ProfessionalGone,
        _ => return None,
    })
}

/// What a person can do about a problem.
pub(super) fn next_steps(code: &str) -> Vec<String> {
    let step = match code {
        "flow_ended" | "flow_changed" | "cross_site" => "Open the link in the mail again, in this browser.",
        "identity_already_in_account" => "Use another account, or sign in to see the profile that you have.",
        "association_exists" => "Ask an administrator of the account, or support, to send the invitation again.",
        "mailbox_codes_used_up" | "latest_link_used_up" => {
            "Ask an administrator of the account to send a new invitation."
        }
        "link_of_another_identity" => {
            "Sign in as you were when you asked for this link, or ask for links again with this sign-in."
        }
        "not_found" => "Check the address, or open the link in the mail again.",
        _ => "Try again in a moment.",
    };
    vec![step.into()]
}

/// The account's kind in words.
pub(super) const fn kind_of_account(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::Customer => "Customer account",
        AccountKind::Partner => "Partner account",
    }
}

/// A role in words.
pub(super) const fn role(role: Role) -> &'static str {
    match role {
        Role::Administrator => "Administrator",
        Role::BillingContact => "Billing contact",
        Role::CustomerCareContact => "Customer care contact",
        Role::ShippingContact => "Shipping contact",
    }
}

pub(super) fn roles(professional: &ProfessionalRow) -> Vec<String> {
    professional.roles.iter().map(|held| role(*held).into()).collect()
}

pub(super) const fn kind_of_identity(kind: IdentityKind) -> &'static str {
    match kind {
        IdentityKind::Personal => "personal account",
        IdentityKind::Organizational => "work or school account",
    }
}

/// `r…s@harbour.example`: enough for its owner to know it by.
pub(super) fn masked(address: &str) -> String {
    let Some((local, domain)) = address.rsplit_once('@') else { return "…".into() };
    let mut chars = local.chars();
    match (chars.next(), chars.next_back()) {
        (Some(first), Some(last)) if local.chars().count() > 3 => format!("{first}…{last}@{domain}"),
        (Some(first), _) => format!("{first}…@{domain}"),
        _ => format!("…@{domain}"),
    }
}

/// Who invites, in words.
pub(super) fn inviter(context: &InvitationContext) -> String {
    match &context.inviter {
        Some(inviter) if inviter.id == context.professional.id => "Yourself".into(),
        Some(inviter) => {
            let name = inviter.name.as_deref().unwrap_or("Somebody");
            let of = context.partner.as_ref().map_or(&context.account.name, |partner| &partner.name);
            format!("{name}, administrator of {of}")
        }
        None if context.invitation.bound_to.is_some() => "Yourself, by the address you are known by".into(),
        None => "Support".into(),
    }
}

/// A signed-in identity in words.
pub(super) fn identity(api: &Api, row: &IdentityRow) -> IdentityView {
    let issuer = api.providers.issuer(&row.issuer).map_or_else(|| row.issuer.clone(), |it| it.display_name.clone());
    IdentityView {
        name: row.name.clone().or_else(|| row.address.clone()).unwrap_or_else(|| "Signed in".into()),
        address: row.address.clone(),
        issuer,
        kind: kind_of_identity(row.kind).into(),
    }
}

/// The ways to sign in.
pub(super) fn issuers(api: &Api) -> Vec<IssuerButton> {
    let button = |issuer: &crate::oidc::IssuerConfig| IssuerButton {
        id: issuer.key.clone(),
        label: issuer.display_name.clone(),
        hint: match issuer.kind {
            IdentityKind::Personal => "An account of your own.".into(),
            IdentityKind::Organizational => "An account from your employer or school.".into(),
        },
        create_url: issuer.create_account_url.clone(),
    };
    api.providers.enabled().map(button).collect()
}

/// A profile on a page of its owner.
pub(super) fn profile_card(api: &Api, professional: &ProfessionalRow, account: &AccountRow) -> ProfileCard {
    let portal = api.settings.portals.of(account.kind);
    let now = api.store.clock().now();
    ProfileCard {
        name: professional.name.clone().unwrap_or_else(|| "Erased".into()),
        address: professional.address.clone().unwrap_or_default(),
        account_name: account.name.to_string(),
        account_kind: kind_of_account(account.kind).into(),
        customer_number: Some(account.customer_number.to_string()),
        portal: portal.name.clone(),
        roles: roles(professional),
        plan: account.plan.as_ref().map(|plan| {
            let until = plan.ends_at.in_words();
            format!("{} until {}", plan.name, until.split(',').next().unwrap_or_default())
        }),
        entry: match barred(account, now) {
            None => Entry::Open { portal_url: portal.url.clone() },
            Some(barred) => Entry::Closed { reason: barred.reason.into(), next_step: barred.next_step.into() },
        },
        history_url: professional.is_administrator().then(|| format!("/profile/history/{}", account.id)),
        choice: Choice::None,
    }
}

/// The second of an event, from its RFC 3339 text: `2026-11-20 08:00:12 UTC`.
pub fn second(rfc3339: &str) -> String {
    rfc3339.get(..19).map_or_else(|| rfc3339.into(), |text| format!("{} UTC", text.replace('T', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_address_shows_its_owner_enough_and_nobody_the_rest() {
        assert_eq!(masked("robin.rivers@harbour.example"), "r…s@harbour.example");
        assert_eq!(masked("bo@harbour.example"), "b…@harbour.example");
        assert_eq!(masked("no address"), "…");
    }
}
