//! What the service serves, asked from outside: the JSON API, the hosted pages and the command line.
//!
//! Each test runs `vinculum serve`, as the embedded default or as the production service on PostgreSQL with a real
//! OpenID provider. Reading order: `site` is the service with its surroundings, `client` asks its JSON API, `cast` are
//! accounts and people to ask about; then the tests. Names cite the rows of the threat table.

mod support;

mod web {
    mod site;
    mod client;
    mod cast;

    mod engines;
    mod access;
    mod api;
    mod auditing;
    mod authority;
    mod browsers;
    mod commands;
    mod documents;
    mod erasure;
    mod headers;
    mod leaks;
    mod links;
    mod operators;
    mod partners;
    mod people;
    mod requests;
    mod tenants;
}
