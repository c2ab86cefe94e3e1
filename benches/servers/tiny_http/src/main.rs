//! tiny_http, answered by four threads as in its example.
//!
//!     serve-tiny_http --port 8080 --file FILE

#[path = "../../options.rs"]
mod options;

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use options::option;
use socket2::{Domain, Socket, Type};
use tiny_http::{Header, Method, Request, Response, Server};

const MIB: usize = 1 << 20;
const THREADS: usize = 4;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, option("--port")).into())?;
    socket.listen(4096)?;
    let server = Server::from_listener(TcpListener::from(socket), None)?;
    let file: PathBuf = option("--file");
    let mebibyte = vec![b'x'; MIB];
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for request in server.incoming_requests() {
                    // A client that leaves early concerns nobody else.
                    let _ = answer(request, &mebibyte, &file);
                }
            });
        }
    });
    Ok(())
}

fn answer(mut request: Request, mebibyte: &[u8], file: &Path) -> io::Result<()> {
    match (request.method(), request.url()) {
        (Method::Get, "/plain") => request.respond(text("hello")),
        (Method::Get, "/wait") => {
            thread::sleep(Duration::from_millis(10));
            request.respond(text("waited"))
        }
        (Method::Get, "/bytes/1m") => request.respond(octets(mebibyte, MIB)),
        (Method::Get, "/bytes/100m") => {
            let length = 100 * MIB;
            request.respond(octets(io::repeat(b'x').take(length as u64), length))
        }
        (Method::Post, "/upload") => {
            let mut piece = vec![0; 64 * 1024];
            let mut total = 0;
            loop {
                match request.as_reader().read(&mut piece)? {
                    0 => break,
                    read => total += read,
                }
            }
            request.respond(text(&total.to_string()))
        }
        (Method::Get, "/file") => request.respond(Response::from_file(File::open(file)?)),
        _ => request.respond(Response::empty(404)),
    }
}

fn text(body: &str) -> Response<&[u8]> {
    typed("text/plain", body.as_bytes(), body.len())
}

fn octets<R: Read>(body: R, length: usize) -> Response<R> {
    typed("application/octet-stream", body, length)
}

/// Never in chunks: the length is known.
fn typed<R: Read>(kind: &str, body: R, length: usize) -> Response<R> {
    let kind = Header::from_bytes("Content-Type", kind).into_iter().collect();
    Response::new(200.into(), kind, body, Some(length), None).with_chunked_threshold(usize::MAX)
}
