//! The hook for the server's own answers: a function of the host that words them.

use std::ffi::c_void;

use transom::{OwnAnswer, Response};

use crate::bytes::transom_bytes;
use crate::exchange_hook::AddressText;
use crate::reject;
use crate::response::transom_response;
use crate::status::transom_status;
use crate::user_data::UserData;

/// An answer that the server gives by itself, and its request as far as it is known. The bytes
/// are valid during the call only. Later versions of the library may add members at the end: a
/// member exists if `size` is large enough.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct transom_own_answer {
    /// The size of this structure in the library that is loaded.
    pub size: usize,
    /// The method. Absent if the head of the request was refused, or none came.
    pub method: transom_bytes,
    /// The request target, percent-encoded. Absent as the method is, and if the request line
    /// is longer than 96 bytes.
    pub target: transom_bytes,
    /// The other end of the connection, as in transom_request_peer.
    pub peer: transom_bytes,
    /// The status code of the answer.
    pub status_code: u16,
    /// 0.
    pub reserved: u16,
    /// Why the server refuses the request or the connection: a transom_reject. 0 if it does
    /// not refuse it.
    pub reject: i32,
}

/// A function that words an answer of the server's own: see transom_server_own_answers.
pub type transom_own_answer_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        answer: *const transom_own_answer,
        response: *mut transom_response,
    ),
>;

/// The function of the host with its user data.
pub(crate) struct OwnAnswerHook {
    function: unsafe extern "C" fn(*mut c_void, *const transom_own_answer, *mut transom_response),
    user_data: UserData,
}

impl OwnAnswerHook {
    pub fn new(function: transom_own_answer_fn, user_data: UserData) -> Result<Self, transom_status> {
        Ok(Self { function: function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?, user_data })
    }

    /// Has the host word an answer. Without its changes, the client gets `given`.
    pub fn word(&self, answer: &OwnAnswer<'_>, given: Response) -> Response {
        let peer = AddressText::of(answer.peer());
        let known = transom_own_answer {
            size: size_of::<transom_own_answer>(),
            method: answer.method().map(str::as_bytes).into(),
            target: answer.target().map(str::as_bytes).into(),
            peer: transom_bytes::of(peer.as_bytes()),
            status_code: answer.status().as_u16(),
            reserved: 0,
            reject: reject::number(answer.reject()),
        };
        let mut response = transom_response::new(given);
        // SAFETY: the host's function with its user data; by the contract, any thread may call
        // it. The structures outlive the call, and nobody else uses them.
        unsafe { (self.function)(self.user_data.pointer(), &raw const known, &raw mut response) }
        response.into_inner()
    }
}
