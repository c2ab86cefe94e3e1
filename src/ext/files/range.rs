//! Range requests: the parts of a file that a client asks for (RFC 9110 14).

use std::ops::Range;

use crate::Headers;

/// Two parts are sent as one if fewer bytes than this are between them: the head of a part takes more.
const WORTH_A_PART: u64 = 80;

/// The parts to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parts {
    /// The whole file, with a 200: the request has no range, or one that a server may ignore.
    Whole,
    One(Range<u64>),
    /// At least two, none of which overlap.
    Many(Vec<Range<u64>>),
    /// 416
    Unsatisfiable,
}

/// Returns the parts of a file of `size` bytes that a request asks for.
///
/// A range that breaks the grammar, and one with more than `limit` parts, is ignored (RFC 9110 14.2). Parts
/// that overlap, or nearly touch, are sent as one (15.3.7.2).
pub(super) fn parts(headers: &Headers, size: u64, limit: usize) -> Parts {
    let mut fields = headers.get_all("range");
    let (Some(field), None) = (fields.next(), fields.next()) else { return Parts::Whole };
    let Some(specs) = specs(field, limit) else { return Parts::Whole };
    let mut wanted: Vec<_> = specs.iter().filter_map(|spec| spec.within(size)).collect();
    match wanted.len() {
        // The last bytes of an empty file are all of it, and no Content-Range can say so.
        0 if size == 0 && specs.iter().any(|spec| matches!(spec, Spec::Last(1..))) => Parts::Whole,
        0 => Parts::Unsatisfiable,
        1 => Parts::One(wanted.remove(0)),
        _ => {
            let mut merged = merge(wanted);
            if merged.len() == 1 { Parts::One(merged.remove(0)) } else { Parts::Many(merged) }
        }
    }
}

/// One part as the client names it.
enum Spec {
    /// From a position to another, which is part of it, or to the end.
    From(u64, Option<u64>),
    /// The last bytes.
    Last(u64),
}

impl Spec {
    /// Returns the bytes of a file of that size, or `None` if it has none of them.
    fn within(&self, size: u64) -> Option<Range<u64>> {
        let part = match *self {
            Self::From(first, last) => first..last.map_or(size, |last| last.saturating_add(1).min(size)),
            Self::Last(length) => size.saturating_sub(length)..size,
        };
        (part.start < part.end).then_some(part)
    }
}

/// Reads `bytes=0-99,-50`. Returns `None` for another unit, a broken rule, or more than `limit` parts.
fn specs(field: &[u8], limit: usize) -> Option<Vec<Spec>> {
    let field = std::str::from_utf8(field).ok()?;
    let (unit, elements) = field.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut specs = Vec::new();
    // Empty elements of a list do not count (RFC 9110 5.6.1.2).
    for element in elements.split(',').map(|element| element.trim_matches([' ', '\t'])) {
        if element.is_empty() {
            continue;
        }
        if specs.len() >= limit {
            return None;
        }
        let (first, last) = element.split_once('-')?;
        specs.push(match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Spec::From(first, Some(last)),
            (Some(first), None) if last.is_empty() => Spec::From(first, None),
            (None, Some(last)) if first.is_empty() => Spec::Last(last),
            _ => return None,
        });
    }
    (!specs.is_empty()).then_some(specs)
}

/// Reads a number. One that does not fit is larger than any file.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Merges parts that overlap or nearly touch. A merged part stands where the first of them stood.
fn merge(wanted: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted: Vec<(usize, Range<u64>)> = wanted.into_iter().enumerate().collect();
    sorted.sort_by_key(|(_, part)| part.start);
    let mut merged: Vec<(usize, Range<u64>)> = Vec::with_capacity(sorted.len());
    for (place, part) in sorted {
        match merged.last_mut() {
            Some((first, last)) if part.start <= last.end.saturating_add(WORTH_A_PART) => {
                last.end = last.end.max(part.end);
                *first = place.min(*first);
            }
            _ => merged.push((place, part)),
        }
    }
    merged.sort_by_key(|(place, _)| *place);
    merged.into_iter().map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str, size: u64) -> Parts {
        let mut headers = Headers::new();
        headers.append("range", value).unwrap();
        parts(&headers, size, 4)
    }

    #[test]
    fn rfc9110_14_1_2_one_part() {
        for (value, part) in [
            ("bytes=0-499", 0..500),
            ("bytes=500-999", 500..1000),
            ("bytes=500-", 500..1000),
            ("bytes=-500", 500..1000),
            ("bytes=-5000", 0..1000),
            ("bytes=999-", 999..1000),
            ("bytes=0-99999999999999999999999", 0..1000),
            ("Bytes=0-0", 0..1),
            ("bytes= 0-0 ,", 0..1),
            ("bytes=,,0-0", 0..1),
            ("bytes=0-0,2000-", 0..1),
            ("bytes=0-,0-,0-", 0..1000),
            ("bytes=0-99,100-199", 0..200),
            ("bytes=100-199,0-120", 0..200),
            ("bytes=0-0,81-81", 0..82),
        ] {
            assert_eq!(of(value, 1000), Parts::One(part), "{value}");
        }
    }

    #[test]
    fn rfc9110_14_1_2_many_parts_in_the_order_of_the_request() {
        assert_eq!(of("bytes=0-0,-1", 1000), Parts::Many(vec![0..1, 999..1000]));
        assert_eq!(of("bytes=500-600,0-10", 1000), Parts::Many(vec![500..601, 0..11]));
        assert_eq!(of("bytes=500-600,0-10,550-650", 1000), Parts::Many(vec![500..651, 0..11]));
        assert_eq!(of("bytes=0-0,82-82", 1000), Parts::Many(vec![0..1, 82..83]));
    }

    #[test]
    fn rfc9110_14_2_what_makes_no_sense_is_ignored() {
        for value in [
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=a-b",
            "bytes=-",
            "bytes=5-1",
            "bytes=0-1x",
            "bytes=+0-1",
            "bytes=0--1",
            "bytes=0-1 2-3",
            "items=0-1",
            "bytes=0-1,x",
            "bytes 0-1",
            "bytes=0-1,5-1",
            "bytes=0 -1",
            "bytes=0-0,200-200,400-400,600-600,800-800",
        ] {
            assert_eq!(of(value, 1000), Parts::Whole, "{value}");
        }
    }

    #[test]
    fn rfc9110_15_5_17_no_part_is_there() {
        for value in ["bytes=1000-", "bytes=1000-2000", "bytes=-0", "bytes=2000-,3000-"] {
            assert_eq!(of(value, 1000), Parts::Unsatisfiable, "{value}");
        }
        assert_eq!(of("bytes=0-", 0), Parts::Unsatisfiable);
        assert_eq!(of("bytes=-0", 0), Parts::Unsatisfiable);
        assert_eq!(of("bytes=-5", 0), Parts::Whole);
    }
}
