//! Transom, event-driven, with one worker.
//!
//!     serve-transom-content --port 8080 --folder FOLDER --level LEVEL

#[path = "../../../servers/options.rs"]
mod options;

use std::path::PathBuf;

use options::option;
use transom::{
    Bytes, Coding, Compression, Files, HttpResult, Limits, Method, Request, Response, Route, Router, Server,
};

fn main() -> transom::Result<()> {
    let folder: PathBuf = option("--folder");
    let uploads = folder.join("saved-transom");
    let json = Bytes::from(std::fs::read(folder.join("site/10k.json"))?);
    let level = option("--level");
    let json = Router::new()
        .get("/", move |_: Request| {
            let body = json.clone();
            async move { Response::bytes("application/json", body) }
        })
        .wrap(Compression::new().level(Coding::Gzip, level).level(Coding::Brotli, 4).level(Coding::Zstd, 3));
    let app =
        Router::new().nest("/json", json).nest("/files", Files::new(folder.join("site"))?.router()).route(
            Route::new(Method::POST, "/upload", async move |request: Request| {
                upload(request, &uploads).await
            })
            .streaming()
            .body_limit(1 << 30),
        );
    let mut limits = Limits::default();
    limits.backlog = Some(4096);
    let address = format!("127.0.0.1:{}", option::<u16>("--port"));
    Server::new(app).workers(1).limits(limits).bind(&address)?.run()?;
    Ok(())
}

async fn upload(mut request: Request, path: &std::path::Path) -> HttpResult<String> {
    let mut form = request.multipart()?;
    let mut total = 0;
    while let Some(mut part) = form.next().await? {
        total += part.save_to(path).await?;
    }
    Ok(total.to_string())
}
