//! The C interface of Transom: every `extern "C"` function of `transom.h`, and all unsafe
//! code of the project.
//!
//! It uses the public API of the `transom` crate only. The comment at the top of the header
//! (in `cbindgen.toml`) is the contract with the host: ownership, threads, errors, lifetimes.
//! `SAFETY` comments call it "the contract". The doc comments of public items become the
//! comments of the header, and are written for C programmers.

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(clippy::undocumented_unsafe_blocks)]
#![allow(non_camel_case_types, reason = "public types carry the names they have in C")]
#![allow(clippy::doc_markdown, reason = "the header's comments are no Markdown")]
#![allow(
    clippy::missing_safety_doc,
    reason = "what a caller owes is the contract at the top of the header, the same for every function"
)]

#[cfg(not(panic = "unwind"))]
compile_error!("the C layer turns panics into TRANSOM_PANIC and needs panic = \"unwind\"");

#[macro_use]
mod guard;

mod access_log;
mod broadcast;
mod brought;
mod bytes;
mod carry;
mod client;
mod compression;
mod congestion;
mod connection;
mod connections;
mod cookies;
mod decoded;
mod error;
mod events;
mod exchange;
mod exchange_hook;
mod fields;
mod file;
mod handler;
mod hooks;
mod hosts;
mod incoming;
mod last_head;
mod library;
mod list;
mod listeners;
mod loads;
mod log_lines;
mod log_queue;
mod log_sink;
mod logger;
mod metric_records;
mod metrics;
mod middleware;
mod multipart;
mod names;
mod notices;
mod overload;
mod own_answer;
mod own_body;
mod packed;
mod percent;
mod process;
mod proxies;
mod pull;
mod pull_queue;
mod reject;
mod request;
mod responder;
mod response;
mod restart;
mod route;
mod routes;
mod run;
mod running;
mod server;
mod server_hooks;
mod settings;
mod setup;
mod signal;
mod slots;
mod slow_reader;
mod sse;
mod sse_broadcast;
mod sse_event;
mod static_files;
mod stats;
mod status;
mod status_page;
mod stopping;
mod stops;
mod system;
mod timeout;
mod tls;
mod tls_info;
mod tls_listeners;
mod upgraded;
mod user_data;
mod values;
mod waiters;
mod watch;
mod watchdog;
mod websocket;
mod websocket_message;
mod websocket_receive;
mod websocket_send;
mod websocket_upgrade;
mod websocket_watch;
mod wrap;
mod writer;
