//! The ways to serve, and their names.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// How a server drives its connections. The same handlers, limits, deadlines
/// and stops hold in each; see `docs/three-models.md` for when to choose which.
///
/// The names that `Display` and `FromStr` use are `sequential`, `threads` and
/// `event`.
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
    /// One connection at a time on one thread, which runs the handlers too, those
    /// that block among them: nothing of the host runs twice at once. Other
    /// clients wait in the kernel's backlog ([`Limits::backlog`](crate::Limits::backlog)).
    /// While one waits, the connection being served is closed after its answer, or
    /// when it has asked nothing for [`Timeouts::drain`](crate::Timeouts::drain).
    Sequential,
    /// Each connection has a thread, which runs its handlers too, those that
    /// block among them. With all threads taken
    /// ([`Limits::connection_threads`](crate::Limits::connection_threads)), new
    /// clients wait in the kernel's backlog, and connections make room for them
    /// as in `Sequential`.
    ThreadPerConnection,
    /// A few workers drive all connections; handlers that block have a pool of
    /// threads. See [`Server::workers`](crate::Server::workers).
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
