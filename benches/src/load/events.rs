//! The events of one stream, as they arrive: whether any is missing, and when each was made.
//! Knows bytes only: no sockets, no time.

/// Bytes of an event: `data: NUMBER STAMP xx...x`, with ten digits, nineteen digits, and two line
/// feeds at its end. The stamp is in nanoseconds on the machine's monotonic clock.
pub const SIZE: usize = 64;

const DATA: &[u8] = b"data: ";
const DIGITS: [usize; 2] = [10, 19];

/// Where one stream stands.
#[derive(Default)]
pub struct Stream {
    last: Option<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    number: u64,
    pub stamp: u64,
}

impl Stream {
    /// Takes the whole events from the front of `bytes`. An event that does not follow the one
    /// before it is an error, in words.
    pub fn take(&mut self, bytes: &mut Vec<u8>, mut each: impl FnMut(Event)) -> Result<(), &'static str> {
        let (events, _) = bytes.as_chunks::<SIZE>();
        let taken = events.len() * SIZE;
        for bytes in events {
            let event = parse(bytes).ok_or("malformed events")?;
            if self.last.is_some_and(|last| last.number + 1 != event.number) {
                return Err("events out of order or missing");
            }
            self.last = Some(event);
            each(event);
        }
        bytes.drain(..taken);
        Ok(())
    }

    /// True once an event has arrived that was made at `stamp` or later.
    pub fn has_reached(&self, stamp: u64) -> bool {
        self.last.is_some_and(|last| last.stamp >= stamp)
    }
}

fn parse(bytes: &[u8; SIZE]) -> Option<Event> {
    let rest = bytes.strip_prefix(DATA)?;
    let (number, rest) = digits(rest, DIGITS[0])?;
    let (stamp, rest) = digits(rest, DIGITS[1])?;
    let filler = rest.strip_suffix(b"\n\n")?;
    filler.iter().all(|&byte| byte == b'x').then_some(Event { number, stamp })
}

/// A number of `count` digits and the space after it.
fn digits(bytes: &[u8], count: usize) -> Option<(u64, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(count)?;
    let number = str::from_utf8(digits).ok()?.parse().ok()?;
    Some((number, rest.strip_prefix(b" ")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64, stamp: u64) -> Vec<u8> {
        let start = format!("data: {number:010} {stamp:019} ");
        format!("{start}{}\n\n", "x".repeat(SIZE - start.len() - 2)).into_bytes()
    }

    #[test]
    fn each_event_at_every_split() {
        let bytes = [event(7, 100), event(8, 200), event(9, 300)].concat();
        for size in 1..=bytes.len() {
            let (mut stream, mut kept, mut stamps) = (Stream::default(), Vec::new(), Vec::new());
            for piece in bytes.chunks(size) {
                kept.extend_from_slice(piece);
                stream.take(&mut kept, |event| stamps.push(event.stamp)).unwrap();
            }
            assert_eq!(stamps, [100, 200, 300], "pieces of {size}");
            assert!(kept.is_empty() && stream.has_reached(300) && !stream.has_reached(301));
        }
    }

    #[test]
    fn gaps_and_other_bytes() {
        let mut stream = Stream::default();
        let mut bytes = [event(1, 1), event(3, 2)].concat();
        assert_eq!(stream.take(&mut bytes, |_| {}), Err("events out of order or missing"));
        let mut bytes = event(4, 3);
        bytes[40] = b'y';
        assert_eq!(stream.take(&mut bytes, |_| {}), Err("malformed events"));
    }
}
