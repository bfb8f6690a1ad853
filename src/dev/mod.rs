//! Development only: the OpenID provider with sample people.

pub mod provider;
pub mod views;
