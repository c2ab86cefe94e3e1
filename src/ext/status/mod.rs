//! The status page: what the servers of a `Metrics` do, live in a browser (feature `status`).

mod access;
mod events;
mod feed;
mod json;
mod measure;
mod page;
mod routes;

pub use page::StatusPage;
