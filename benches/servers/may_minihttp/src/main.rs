//! may_minihttp with one worker. It has no streams for answers, no files, and does not heed
//! `Connection: close`, so these are left out.
//!
//!     serve-may_minihttp --port 8080

#[path = "../../options.rs"]
mod options;

use std::io::{self, BufRead};
use std::net::Ipv4Addr;
use std::time::Duration;

use may_minihttp::{HttpServer, HttpService, Request, Response};
use options::option;

const TEXT: &str = "Content-Type: text/plain";

#[derive(Clone)]
struct Site;

impl HttpService for Site {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        match (request.method(), request.path()) {
            ("GET", "/plain") => response.header(TEXT).body("hello"),
            ("GET", "/wait") => {
                may::coroutine::sleep(Duration::from_millis(10));
                response.header(TEXT).body("waited");
            }
            ("POST", "/upload") => {
                let mut body = request.body();
                let mut total = 0;
                loop {
                    let received = body.fill_buf()?.len();
                    if received == 0 {
                        break;
                    }
                    body.consume(received);
                    total += received;
                }
                response.header(TEXT).body_vec(total.to_string().into());
            }
            _ => drop(response.status_code(404, "Not Found")),
        }
        Ok(())
    }
}

fn main() -> io::Result<()> {
    may::config().set_workers(1);
    let server = HttpServer(Site).start((Ipv4Addr::LOCALHOST, option("--port")))?;
    server.join().map_err(|_| io::Error::other("the server panicked"))
}
