//! RFC 9112 as functions over bytes: no I/O, no clock, no executor.

mod announce;
mod chunked;
mod encode;
mod framing;
mod head;
mod host;
mod plan;
mod trailers;

pub(crate) use announce::{announce, announce_early};
pub(crate) use chunked::Chunked;
pub(crate) use encode::{
    CHUNK_END, CONTINUE, LAST_CHUNK, chunk_start, head as encode_head, head_room, interim as encode_interim,
    switch as encode_switch,
};
pub(crate) use framing::{Facts, Framing, offers};
pub(crate) use head::{HeadReader, asks_for_head};
pub(crate) use host::{is_allowed as is_allowed_host, is_host};
pub(crate) use plan::{Payload, Plan, plan};
pub(crate) use trailers::{may_trail, permitted as permitted_trailers};
