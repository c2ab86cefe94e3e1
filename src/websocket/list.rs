//! Lists in field values (RFC 9110 5.6.1).

/// Returns the elements of a list. A comma inside quotes, which no value of a handshake has, separates
/// them too.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}
