//! The two servers of the lesson, written plainly: blocking, one connection at a time, and
//! blocking with a thread for each connection. They read a head up to its empty line, answer, and
//! keep the connection. No limits, no deadlines, no checks.
//!
//!     serve-lesson --model sequential|threads --port 8080 --backlog 4096 --file FILE

#[path = "../../options.rs"]
mod options;

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use options::option;
use socket2::{Domain, Socket, Type};

const MIB: usize = 1 << 20;
/// A head longer than this is not served.
const ROOM: usize = 16 * 1024;
/// Enough for `serve`, whose buffers are on the heap.
const STACK: usize = 64 * 1024;

/// What there is to answer with.
struct Site {
    mebibyte: Vec<u8>,
    file: PathBuf,
}

/// What the server needs to know of a request.
struct Request {
    target: String,
    content_length: usize,
    close: bool,
}

fn main() -> io::Result<()> {
    let threads = match option::<String>("--model").as_str() {
        "sequential" => false,
        "threads" => true,
        other => return Err(io::Error::other(format!("--model {other}: it is sequential or threads"))),
    };
    let listener = listen(option("--port"), option("--backlog"))?;
    let site = Arc::new(Site { mebibyte: vec![b'x'; MIB], file: option("--file") });
    loop {
        let (stream, _) = listener.accept()?;
        let site = Arc::clone(&site);
        // A client that leaves early is an error too, and concerns nobody else.
        let serve = move || drop(serve(stream, &site));
        if threads {
            thread::Builder::new().stack_size(STACK).spawn(serve)?;
        } else {
            serve();
        }
    }
}

/// A listener of that backlog: with the standard library's own, it cannot be chosen.
fn listen(port: u16, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Serves a connection to its end.
fn serve(mut stream: TcpStream, site: &Site) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; ROOM];
    let mut filled = 0;
    loop {
        let end = loop {
            if let Some(at) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut buffer[filled..])? {
                0 => return Ok(()),
                read => filled += read,
            }
        };
        let request = parse(&String::from_utf8_lossy(&buffer[..end]));
        buffer.copy_within(end..filled, 0);
        filled -= end;
        let received = filled.min(request.content_length);
        buffer.copy_within(received..filled, 0);
        filled -= received;
        answer(&mut stream, site, &request, received)?;
        if request.close {
            return Ok(());
        }
    }
}

fn parse(head: &str) -> Request {
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default();
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request { target, content_length: 0, close: false };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            request.content_length = value.trim().parse().unwrap_or(0);
        } else if name.eq_ignore_ascii_case("connection") {
            request.close = value.trim().eq_ignore_ascii_case("close");
        }
    }
    request
}

/// Answers a request of whose body `received` bytes are here.
fn answer(stream: &mut TcpStream, site: &Site, request: &Request, received: usize) -> io::Result<()> {
    match request.target.as_str() {
        "/plain" => stream.write_all(&text("200 OK", "hello")),
        "/wait" => {
            thread::sleep(Duration::from_millis(10));
            stream.write_all(&text("200 OK", "waited"))
        }
        "/bytes/1m" => {
            stream.write_all(&head("200 OK", "application/octet-stream", MIB))?;
            stream.write_all(&site.mebibyte)
        }
        "/bytes/100m" => {
            stream.write_all(&head("200 OK", "application/octet-stream", 100 * MIB))?;
            (0..100).try_for_each(|_| stream.write_all(&site.mebibyte))
        }
        "/upload" => {
            let mut piece = vec![0; 64 * 1024];
            let mut total = received;
            while total < request.content_length {
                let room = piece.len().min(request.content_length - total);
                match stream.read(&mut piece[..room])? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => total += read,
                }
            }
            stream.write_all(&text("200 OK", &total.to_string()))
        }
        "/file" => {
            let mut file = File::open(&site.file)?;
            let size = file.metadata()?.len() as usize;
            stream.write_all(&head("200 OK", "application/octet-stream", size))?;
            // From a file to a socket this is sendfile(2).
            io::copy(&mut file, stream).map(drop)
        }
        _ => stream.write_all(&text("404 Not Found", "not found")),
    }
}

fn head(status: &str, kind: &str, length: usize) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n").into()
}

fn text(status: &str, body: &str) -> Vec<u8> {
    let mut answer = head(status, "text/plain", body.len());
    answer.extend_from_slice(body.as_bytes());
    answer
}
