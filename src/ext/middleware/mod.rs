//! Ready middleware: wraps for what many programs need, each in a file of its own.

mod address_key;
mod basic_auth;
mod bearer_auth;
mod cache_control;
mod canonical_host;
mod concurrency_limit;
mod cors;
mod rate_limit;
mod redirect;
mod request_ids;
mod security_headers;
mod trailing_slash;

pub use basic_auth::BasicAuth;
pub use bearer_auth::BearerAuth;
pub use cache_control::CacheControl;
pub use canonical_host::CanonicalHost;
pub use concurrency_limit::ConcurrencyLimit;
pub use cors::Cors;
pub use rate_limit::RateLimit;
pub use request_ids::{RequestId, RequestIds};
pub use security_headers::SecurityHeaders;
pub use trailing_slash::TrailingSlash;
