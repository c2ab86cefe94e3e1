//! Fuzzes multipart forms: what is read is the same however the bytes arrive, it is all in the input, and
//! no name of a file leads to another folder.
#![no_main]

use futures_lite::future::block_on;
use futures_lite::stream;
use libfuzzer_sys::fuzz_target;
use transom::{Body, Bytes, FormError, FormLimits, Multipart};
use transom_fuzz::{choices, shown};

/// The name, the name of the file, and the content of each part that is whole, and the refusal.
type Seen = (Vec<(String, Option<String>, Vec<u8>)>, Option<String>);

fn read(pieces: Vec<Bytes>) -> Seen {
    let mut limits = FormLimits::default();
    (limits.parts, limits.files, limits.head, limits.name) = (8, 4, 128, 16);
    (limits.field, limits.fields, limits.file) = (64, 128, Some(200));
    let body = Body::stream(stream::iter(pieces.into_iter().map(Ok)));
    let mut form = Multipart::new("multipart/form-data; boundary=XX", body).expect("it has a boundary");
    form.set_limits(limits);
    let mut parts = Vec::new();
    let ended: Result<(), FormError> = block_on(async {
        while let Some(mut part) = form.next().await? {
            let (name, filename) = (part.name().to_owned(), part.filename());
            let mut content = Vec::new();
            while let Some(chunk) = part.chunk().await? {
                assert!(!chunk.is_empty());
                content.extend_from_slice(&chunk);
            }
            parts.push((name, filename, content));
        }
        Ok(())
    });
    (parts, ended.err().map(|error| format!("{} {error}", error.status())))
}

fuzz_target!(|input: &[u8]| {
    let whole = read(vec![Bytes::copy_from_slice(input)]);
    for seed in [1, input.len().to_le_bytes()[0]] {
        let cuts = choices::cuts(input.len(), seed);
        let ends = cuts.iter().copied().chain([input.len()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let pieces = starts.zip(ends).map(|(start, end)| Bytes::copy_from_slice(&input[start..end])).collect();
        assert_eq!(whole, read(pieces), "cut by {seed}: {}", shown(input));
    }
    let (parts, refusal) = whole;
    assert!(parts.len() <= 8 && refusal.is_none_or(|it| it.starts_with("400") || it.starts_with("413")));
    for (_, filename, content) in parts {
        assert!(content.len() <= 200 && (content.is_empty() || input.windows(content.len()).any(|at| at == content)));
        let filename = filename.unwrap_or_default();
        let is_safe = |c: char| !c.is_ascii_control() && c != '/' && c != '\\';
        assert!(filename.chars().all(is_safe) && filename != "." && filename != "..", "{filename:?}");
    }
});
