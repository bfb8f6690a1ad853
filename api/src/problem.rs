//! Errors as the API tells them: RFC 9457 problem details with a stable code.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::refusal::{Refusal, RefusalKind};
use projections::views::QueryError;
use serde::Serialize;
use store::{ExecuteError, ReadError};
use utoipa::ToSchema;

use crate::oidc;

/// Seconds after which a caller that was told to come back may do so.
const RETRY_AFTER_SECONDS: &str = "1";
/// Where the codes are described; relative to the service's base.
const TYPE_BASE: &str = "/docs/problems#";

/// One thing that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Blocker {
    /// The stable code.
    #[schema(example = "last_administrator")]
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// The professional that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub professional: Option<String>,
    /// What would get past it: method and path, relative to the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// A problem (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Where the code is described.
    #[serde(rename = "type")]
    #[schema(example = "/docs/problems#unknown_account")]
    pub problem_type: String,
    /// One sentence for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    #[schema(example = "unknown_account")]
    pub code: String,
    /// Everything that stands in the way, where a guard stops something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub blockers: Vec<Blocker>,
}

impl Problem {
    /// A problem with a stable code and a sentence for people.
    pub fn new(status: StatusCode, code: &str, title: impl Into<String>) -> Self {
        Self {
            problem_type: format!("{TYPE_BASE}{code}"),
            title: title.into(),
            status: status.as_u16(),
            code: code.into(),
            blockers: Vec::new(),
        }
    }

    /// No such thing, or the caller may not know of it.
    pub fn not_found(code: &str, title: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, title)
    }

    /// The caller did not say who it is, or not so that we believe it.
    pub fn unauthenticated(code: &str, title: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, title)
    }

    /// What was sent makes no sense.
    pub fn invalid(code: &str, title: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, title)
    }

    /// Something is out of order on our side; it was logged.
    pub fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The service cannot answer now. Try again soon.")
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The status of a refusal.
pub fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal.kind() {
        RefusalKind::Forbidden => StatusCode::FORBIDDEN,
        RefusalKind::Unknown => StatusCode::NOT_FOUND,
        RefusalKind::Gone => StatusCode::GONE,
        RefusalKind::Conflict => StatusCode::CONFLICT,
        RefusalKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        RefusalKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        RefusalKind::Changed => StatusCode::PRECONDITION_FAILED,
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let blockers = refusal.blockers().iter().map(|blocker| Blocker {
            code: blocker.code.into(),
            message: blocker.message.clone(),
            professional: blocker.professional.map(|professional| professional.to_string()),
            command: blocker.command.clone(),
        });
        let blockers = blockers.collect();
        Self { blockers, ..Self::new(status_of(&refusal), refusal.code(), refusal.to_string()) }
    }
}

impl From<ExecuteError> for Problem {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::Refused(refusal) => refusal.into(),
            ExecuteError::Busy => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many commands are waiting. Try again soon.")
            }
            ExecuteError::NotDurable => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "not_durable",
                "The database's settings are too weak to keep what it acknowledges, so nothing is written.",
            ),
            ExecuteError::Unavailable => Self::unavailable(),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the log could not be read");
        Self::unavailable()
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the views could not be read");
        Self::unavailable()
    }
}

impl From<oidc::Error> for Problem {
    fn from(error: oidc::Error) -> Self {
        if error == oidc::Error::ProviderUnreachable {
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                error.code(),
                "The sign-in provider cannot be reached now.",
            );
        }
        Self::unauthenticated(error.code(), format!("The bearer token is not accepted: {error}."))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
