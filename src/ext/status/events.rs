//! Events: the stream of one open page, from its start to the stop of the server.

use std::io;

use futures_lite::{Stream, future, stream};

use super::feed::Viewer;
use crate::Bytes;
use crate::Stopping;
use crate::sleep;

enum Events {
    Start(Viewer, Stopping),
    Next(Viewer, Stopping),
    Over,
}

/// Returns the events of a page: one at once, one each second, and a last one when the server stops. The
/// connection asks for the next one after the client has taken enough of those before.
pub(super) fn events(viewer: Viewer, stopping: Stopping) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Events::Start(viewer, stopping), next)
}

async fn next(events: Events) -> Option<(io::Result<Bytes>, Events)> {
    let (event, viewer, stopping) = match events {
        Events::Start(viewer, stopping) => (viewer.start(stopping.has_begun()), viewer, stopping),
        Events::Next(viewer, mut stopping) => {
            future::or(&mut stopping, sleep(viewer.pause())).await;
            (viewer.event(stopping.has_begun()), viewer, stopping)
        }
        Events::Over => return None,
    };
    let rest = if stopping.has_begun() { Events::Over } else { Events::Next(viewer, stopping) };
    Some((Ok(event), rest))
}
