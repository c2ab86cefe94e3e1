//! actix-web with one worker.
//!
//!     serve-actix-web --port 8080 --file FILE

#[path = "../../options.rs"]
mod options;

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use actix_files::NamedFile;
use actix_web::body::SizedStream;
use actix_web::http::header::ContentType;
use actix_web::web::{self, Bytes, Data, Payload};
use actix_web::{App, Error, HttpResponse, HttpServer, Responder, rt};
use futures_util::{StreamExt, stream};
use options::option;

const MIB: usize = 1 << 20;
const PIECE: usize = 64 * 1024;

struct Site {
    mebibyte: Bytes,
    file: PathBuf,
}

fn main() -> io::Result<()> {
    rt::System::new().block_on(serve())
}

async fn serve() -> io::Result<()> {
    let site = Data::new(Site { mebibyte: vec![b'x'; MIB].into(), file: option("--file") });
    let app = move || {
        App::new()
            .app_data(Data::clone(&site))
            .route("/plain", web::get().to(async || text("hello")))
            .route("/wait", web::get().to(wait))
            .route("/bytes/1m", web::get().to(mebibyte))
            .route("/bytes/100m", web::get().to(pieces))
            .route("/upload", web::post().to(upload))
            .route("/file", web::get().to(file))
    };
    HttpServer::new(app)
        .workers(1)
        .backlog(4096)
        .keep_alive(Duration::from_secs(75))
        .tcp_nodelay(true)
        .bind((Ipv4Addr::LOCALHOST, option("--port")))?
        .run()
        .await
}

fn text(body: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok().insert_header(("content-type", "text/plain")).body(body.into())
}

async fn wait() -> HttpResponse {
    rt::time::sleep(Duration::from_millis(10)).await;
    text("waited")
}

async fn mebibyte(site: Data<Site>) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::octet_stream()).body(site.mebibyte.clone())
}

async fn pieces(site: Data<Site>) -> HttpResponse {
    let pieces = stream::repeat(site.mebibyte.slice(..PIECE)).take(100 * MIB / PIECE);
    let body = SizedStream::new(100 * MIB as u64, pieces.map(Ok::<_, Infallible>));
    HttpResponse::Ok().content_type(ContentType::octet_stream()).body(body)
}

async fn upload(mut body: Payload) -> Result<HttpResponse, Error> {
    let mut total = 0;
    while let Some(piece) = body.next().await {
        total += piece?.len();
    }
    Ok(text(total.to_string()))
}

async fn file(site: Data<Site>) -> impl Responder {
    NamedFile::open_async(&site.file).await
}
