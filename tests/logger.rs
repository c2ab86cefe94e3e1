//! A logger that panics, as one does that prints to a full disk: that costs the line,
//! and neither a thread of the server nor a request. It is the logger of the whole
//! process, so it is alone in its binary.

mod common;

const MODEL: Model = Model::EventDriven;

use std::sync::atomic::{AtomicUsize, Ordering};

use log::{LevelFilter, Log, Metadata, Record};
use transom::{Context, Handler, Limits, Model, Reply, Request, Router, Server, blocking};

use common::Client;

struct Panics;

static LINES: AtomicUsize = AtomicUsize::new(0);

impl Log for Panics {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target() == "transom" {
            LINES.fetch_add(1, Ordering::SeqCst);
            panic!("on purpose: nothing can be written");
        }
    }

    fn flush(&self) {}
}

/// Panics when it is dropped, in whoever drops it.
struct PanicsTwice;

impl Drop for PanicsTwice {
    fn drop(&mut self) {
        panic!("on purpose: once more");
    }
}

/// Has a job run that panics.
struct Jobs;

impl Handler for Jobs {
    fn call(&self, _: Request, context: &Context<'_>) -> Reply {
        context.run_blocking(|| panic!("on purpose: in a job")).unwrap();
        Reply::now("begun")
    }
}

#[test]
fn a_logger_that_panics_costs_its_lines_and_nothing_else() {
    log::set_logger(&Panics).unwrap();
    log::set_max_level(LevelFilter::Trace);
    for model in [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven] {
        let app = Router::new()
            .get("/", async |_: Request| "well")
            .get("/panics", async |_: Request| -> &str { panic!("on purpose: in a handler") })
            .get("/panics-twice", async |_: Request| -> &str { std::panic::panic_any(PanicsTwice) })
            .get("/blocking", blocking(|_: Request| -> &str { panic!("on purpose: on the pool") }))
            .get("/jobs", Jobs);
        let mut limits = Limits::default();
        (limits.pool_threads, limits.connection_threads) = (1, 2);
        let server = Server::new(app).model(model).workers(1).limits(limits);
        let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
        let before = LINES.load(Ordering::SeqCst);
        // More often than there are threads to lose.
        for _ in 0..4 {
            let mut client = Client::connect(&server);
            for path in ["/panics", "/panics-twice", "/blocking"] {
                assert_eq!(client.get(path).status, 500, "{model} {path}");
            }
            client.get("/jobs").expect(200, "begun");
            client.get("/").expect(200, "well");
            client.send("nonsense\r\n\r\n");
            assert_eq!(client.answer().status, 400);
        }
        assert!(LINES.load(Ordering::SeqCst) - before >= 4 * 4, "it was not asked to log");
    }
}
