//! `cargo run --release --example hello`, then `curl http://127.0.0.1:8080/hello/you`.

use transom::{Request, Response, Router, Server};

fn main() -> transom::Result<()> {
    let app = Router::new()
        .get("/", async |_: Request| "hello\n")
        .get("/hello/{name}", async |req: Request| Response::text(format!("hello, {}\n", req.param("name"))));
    let server = Server::new(app).bind("127.0.0.1:8080")?.start()?;
    println!("listening on http://{}", server.local_addr());
    server.wait()?;
    Ok(())
}
