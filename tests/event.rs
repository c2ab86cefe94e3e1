//! The socket tests in the event-driven model.

mod common;
mod sockets;

const MODEL: transom::Model = transom::Model::EventDriven;
