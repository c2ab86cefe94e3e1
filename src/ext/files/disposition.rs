//! Content-Disposition: the name under which a client stores a response (RFC 6266, RFC 8187).

use std::fmt::Write as _;

/// The characters of a name that systems and shells take for something else.
const UNSAFE: [char; 10] = ['"', '\\', '/', ':', '*', '?', '<', '>', '|', '\u{7f}'];
/// The bytes that RFC 8187 3.2.1 leaves as they are, besides letters and digits.
const PLAIN: &[u8] = b"!#$&+-.^_`|~";

/// Returns the value that has a client store a response under a name. Characters that are not safe in a
/// file name become `_`.
pub(super) fn attachment(name: &str) -> String {
    let is_unsafe = |c: char| c.is_control() || UNSAFE.contains(&c);
    let safe: String = name.chars().map(|c| if is_unsafe(c) { '_' } else { c }).collect();
    let safe = match safe.trim_matches(['.', ' ']) {
        "" => "_",
        safe => safe,
    };
    let plain: String = safe.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    let mut value = format!("attachment; filename=\"{plain}\"");
    if plain != safe {
        value.push_str("; filename*=UTF-8''");
        for byte in safe.bytes() {
            if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) {
                value.push(char::from(byte));
            } else {
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::attachment;

    #[test]
    fn rfc8187_names_of_downloads() {
        for (name, expected) in [
            ("report.pdf", r#"attachment; filename="report.pdf""#),
            ("my report.pdf", r#"attachment; filename="my report.pdf""#),
            ("caf\u{e9}.txt", r#"attachment; filename="caf_.txt"; filename*=UTF-8''caf%C3%A9.txt"#),
            ("\u{20ac} rates", r#"attachment; filename="_ rates"; filename*=UTF-8''%E2%82%AC%20rates"#),
            ("a\"b\\c/d", r#"attachment; filename="a_b_c_d""#),
            ("../../etc/passwd", r#"attachment; filename="_.._etc_passwd""#),
            ("a\r\nset-cookie: x", r#"attachment; filename="a__set-cookie_ x""#),
            ("..", r#"attachment; filename="_""#),
            ("", r#"attachment; filename="_""#),
        ] {
            assert_eq!(attachment(name), expected, "{name:?}");
        }
    }
}
