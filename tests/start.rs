//! Starting a server, in each model, when it has been told to stop already.

use std::time::Duration;

use transom::{Model, Router, Server, Stopper};

#[test]
fn a_server_that_was_told_to_stop_before_its_start_starts_and_ends() {
    for model in [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven] {
        for _ in 0..100 {
            let stopper = Stopper::new();
            stopper.stop(Duration::ZERO);
            let server = Server::new(Router::new()).model(model).workers(4).stopper(&stopper);
            let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
            let ended = server.wait_timeout(Duration::from_secs(20)).unwrap();
            assert!(ended.is_some(), "{model} goes on");
        }
    }
}
