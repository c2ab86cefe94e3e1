//! An application that is tested without sockets, ports or threads of a server:
//! `cargo test --example testing`.

use std::sync::{Mutex, PoisonError};

use transom::{HttpError, HttpResult, Request, Router, Server, StatusCode};

#[derive(Default)]
struct Guests(Mutex<Vec<String>>);

/// Signs the guest book.
async fn sign(req: Request) -> HttpResult<(StatusCode, String)> {
    let name = String::from_utf8_lossy(req.bytes()).trim().to_owned();
    if name.is_empty() {
        return Err(HttpError::bad_request("a guest has a name"));
    }
    let mut guests = req.state::<Guests>().0.lock().unwrap_or_else(PoisonError::into_inner);
    guests.push(name);
    Ok((StatusCode::CREATED, format!("guest {}\n", guests.len())))
}

/// The whole application. The server and the tests build it in the same way.
fn app() -> Router {
    Router::new().state(Guests::default()).post("/guests", sign)
}

fn main() -> transom::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let server = Server::new(app()).bind(&address)?.start()?;
    println!("listening on http://{}", server.local_addr());
    server.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use transom::{Method, Tester};

    use super::*;

    fn post(tester: &Tester, path: &str, body: &'static str) -> (u16, String) {
        let mut request = Request::new(Method::POST, path).unwrap();
        *request.body_mut() = body.into();
        let response = smol::block_on(tester.answer(request));
        let body = response.body_ref().as_bytes().unwrap_or_default();
        (response.status_code().as_u16(), String::from_utf8_lossy(body).into_owned())
    }

    #[test]
    fn guests_are_counted_and_have_names() {
        let tester = app().tester().unwrap();
        assert_eq!(post(&tester, "/guests", "ada"), (201, "guest 1\n".into()));
        assert_eq!(post(&tester, "/guests", "grace"), (201, "guest 2\n".into()));
        assert_eq!(post(&tester, "/guests", " "), (400, "a guest has a name\n".into()));
        assert_eq!(post(&tester, "/nowhere", "ada").0, 404);
    }
}
