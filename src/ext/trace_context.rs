//! The trace that a request belongs to (W3C Trace Context, levels 1 and 2).

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};

use crate::Headers;
use crate::Request;

/// The most bytes of a `tracestate` that are passed on (W3C Trace Context 3.3.1.5).
const LONGEST_STATE: usize = 512;
/// The flags that are known: sampled, and a trace id that is random.
const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;

/// The place of a request in a trace: the ids of the trace and of the request's span.
///
/// [`Tracing`](crate::Tracing) reads it from the fields `traceparent` and `tracestate` of a request.
/// A request without a valid `traceparent` begins a trace of its own.
///
/// ```
/// use transom::{Request, Router, TraceContext, Tracing};
///
/// let app = Router::new()
///     .get("/", async |req: Request| match TraceContext::of(&req) {
///         // The value of the field `traceparent` for a request that the handler sends.
///         Some(context) => context.child().to_string(),
///         None => "not traced".to_owned(),
///     })
///     .wrap(Tracing::new());
/// # drop(app);
/// ```
///
/// The `Display` form is the value of a `traceparent` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    parent_id: Option<u64>,
    flags: u8,
    state: Option<Box<str>>,
}

impl TraceContext {
    /// Returns the context of a request. `None` if no [`Tracing`](crate::Tracing) is around its
    /// handler.
    pub fn of(request: &Request) -> Option<&Self> {
        request.get()
    }

    /// Returns the context of a request that nobody has traced before.
    pub(super) fn root(is_sampled: bool) -> Self {
        let trace_id = loop {
            let id = u128::from(random()) << 64 | u128::from(random());
            if id != 0 {
                break id;
            }
        };
        let flags = RANDOM | if is_sampled { SAMPLED } else { 0 };
        Self { trace_id, span_id: random_id(), parent_id: None, flags, state: None }
    }

    /// Returns the context of a request with these fields. `None` if there is not exactly one
    /// `traceparent`, or it is malformed.
    pub(super) fn read(headers: &Headers) -> Option<Self> {
        let mut values = headers.get_all("traceparent");
        let (value, None) = (values.next()?, values.next()) else { return None };
        Some(Self { state: state(headers), ..Self::parse(value)? })
    }

    /// Parses the value of a `traceparent` field of a request, and takes a new span id for the request.
    /// Returns `None` if the value is malformed (W3C Trace Context 3.2). Of versions after 00, the
    /// parts that version 00 has are read.
    pub fn parse(value: impl AsRef<[u8]>) -> Option<Self> {
        let value = value.as_ref();
        let (version, rest) = value.split_at_checked(2)?;
        let version = u8::try_from(hex(version)?).ok()?;
        let parts: &[u8; 53] = rest.first_chunk()?;
        let has_more = rest.len() > parts.len();
        if version == 0xff || (version == 0 && has_more) || (has_more && rest[parts.len()] != b'-') {
            return None;
        }
        let [b'-', ids @ ..] = parts else { return None };
        let (trace_id, ids) = ids.split_at(32);
        let ([b'-', parent_id @ ..], [b'-', flags @ ..]) = ids.split_at(17) else { return None };
        let (trace_id, parent_id) = (hex(trace_id)?, u64::try_from(hex(parent_id)?).ok()?);
        let flags = u8::try_from(hex(flags)?).ok()? & (SAMPLED | RANDOM);
        if trace_id == 0 || parent_id == 0 {
            return None;
        }
        Some(Self { trace_id, span_id: random_id(), parent_id: Some(parent_id), flags, state: None })
    }

    /// Returns the context of a request that is sent on behalf of this one: in the same trace, with a
    /// span id of its own.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: random_id(), parent_id: Some(self.span_id), ..self.clone() }
    }

    /// Returns the id of the trace.
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// Returns the id of the span.
    pub fn span_id(&self) -> u64 {
        self.span_id
    }

    /// Returns the id of the parent's span: that of the client. `None` if the trace begins here.
    pub fn parent_id(&self) -> Option<u64> {
        self.parent_id
    }

    /// Returns `true` if the client may have recorded its span.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Returns the value of the field `tracestate`, to pass it on with `traceparent`.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// Returns the number that hexadecimal digits are, of which none is a capital.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// Returns the `tracestate` of a request: all its lines as one list. `None` if there is none, if it
/// is too long, or if it has other bytes than printable ASCII.
fn state(headers: &Headers) -> Option<Box<str>> {
    let mut state = String::new();
    for line in headers.get_all("tracestate") {
        let line = std::str::from_utf8(line).ok()?;
        let is_printable = line.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
        if !is_printable || state.len() + 1 + line.len() > LONGEST_STATE {
            return None;
        }
        if !state.is_empty() {
            state.push(',');
        }
        state.push_str(line);
    }
    (!state.is_empty()).then(|| state.into_boxed_str())
}

/// Returns an id of a span, which is never 0.
fn random_id() -> u64 {
    loop {
        let id = random();
        if id != 0 {
            return id;
        }
    }
}

/// Returns a number that others do not know. The keys of the standard library's hash function are
/// random in each thread, and differ from call to call.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// The grammar, spelled out another way.
    fn is_valid(value: &str) -> bool {
        let is_hex = |text: &str, length| {
            text.len() == length && text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
        };
        let parts: Vec<_> = value.split('-').collect();
        let [version, trace, parent, flags, more @ ..] = &parts[..] else { return false };
        is_hex(version, 2)
            && *version != "ff"
            && is_hex(trace, 32)
            && is_hex(parent, 16)
            && is_hex(flags, 2)
            && trace.contains(|c| c != '0')
            && parent.contains(|c| c != '0')
            && (more.is_empty() || *version != "00")
    }

    #[test]
    fn a_traceparent_is_read_as_the_grammar_says() {
        let mut random = 1_u64;
        let mut below = |bound: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(random >> 33).unwrap() % bound
        };
        let letters: Vec<char> = "0123456789abcdefABFg-- \u{e9}".chars().collect();
        let (mut valid, mut invalid) = (0, 0);
        for round in 0..40_000 {
            let mut text: Vec<char> = VALID.chars().collect();
            if round % 3 == 0 {
                text[1] = 'c';
                text.extend("-what-comes-later".chars().take(below(18)));
            }
            for _ in 0..below(4) {
                let at = below(text.len());
                match below(8) {
                    0 => drop(text.remove(at)),
                    1 => text.insert(at, letters[below(letters.len())]),
                    2 => text[3..35].fill('0'),
                    _ => text[at] = letters[below(letters.len())],
                }
                if text.len() < 40 {
                    break;
                }
            }
            let text: String = text.into_iter().collect();
            let context = TraceContext::parse(&text);
            assert_eq!(context.is_some(), is_valid(&text), "{text}");
            let Some(context) = context else {
                invalid += 1;
                continue;
            };
            valid += 1;
            assert_eq!(format!("{:032x}", context.trace_id()), text[3..35]);
            assert_eq!(format!("{:016x}", context.parent_id().unwrap()), text[36..52]);
            let again = TraceContext::parse(context.to_string()).unwrap();
            assert_eq!((again.trace_id, again.parent_id), (context.trace_id, Some(context.span_id)));
            assert_eq!(again.flags, context.flags);
        }
        assert!(valid > 1000 && invalid > 1000, "{valid} {invalid}");
    }

    #[test]
    fn each_step_of_a_trace_has_an_id_of_its_own() {
        let root = TraceContext::root(true);
        let child = root.child();
        assert_eq!((child.trace_id(), child.parent_id()), (root.trace_id(), Some(root.span_id())));
        assert_ne!(child.span_id(), root.span_id());
        assert_ne!(TraceContext::root(true).trace_id(), root.trace_id());
        assert!(root.is_sampled() && !TraceContext::root(false).is_sampled());
        assert_eq!(root.parent_id(), None);
    }

    #[test]
    fn the_fields_of_a_request_are_read_together() {
        let read = |text: String| TraceContext::read(&Headers::parse(text.as_bytes()).unwrap());
        let context = read(format!("traceparent: {VALID}\ntracestate: a=1\ntracestate: b=2\n")).unwrap();
        assert_eq!(context.state(), Some("a=1,b=2"));
        assert_eq!(read(format!("traceparent: {VALID}\ntraceparent: {VALID}\n")), None);
        assert_eq!(read("tracestate: a=1\n".to_owned()), None);
        for state in ["a".repeat(513), "a=\u{e9}".to_owned()] {
            let context = read(format!("traceparent: {VALID}\ntracestate: {state}\n")).unwrap();
            assert_eq!(context.state(), None);
        }
    }
}
