//! Fuzzes whole connections: any bytes in any pieces are answered as a strict reader of requests
//! says, in well-formed responses, and the connection ends.
//!
//! An input is two bytes that set the client's behaviour, and the bytes that it sends.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use transom::fuzzing::{Client, End, Server};
use transom_fuzz::choices::{Choices, cuts, pieces};
use transom_fuzz::{limits, shown, site};

static SERVER: OnceLock<Server> = OnceLock::new();

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::new(input);
    let (manner, seed) = (choices.byte(), choices.byte());
    let bytes = choices.rest();
    let limits = limits();
    let server = SERVER.get_or_init(|| site::server(limits.clone()));
    let ends = manner & 1 == 0;
    let takes = [None, Some(1), Some(7), Some(100)][usize::from(manner >> 1 & 3)];
    let pieces = pieces(bytes, &cuts(bytes.len(), seed));
    // Sometimes the server is asked to stop in the middle.
    let stop = (manner >> 3 == 31).then_some(pieces.len() / 2);
    if manner >> 3 == 30 {
        // The client stops reading after a while and stays. The write deadline ends the connection.
        let takes_until = Some(usize::from(seed) * 2);
        let talk = server.talk(Client { pieces: &pieces, ends, takes, takes_until, stop: None });
        let is_quiet = talk.end == End::Cut && !ends && site::is_upgraded(&talk);
        assert!(talk.end == End::Own || is_quiet, "it hangs, {:?}: {}", talk.end, shown(bytes));
        return;
    }
    let talk = server.talk(Client { pieces: &pieces, ends, takes, takes_until: None, stop });
    let answers = site::judge(bytes, &talk, &limits, stop.is_some());
    if stop.is_none() {
        let whole =
            server.talk(Client { pieces: &[bytes], ends, takes: None, takes_until: None, stop: None });
        let other = site::judge(bytes, &whole, &limits, false);
        let (cut, whole) = (site::essence(&answers), site::essence(&other));
        assert_eq!(cut, whole, "it matters how it arrives: {}", shown(bytes));
    }
});
