//! Fuzzes request heads: the verdict equals that of a strict reader, however the bytes arrive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transom::fuzzing;
use transom_fuzz::request::{self, Found, Framing};
use transom_fuzz::{choices, is_text, is_token, limits, shown};

fuzz_target!(|input: &[u8]| {
    let limits = limits();
    let whole = fuzzing::head(input, [], &limits);
    for seed in [1, input.len().to_le_bytes()[0]] {
        let cut = fuzzing::head(input, choices::cuts(input.len(), seed), &limits);
        assert_eq!(whole, cut, "cut by {seed}: {}", shown(input));
    }
    match (&whole, request::head(input, &limits)) {
        (Ok(Some(head)), Found::Whole(strict)) => {
            assert_eq!((&head.method, &head.target), (&strict.method, &strict.target));
            assert_eq!((head.is_11, head.end), (strict.is_11, strict.end));
            assert_eq!(head.persistent, strict.persistent, "{}", shown(input));
            assert_eq!(head.expects_continue, strict.expects_continue, "{}", shown(input));
            let length = match strict.framing {
                Framing::Length(length) => Some(length),
                Framing::Chunked => None,
            };
            assert_eq!(head.body, length, "{}", shown(input));
            let authority = strict.authority().map(str::as_bytes);
            let host = head.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
            if let (Some(authority), Some((_, host))) = (authority, host) {
                assert!(host.eq_ignore_ascii_case(authority), "{}", shown(input));
            } else {
                assert_eq!(head.fields, strict.fields);
            }
            for (name, value) in &head.fields {
                assert!(is_token(name.as_bytes()) && is_text(value), "{name:?}: {}", shown(value));
            }
        }
        (Ok(None) | Err(_), Found::Partial) | (Err(_), Found::Bad(_)) => {}
        (ours, strict) => panic!("{ours:?}, where {strict:?} is due: {}", shown(input)),
    }
});
