//! What holds over sockets, once for each model: the crates `event`, `threads`
//! and `sequential` include this and say which. A test that cannot hold in a
//! model says so in its first line, with the reason, in [`not_in`].

/// Leaves a test that cannot hold in these models, and says why.
macro_rules! not_in {
    ($($model:ident),+: $reason:literal) => {
        if [$(transom::Model::$model),+].contains(&crate::MODEL) {
            println!("not in {}: {}", crate::MODEL, $reason);
            return;
        }
    };
}

mod errors;
mod exchange;
mod faults;
mod files;
mod handlers;
mod in_place;
mod large_pieces;
mod limits;
mod listeners;
mod pieces;
mod readiness;
mod routes;
mod state;
mod stop;
mod timeouts;
mod wraps;
