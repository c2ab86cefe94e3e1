//! How long a server takes to start and to stop, in a program that runs already: each
//! model 300 times, with one client that has had an answer and stays connected.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use transom::{Address, Model, Request, Router, Server};

const ROUNDS: usize = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("microseconds, median (99th percentile of {ROUNDS})");
    println!("| model | start to listening | to the first answer | stop |\n|---|---|---|---|");
    for model in [Model::EventDriven, Model::ThreadPerConnection, Model::Sequential] {
        let mut lives = (0..ROUNDS).map(|_| life(model)).collect::<Result<Vec<_>, _>>()?;
        let columns = [0, 1, 2].map(|column| {
            lives.sort_by_key(|life| life[column]);
            let at = |rank: usize| lives[rank][column].as_micros();
            format!("{} ({})", at(ROUNDS / 2), at(ROUNDS * 99 / 100))
        });
        println!("| {model} | {} |", columns.join(" | "));
    }
    Ok(())
}

/// Start, first answer, stop.
fn life(model: Model) -> Result<[Duration; 3], Box<dyn std::error::Error>> {
    let begun = Instant::now();
    let app = Router::new().get("/", async |_: Request| "hello");
    let server = Server::new(app).model(model).workers(1).bind("127.0.0.1:0")?.start()?;
    let started = begun.elapsed();
    let Address::Tcp(address) = *server.local_addr() else { return Err("no TCP address".into()) };
    let mut client = TcpStream::connect(address)?;
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")?;
    let length = client.read(&mut [0; 500])?;
    let answered = begun.elapsed();
    assert!(length > 0, "no answer");
    let begun = Instant::now();
    server.stop(Duration::from_secs(5));
    Ok([started, answered, begun.elapsed()])
}
