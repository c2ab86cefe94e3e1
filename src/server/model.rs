//! The models of serving, and their names.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// The way in which a server drives its connections.
///
/// Handlers, limits, deadlines and stops are the same in each model.
/// `docs/three-models.md` says when to choose which. `Display` and `FromStr` use the names
/// `sequential`, `threads` and `event`.
///
/// ```
/// use transom::{Model, Request, Router, Server};
///
/// let model: Model = "threads".parse()?;
/// assert_eq!(model, Model::ThreadPerConnection);
/// let app = Router::new().get("/", async |_: Request| "hello");
/// let server = Server::new(app).model(model).bind("127.0.0.1:0")?.start()?;
/// # drop(server);
/// # Ok::<(), transom::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Model {
    /// One thread serves one connection at a time. The thread also runs the handlers, blocking
    /// ones too, so that no two handlers run at once.
    ///
    /// Other clients wait in the kernel's backlog ([`Limits::backlog`](crate::Limits::backlog)).
    /// While a client waits, the connection being served closes after its current answer, or
    /// after it has sent no request for [`Timeouts::drain`](crate::Timeouts::drain).
    Sequential,
    /// Each connection has a thread. The thread also runs the handlers, blocking ones too.
    ///
    /// When all [`Limits::connection_threads`](crate::Limits::connection_threads) are in use,
    /// new clients wait in the kernel's backlog, and connections make room for them as in
    /// `Sequential`.
    ThreadPerConnection,
    /// A few threads ([`Server::workers`](crate::Server::workers)) drive all connections.
    /// Blocking handlers run on a pool of threads.
    #[default]
    EventDriven,
}

const NAMES: [(&str, Model); 3] = [
    ("sequential", Model::Sequential),
    ("threads", Model::ThreadPerConnection),
    ("event", Model::EventDriven),
];

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, model)| model == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for Model {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, model)| *model);
        known.ok_or(Error::BadSetting { name: "model", reason: "it is sequential, threads or event" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_models_are_one_to_one() {
        for (name, model) in NAMES {
            assert_eq!((model.to_string().as_str(), name.parse::<Model>().unwrap()), (name, model));
        }
        let error = "Threads".parse::<Model>().unwrap_err().to_string();
        assert!(error.contains("sequential, threads or event"), "{error}");
    }
}
