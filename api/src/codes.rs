//! Every stable code that an answer may carry, with what it means: the page that a problem's `type` leads to.

use domain::refusal::Refusal;

/// Codes of the HTTP side and of texts that are not what they have to be. Refusals bring their own.
const OWN: &[(&str, &str)] = &[
    // Who asks
    ("unauthenticated", "Send an Authorization header with a bearer token."),
    ("api_key_unknown", "The API key is unknown or was revoked."),
    ("person_needed", "Only a signed-in person can ask this, not an API key."),
    // How it is asked
    ("not_found", "There is nothing at this path."),
    ("method_not_allowed", "The path takes other methods only; Allow lists them."),
    ("host_unknown", "The service does not answer for this host."),
    ("content_type", "Send the body as application/json."),
    ("malformed_json", "The body is not JSON."),
    ("invalid_body", "The body is JSON, but not as the document describes it."),
    ("invalid_query", "A query parameter is not as the document describes it."),
    ("invalid_form", "The form is not as our pages send it."),
    ("body_too_large", "The body is too large or did not arrive whole."),
    ("cursor_invalid", "The cursor is not one that a list gave."),
    ("idempotency_key_invalid", "An Idempotency-Key has 1 to 255 visible ASCII characters."),
    ("lifetime_out_of_bounds", "A link works for 1 to 720 hours."),
    ("too_many_invitations", "At most 199 invitations are sent again at once."),
    ("retry_without_choice", "Name the invitations to send again, or the state of their mail."),
    ("bounce_status_invalid", "An enhanced status code has the form 5.1.1 (RFC 3463)."),
    ("time_invalid", "A time is not in the form of RFC 3339."),
    ("as_of_invalid", "as_of is a time of the past in the form of RFC 3339, or a position that the log has reached."),
    ("tag_invalid", "A tag is account, professional, invitation, identity or customer-number, a colon and a value."),
    ("event_type_unknown", "There is no event type of that name."),
    ("actor_invalid", "An actor is identity:<id>, key:<id>, cli:<user>, worker:<name> or link."),
    // Addresses
    ("address_at_sign", "An address has exactly one @."),
    ("address_too_long", "An address has at most 254 bytes."),
    ("address_hidden_character", "An address has no control, bidirectional or zero-width characters."),
    ("address_white_space", "An address has no white space inside."),
    ("address_local_part_empty", "Something stands before the @."),
    ("address_local_part_dots", "No dot stands first, last or twice in a row before the @."),
    ("address_local_part_quoted", "Quoted parts before the @ are not taken."),
    ("address_local_part_character", "A character before the @ is not allowed there."),
    ("address_local_part_too_long", "At most 64 bytes stand before the @."),
    ("address_ip_address", "IP addresses after the @ are not taken."),
    ("address_domain", "What stands after the @ is no domain name."),
    ("address_domain_single_label", "A domain name has at least one dot."),
    ("address_domain_too_long", "A domain name has at most 253 bytes."),
    // Names and numbers
    ("name_empty", "A name has at least one character."),
    ("name_too_long", "A name has at most 80 characters."),
    ("name_hidden_character", "A name has no control, bidirectional or zero-width characters."),
    ("name_link", "A name holds nothing that a mail program would make a link of."),
    ("customer_number_length", "A customer number has 3 to 32 characters."),
    ("customer_number_character", "A customer number has letters, digits and hyphens."),
    ("reason_empty", "A reason has at least one character."),
    ("reason_too_long", "A reason has at most 500 characters."),
    ("reason_hidden_character", "A reason has no control characters."),
    // Signing in and bearer tokens
    ("sign_in_not_begun_here", "The sign-in was not begun in this browser, or took too long."),
    ("flow_ended", "The page belongs to another browser, or was left open for too long."),
    ("flow_changed", "The same form was sent twice at the same time."),
    ("cross_site", "The form did not come from a page of ours that is open in this browser."),
    ("unknown_issuer", "The issuer is not configured."),
    ("issuer_disabled", "The issuer is switched off."),
    ("provider_unreachable", "The sign-in provider does not answer now."),
    ("provider_misfit", "What the provider answered does not fit the configuration or the standard."),
    ("callback_issuer_missing", "The provider's answer names no issuer though it promises to (RFC 9207)."),
    ("callback_issuer_mismatch", "The provider's answer names another issuer (RFC 9207)."),
    ("code_refused", "The provider refused the authorization code."),
    ("client_refused", "The provider refused this service's client id or secret."),
    ("token_malformed", "The token is not a signed JWT."),
    ("token_header_refused", "The token's header says something that is not understood."),
    ("token_algorithm_refused", "The token's algorithm is not on the issuer's list."),
    ("token_key_unknown", "The issuer publishes no key that fits the token."),
    ("token_signature_invalid", "The token's signature is not that of the issuer's key."),
    ("token_issuer_mismatch", "The token is of another issuer."),
    ("token_audience_mismatch", "The token is for another audience."),
    ("token_authorized_party_mismatch", "The token was made for another client."),
    ("bearers_not_accepted", "The issuer is configured without audiences for bearer tokens."),
    ("token_claim_invalid", "A claim of the token is missing or malformed."),
    ("token_expired", "The token has expired."),
    ("token_not_yet_valid", "The token is not valid yet."),
    ("token_nonce_mismatch", "The token belongs to another sign-in."),
    // Guards with blockers
    ("last_administrator", "An account with people always has an administrator."),
    ("mandatory_role_unheld", "Each mandatory contact role always has exactly one holder."),
    ("appointment_needed", "The account has an administrator with an identity; partners and support appoint another."),
    ("deletion_blocked", "Somebody else must take the person's place first; every blocker is listed."),
    ("last_professional", "The account's last person is not deleted; support can close the account."),
    ("is_administrator", "An administrator is not deleted: take the role away, or hand over."),
    ("holds_mandatory_role", "The holder of a mandatory contact role is not deleted: give the role to somebody else."),
    ("address_already_in_account", "The address is registered for another professional of the account."),
    // Imports: of a whole one, then of its files, then of a row
    ("unknown_import", "There is no such import, or its results are no longer kept."),
    ("too_many_imports", "Too many imports are under way. Try again later."),
    ("import_interrupted", "The service stopped while the import ran. Ask again: what is missing will be done."),
    ("file_too_large", "A file of an import is too large."),
    ("file_unreadable", "A file of an import cannot be read."),
    ("header_missing", "A file of an import is empty."),
    ("header_unknown_column", "The header has a column that is not known, or the separator is not a comma."),
    ("header_missing_column", "The header lacks a column."),
    ("header_column_twice", "The header has a column twice."),
    ("too_many_rows", "A file of an import has too many rows."),
    ("row_unreadable", "The row cannot be read."),
    ("row_columns", "The row has more or fewer columns than the header."),
    ("row_not_utf8", "The row is not in UTF-8."),
    ("field_too_long", "A field is too long; a quotation mark may be missing."),
    ("kind_unknown", "An account is a customer or a partner."),
    ("kind_differs", "The account is there, of the other kind."),
    ("plan_incomplete", "A plan has a name, a start and an end."),
    ("too_many_partners", "The row names too many partners."),
    ("unknown_partner", "A partner that the row names has no account."),
    ("language_unknown", "The language is none that mail is written in."),
    ("role_unknown", "The role is none of the four."),
    ("send_invitation_invalid", "send_invitation is true or false."),
    // Our side
    ("busy", "Too many commands are waiting. Try again soon, with the same Idempotency-Key."),
    (
        "unavailable",
        "The service cannot answer now. A command may have been executed: try again with the same Idempotency-Key.",
    ),
    ("not_durable", "The database could lose what it acknowledges, so nothing is written."),
    ("internal", "Something is out of order on our side; the log has it under the answer's request id."),
];

/// Every code with its meaning, refusals first.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    Refusal::CODES.iter().chain(OWN).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The first code-like text literal after each of these words, in every source file below a folder.
    fn codes_in(folder: &Path, words: &[&str]) -> BTreeSet<String> {
        let mut codes = BTreeSet::new();
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                codes.extend(codes_in(&path, words));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                for word in words {
                    for (start, _) in text.match_indices(word) {
                        let rest: String = text[start + word.len()..].chars().take(120).collect();
                        let literal = rest.split('"').nth(1).unwrap_or_default();
                        if !literal.is_empty() && literal.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                            codes.insert(literal.to_string());
                        }
                    }
                }
            }
        }
        codes
    }

    #[test]
    fn every_code_of_an_answer_is_described_once() {
        let described: Vec<&str> = all().map(|(code, _)| code).collect();
        let distinct: BTreeSet<&str> = described.iter().copied().collect();
        assert_eq!(distinct.len(), described.len(), "a code is described twice");
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let made =
            ["Problem::new(", "Problem::invalid(", "Problem::unauthenticated(", "Problem::not_found(", "Self::new("];
        let mut used = codes_in(&here.join("src"), &made);
        used.extend(
            codes_in(&here.join("src/oidc"), &["Self::"]).into_iter().filter(|code| code.starts_with("token_")),
        );
        used.extend(codes_in(&here.join("../domain/src"), &["=> "]).into_iter().filter(|code| {
            ["address_", "name_", "customer_number_", "reason_"].iter().any(|start| code.starts_with(start))
        }));
        used.extend(codes_in(&here.join("../domain/src"), &["            code: "]));
        assert!(used.len() > 40, "the search finds codes: {used:?}");
        let missing: Vec<&String> = used.iter().filter(|code| !distinct.contains(code.as_str())).collect();
        assert!(missing.is_empty(), "not described: {missing:?}");
    }
}
