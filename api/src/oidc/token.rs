//! The one verification of a signed token, ID token or access token.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::time::{Millis, Timestamp};
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::config::IssuerConfig;
use super::{Error, Issuer};

/// Furthest that a provider's clock may be from ours.
pub(super) const SKEW: Millis = Millis::seconds(60);

/// Longest token: more than a request's headers can hold, less than anything that costs time to look at.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Longest part of a subject (OpenID Connect Core section 2: 255 characters).
const SUBJECT_PART_LENGTH_MAX: usize = 255;

/// Longest name or address that is kept; a longer one is left out, as nobody could read it.
const PERSON_TEXT_LENGTH_MAX: usize = 254;

/// Latest second that a token may name: the end of the year 9999.
const SECONDS_MAX: f64 = 253_402_300_799.0;

/// What a token is to be used for, with what it must hold for that.
pub(super) enum Purpose<'a> {
    /// Tells who signed in: for our client, in the flow that sent this nonce.
    IdToken { client_id: &'a str, nonce: &'a str },
    /// Lets its bearer in: for one of these audiences, and not the ID token of our own client.
    AccessToken { audiences: &'a [String], sign_in_client_id: &'a str },
}

/// A verified token.
pub(super) struct Verified {
    pub(super) issuer: String,
    pub(super) subject: String,
    claims: Map<String, Value>,
}

/// The header's members that decide something (RFC 7515). Keys that a header brings along (`jwk`, `jku`, `x5c`, `x5u`)
/// are deliberately not among them.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

/// What a token's text says, whoever signed it.
pub(super) struct Unverified<'a> {
    token: &'a str,
    header: Header,
    claims: Map<String, Value>,
}

/// Verifies a token of this issuer: header, signature by one of the issuer's published keys, issuer, audience, times.
///
/// # Errors
/// Any of the checks fails, or the issuer's keys cannot be had.
pub(super) async fn verify(
    issuer: &Issuer,
    Unverified { token, header, claims }: Unverified<'_>,
    purpose: &Purpose<'_>,
    now: Timestamp,
) -> Result<Verified, Error> {
    let config = &issuer.config;
    let algorithm = header.algorithm(&config.algorithms)?;
    header.check(purpose)?;
    let key = issuer.directory.key(header.kid.as_deref(), algorithm).await?;
    if !key.has_signed(token, algorithm) {
        return Err(Error::SignatureInvalid);
    }

    let concrete = config.concrete_issuer(&claims).ok_or(Error::ClaimInvalid("tid"))?;
    if claims.get("iss").and_then(Value::as_str) != Some(&concrete) {
        return Err(Error::IssuerMismatch);
    }
    if key.issuer.as_ref().is_some_and(|of_key| !IssuerConfig::key_issuer_fits(of_key, &concrete, &claims)) {
        return Err(Error::KeyUnknown);
    }
    check_audience(&claims, purpose)?;
    check_times(&claims, purpose, now)?;
    let verified = Verified { issuer: concrete, subject: subject(&claims, &config.subject_claims)?, claims };
    if let Purpose::IdToken { nonce, .. } = purpose {
        verified.check_nonce(nonce)?;
        subject_part(&verified.claims, "sub")?; // required whatever else makes the subject
    }
    Ok(verified)
}

/// The number of bytes behind a base64url text.
pub(super) fn decoded_length(text: &str) -> Option<usize> {
    URL_SAFE_NO_PAD.decode(text).ok().map(|bytes| bytes.len())
}

impl<'a> Unverified<'a> {
    /// Reads a token.
    ///
    /// # Errors
    /// It is not a signed JWT.
    pub(super) fn of(token: &'a str) -> Result<Self, Error> {
        fn parsed<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        }

        if token.len() > TOKEN_BYTES_MAX {
            return Err(Error::TokenMalformed);
        }
        let (signed, _) = token.rsplit_once('.').ok_or(Error::TokenMalformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Error::TokenMalformed)?;
        Ok(Self {
            token,
            header: parsed(header).ok_or(Error::TokenMalformed)?,
            claims: parsed(claims).ok_or(Error::TokenMalformed)?, // the dots of an encrypted token are no base64
        })
    }

    /// The issuer that it claims to be of. Selects a configuration and nothing else.
    ///
    /// # Errors
    /// It names none.
    pub(super) fn issuer(&self) -> Result<&str, Error> {
        self.claims.get("iss").and_then(Value::as_str).ok_or(Error::ClaimInvalid("iss"))
    }
}

impl Header {
    fn algorithm(&self, allowed: &[Algorithm]) -> Result<Algorithm, Error> {
        let algorithm = Algorithm::from_str(&self.alg).ok();
        algorithm.filter(|algorithm| allowed.contains(algorithm)).ok_or(Error::AlgorithmRefused)
    }

    /// Keeps the kinds of token apart (RFC 8725 section 3.11) and refuses what must be understood and is not.
    fn check(&self, purpose: &Purpose<'_>) -> Result<(), Error> {
        let typ = self.typ.as_deref().map(str::to_ascii_lowercase);
        let typ = typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
        let fits = match (typ, purpose) {
            (None | Some("jwt"), _) => true,
            (Some(typ), Purpose::AccessToken { .. }) => typ == "at+jwt",
            (Some(_), Purpose::IdToken { .. }) => false,
        };
        if fits && self.crit.is_none() { Ok(()) } else { Err(Error::HeaderRefused) }
    }
}

impl Verified {
    /// When the person proved who they are.
    pub(super) fn authenticated_at(&self, now: Timestamp) -> Result<Timestamp, Error> {
        let at = match seconds(&self.claims, "auth_time")? {
            Some(at) => at,
            None => seconds(&self.claims, "iat")?.ok_or(Error::ClaimInvalid("iat"))?,
        };
        Ok(at.min(now))
    }

    /// A text about the person for people to read; none if it is missing, empty, too long or not printable.
    pub(super) fn person_text(&self, claim: &str) -> Option<String> {
        let text = self.claims.get(claim)?.as_str()?.trim();
        let readable = !text.is_empty() && text.len() <= PERSON_TEXT_LENGTH_MAX && !text.contains(char::is_control);
        readable.then(|| text.to_owned())
    }

    /// The words of a claim that is a list of texts or one text; none where it is something else.
    pub(super) fn words(&self, claim: &str) -> Vec<&str> {
        match self.claims.get(claim) {
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(word)) => vec![word],
            _ => Vec::new(),
        }
    }

    /// When the person proved the identity, if the token says so; a token may have been renewed long after.
    pub(super) fn auth_time(&self) -> Option<Timestamp> {
        seconds(&self.claims, "auth_time").ok().flatten()
    }

    /// Whether a claim is true; some providers write it as a text.
    pub(super) fn says_true(&self, claim: &str) -> bool {
        matches!(self.claims.get(claim), Some(Value::Bool(true)))
            || self.claims.get(claim).and_then(Value::as_str) == Some("true")
    }

    fn check_nonce(&self, expected: &str) -> Result<(), Error> {
        let nonce = self.claims.get("nonce").and_then(Value::as_str).unwrap_or_default();
        let same = !expected.is_empty() && bool::from(nonce.as_bytes().ct_eq(expected.as_bytes()));
        if same { Ok(()) } else { Err(Error::NonceMismatch) }
    }
}

/// Checks `aud` and, where it is there or has to be, `azp` (OpenID Connect Core section 3.1.3.7, RFC 9068 section 4).
fn check_audience(claims: &Map<String, Value>, purpose: &Purpose<'_>) -> Result<(), Error> {
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().map(Value::as_str).collect::<Option<_>>().unwrap_or_default(),
        _ => Vec::new(),
    };
    match purpose {
        Purpose::IdToken { client_id, .. } => {
            if !audiences.contains(client_id) {
                return Err(Error::AudienceMismatch);
            }
            match claims.get("azp") {
                None if audiences.len() == 1 => Ok(()),
                Some(Value::String(party)) if party == client_id => Ok(()),
                _ => Err(Error::AuthorizedPartyMismatch),
            }
        }
        Purpose::AccessToken { audiences: ours, sign_in_client_id } => {
            // Where our client id is also a bearer audience, an ID token of our own sign-in must not open the API.
            let is_id_token = claims.contains_key("nonce") && audiences.contains(sign_in_client_id);
            let is_ours = ours.iter().any(|audience| audiences.contains(&audience.as_str()));
            if is_ours && !is_id_token { Ok(()) } else { Err(Error::AudienceMismatch) }
        }
    }
}

fn check_times(claims: &Map<String, Value>, purpose: &Purpose<'_>, now: Timestamp) -> Result<(), Error> {
    let expires_at = seconds(claims, "exp")?.ok_or(Error::ClaimInvalid("exp"))?;
    let issued_at = seconds(claims, "iat")?;
    let not_before = seconds(claims, "nbf")?;
    if matches!(purpose, Purpose::IdToken { .. }) && issued_at.is_none() {
        return Err(Error::ClaimInvalid("iat"));
    }
    if now >= expires_at + SKEW {
        return Err(Error::Expired);
    }
    if [issued_at, not_before].into_iter().flatten().any(|at| at > now + SKEW) {
        return Err(Error::NotYetValid);
    }
    Ok(())
}

/// A claim in seconds since the epoch, which may have a fraction (RFC 7519, NumericDate); none if it is missing.
fn seconds(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<Timestamp>, Error> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds));
    let seconds = seconds.ok_or(Error::ClaimInvalid(claim))?;
    Ok(Some(Timestamp((seconds * 1_000.0) as i64)))
}

/// The subject: the claims' values as the text of a JSON array, so that `a`, `bc` and `ab`, `c` differ.
fn subject(claims: &Map<String, Value>, names: &[String]) -> Result<String, Error> {
    let parts = names.iter().map(|name| subject_part(claims, name)).collect::<Result<Vec<_>, _>>()?;
    serde_json::to_string(&parts).map_err(|_| Error::ClaimInvalid("subject"))
}

fn subject_part<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<&'a str, Error> {
    let part = claims.get(name).and_then(Value::as_str);
    let fits = |part: &&str| !part.is_empty() && part.chars().count() <= SUBJECT_PART_LENGTH_MAX;
    part.filter(fits).ok_or(Error::ClaimInvalid("subject"))
}
