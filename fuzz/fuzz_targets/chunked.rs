//! Fuzzes chunked bodies: the data and the verdict equal those of a strict reader, however the
//! bytes arrive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transom::fuzzing;
use transom_fuzz::request::{self, Found, Framing};
use transom_fuzz::{choices, limits, shown};

fuzz_target!(|input: &[u8]| {
    let limits = limits();
    let whole = fuzzing::chunked(input, [], &limits);
    for seed in [1, input.len().to_le_bytes()[0]] {
        let cut = fuzzing::chunked(input, choices::cuts(input.len(), seed), &limits);
        assert_eq!(whole, cut, "cut by {seed}: {}", shown(input));
    }
    let strict = request::body(input, Framing::Chunked, u64::MAX, &limits);
    match (&whole, &strict.end) {
        (Ok(body), Found::Whole(end)) => {
            assert!(body.is_done && body.consumed == *end, "{body:?}: {}", shown(input));
            assert_eq!(body.data, strict.data, "{}", shown(input));
            for line in body.trailers.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
                let name = line.split(|&b| b == b':').next().unwrap_or_default().to_ascii_lowercase();
                let never = ["content-length", "transfer-encoding", "host", "authorization", "connection"];
                assert!(!never.iter().any(|never| never.as_bytes() == name), "{}", shown(line));
                let is_there = |(other, _): &(String, Vec<u8>)| other.as_bytes().eq_ignore_ascii_case(&name);
                assert!(strict.trailers.iter().any(is_there), "{}", shown(line));
            }
        }
        (Ok(body), Found::Partial) => {
            assert!(!body.is_done && body.consumed == input.len(), "{body:?}: {}", shown(input));
            assert_eq!(body.data, strict.data, "{}", shown(input));
        }
        (Err(_), Found::Bad(_) | Found::Partial) => {}
        (ours, strict) => panic!("{ours:?}, where {strict:?} is due: {}", shown(input)),
    }
});
