//! Whether a server gives the right answers, before it is measured.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustls::StreamOwned;

use crate::load::answer::{Answer, Whole};
use crate::load::events::{self, Stream};
use crate::load::tls::{self, Version};
use crate::process::Running;
use crate::scenario::JSON;

/// Bytes of the answers to /bytes/1m and of the file.
pub const MIB: u64 = 1 << 20;

/// Asks for what the scenarios of a group ask for.
pub fn group(server: &Running, group: &str, file: &[u8]) -> Result<()> {
    match group {
        "wait" => text(server, "/wait", "waited"),
        "down" => {
            let body = get(server, "/bytes/1m")?;
            ensure!(
                body.len() as u64 == MIB && body.iter().all(|&byte| byte == b'x'),
                "/bytes/1m: wrong bytes"
            );
            Ok(())
        }
        "up" => {
            let body = vec![b'x'; MIB as usize];
            let answer = exchange(server, None, "POST", "/upload", &body)?;
            ensure!(answer == MIB.to_string().as_bytes(), "/upload: answers {}", shown(&answer));
            Ok(())
        }
        "tls" => {
            for version in [Version::Tls12, Version::Tls13] {
                let body = exchange(server, Some(version), "GET", "/plain", &[])?;
                ensure!(body == b"hello", "/plain: answers {}", shown(&body));
                let body = exchange(server, Some(version), "GET", "/bytes/1m", &[])?;
                ensure!(body.len() as u64 == MIB, "/bytes/1m: wrong bytes");
            }
            Ok(())
        }
        "json" => {
            let body = get(server, "/json/lamp")?;
            ensure!(
                body.len() as u64 == JSON && body.starts_with(br#"{"name":"lamp","items":[{"#),
                "/json/lamp: answers {}",
                shown(&body)
            );
            Ok(())
        }
        "events" => stream(server, "/events"),
        "file" => {
            let body = get(server, "/file")?;
            ensure!(body == file, "/file: {} bytes, not those of the file", body.len());
            Ok(())
        }
        _ => text(server, "/plain", "hello"),
    }
}

fn text(server: &Running, path: &str, expected: &str) -> Result<()> {
    let body = get(server, path)?;
    ensure!(body == expected.as_bytes(), "{path}: answers {}", shown(&body));
    Ok(())
}

fn get(server: &Running, path: &str) -> Result<Vec<u8>> {
    exchange(server, None, "GET", path, &[])
}

/// Three events of a stream.
fn stream(server: &Running, path: &str) -> Result<()> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(socket, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", server.port)?;
    let (mut parser, mut stream, mut count) = (Answer::keeping(), Stream::default(), 0);
    let mut buffer = vec![0; 64 * events::SIZE];
    while count < 3 {
        let received = socket.read(&mut buffer).with_context(|| format!("{path}: no event"))?;
        let whole = parser.feed(&mut &buffer[..received]);
        ensure!(received > 0 && matches!(whole, Ok(None)), "{path}: no stream without end");
        let taken = stream.take(parser.kept(), |_| count += 1);
        ensure!(taken.is_ok(), "{path}: not the events that were asked for");
    }
    Ok(())
}

/// A connection, with TLS or without.
trait Socket: Read + Write {}
impl<T: Read + Write> Socket for T {}

fn exchange(
    server: &Running,
    version: Option<Version>,
    method: &str,
    path: &str,
    body: &[u8],
) -> Result<Vec<u8>> {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut socket: Box<dyn Socket> = match version {
        Some(version) => Box::new(StreamOwned::new(tls::client(&tls::config(version)?)?, socket)),
        None => Box::new(socket),
    };
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{length}\r\n", server.port);
    socket.write_all(head.as_bytes())?;
    socket.write_all(body)?;
    let mut parser = Answer::keeping();
    let mut buffer = vec![0; 64 * 1024];
    let whole = loop {
        let received = socket.read(&mut buffer).with_context(|| format!("{path}: no answer"))?;
        let mut input = &buffer[..received];
        let step = if received == 0 { parser.end() } else { parser.feed(&mut input) };
        match step {
            Ok(Some(whole)) => break whole,
            Ok(None) if received > 0 => {}
            Ok(None) => bail!("{path}: closed without an answer"),
            Err(fault) => bail!("{path}: {fault:?}"),
        }
    };
    let Whole { status, .. } = whole;
    ensure!(status == 200, "{path}: status {status}");
    Ok(parser.into_body())
}

fn shown(body: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(&body[..body.len().min(60)]))
}
