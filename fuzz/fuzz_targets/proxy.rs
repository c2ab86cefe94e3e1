//! Fuzzes PROXY headers: the bytes behind a header are not asked for, and how the header arrives does
//! not matter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transom::fuzzing::proxy_header;
use transom_fuzz::{choices, shown};

/// The longest header that is accepted.
const LONGEST: usize = 4096;

/// Reads as a server does: at most as many bytes as are asked for, and sometimes fewer.
fn arrive(input: &[u8], seed: u8) -> Result<Result<(usize, String), usize>, &'static str> {
    let mut cuts = choices::cuts(input.len(), seed).into_iter();
    let mut length = 0;
    loop {
        match proxy_header(&input[..length])? {
            Ok(says) => return Ok(Ok((length, says))),
            Err(missing) => {
                assert!(missing > 0 && length + missing <= LONGEST, "{missing} at {length}: {}", shown(input));
                if length + missing > input.len() {
                    return Ok(Err(length));
                }
                let cut = cuts.next().unwrap_or(missing) % missing;
                length += if cut == 0 { missing } else { cut };
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let whole = arrive(input, 0);
    for seed in [1, input.len().to_le_bytes()[0]] {
        match (&whole, &arrive(input, seed)) {
            (Ok(Ok(whole)), Ok(Ok(cut))) => assert_eq!(whole, cut, "{}", shown(input)),
            (Ok(Err(_)) | Err(_), Ok(Err(_)) | Err(_)) => {}
            (whole, cut) => panic!("{whole:?} and {cut:?}: {}", shown(input)),
        }
    }
});
