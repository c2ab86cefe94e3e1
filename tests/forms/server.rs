//! A server of forms, for the clients of `run.py`: it prints its address, and tells what it has read.

use std::path::PathBuf;

use transom::{FormLimits, Method, Request, Response, Route, Router, Server};

/// A page that sends a form, and shows the answer.
const PAGE: &str = r#"<!doctype html><title>forms</title><pre id="answer"></pre><script>
const form = new FormData();
form.append("text", "h\u00e9llo");
const bytes = Uint8Array.from({length: 100000}, (_, at) => at % 251);
form.append("file", new File([bytes], 'na"me \u20ac.bin', {type: "application/x-test"}));
fetch("/form", {method: "POST", body: form}).then(answer => answer.text())
    .then(text => { document.getElementById("answer").textContent = text; });
</script>"#;

/// Returns a sum of bytes that depends on their order.
fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(7, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)))
}

fn main() -> transom::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".to_owned()));
    let whole = async |mut req: Request| {
        let mut form = req.read_form(FormLimits::default()).await?;
        let mut lines: Vec<_> = form.iter().map(|(name, value)| format!("field {name}={value}")).collect();
        for file in form.take_files() {
            let about = format!("file {} {} {}", file.name(), file.filename(), file.content_type());
            let bytes = file.into_body()?.collect(usize::MAX).await?;
            lines.push(format!("{about} {} {}", bytes.len(), sum(&bytes)));
        }
        Ok(lines.join("\n") + "\n")
    };
    let save = async move |mut req: Request| {
        let mut form = req.multipart()?;
        let mut total = 0;
        while let Some(mut part) = form.next().await? {
            if part.filename().is_some() {
                total += part.save_to(folder.join("saved")).await?;
            }
        }
        Ok(format!("{total}\n"))
    };
    let app = Router::new()
        .get("/", async |_: Request| Response::html(PAGE))
        .post("/form", whole)
        .route(Route::new(Method::POST, "/save", save).streaming().body_limit(1 << 40).timeout(None));
    let handle = Server::new(app).bind("127.0.0.1:0")?.start()?;
    println!("{}", handle.local_addr());
    handle.wait()?;
    Ok(())
}
