//! The refusal of a handshake.

use std::fmt;

use crate::HttpError;
use crate::IntoResponse;
use crate::Response;
use crate::StatusCode;
use crate::websocket::Refusal;

/// The refusal of a handshake by [`WebSocketUpgrade::open`](super::WebSocketUpgrade::open): the error,
/// and the answer that RFC 6455 4.4 demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketRefusal(Refusal);

impl WebSocketRefusal {
    /// Returns the status of the answer: 426, 400 or 403.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }
}

impl From<Refusal> for WebSocketRefusal {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for WebSocketRefusal {
    fn into_response(self) -> Response {
        let response = Response::text(format!("{self}\n")).status(self.status());
        match self.0 {
            Refusal::NotAsked | Refusal::Version => {
                response.header("upgrade", "websocket").header("sec-websocket-version", "13")
            }
            Refusal::Key | Refusal::Origin => response,
        }
    }
}

impl From<WebSocketRefusal> for HttpError {
    fn from(refusal: WebSocketRefusal) -> Self {
        Self::respond(refusal)
    }
}

impl fmt::Display for WebSocketRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.text())
    }
}
