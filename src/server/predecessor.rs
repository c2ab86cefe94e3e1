//! The process before, which hands its sockets over.

#[cfg(target_os = "linux")]
use std::sync::Arc;

use super::listener::Listener;
#[cfg(target_os = "linux")]
use super::{socket::ListeningSocket, succession::Announcement};

/// The predecessor that waits until this server serves, if there is one.
pub struct Predecessor {
    #[cfg(target_os = "linux")]
    listeners: Vec<(Arc<ListeningSocket>, Announcement)>,
}

impl Predecessor {
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "only Linux has hand-overs"))]
    pub fn of(listeners: &mut [Listener]) -> Self {
        Self {
            #[cfg(target_os = "linux")]
            listeners: listeners
                .iter_mut()
                .filter_map(|it| Some((Arc::clone(&it.socket), it.announcement.take()?)))
                .collect(),
        }
    }

    /// Tells the predecessor that the server serves.
    pub fn succeed(self) {
        let Self {
            #[cfg(target_os = "linux")]
            listeners,
        } = self;
        #[cfg(target_os = "linux")]
        for (socket, announcement) in listeners {
            socket.take_file_over();
            announcement.serves();
        }
    }
}
