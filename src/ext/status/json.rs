//! Json: writes a JSON text, value by value.

use std::fmt::Write as _;

/// A JSON text in the making. It has no line breaks, as an event of a stream needs it.
#[derive(Default)]
pub(super) struct Json(String);

impl Json {
    pub fn into_text(self) -> String {
        self.0
    }

    /// Writes an object, whose members `fill` writes.
    pub fn object(&mut self, fill: impl FnOnce(&mut Self)) {
        self.enclose('{', '}', fill);
    }

    /// Writes an array, whose values `fill` writes.
    pub fn list(&mut self, fill: impl FnOnce(&mut Self)) {
        self.enclose('[', ']', fill);
    }

    /// Writes the name of a member, whose value comes next.
    pub fn key(&mut self, name: &str) -> &mut Self {
        self.text(name);
        self.0.push(':');
        self
    }

    /// Writes a number, to a millionth, or `null`.
    pub fn number(&mut self, number: impl Into<Option<f64>>) {
        self.separate();
        let written = match number.into() {
            None => write!(self.0, "null"),
            Some(whole) if whole.fract() == 0.0 => write!(self.0, "{whole}"),
            Some(number) => write!(self.0, "{}", (number * 1e6).round() / 1e6),
        };
        debug_assert!(written.is_ok(), "a String takes what is written");
    }

    pub fn text(&mut self, text: &str) {
        self.separate();
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                _ if c.is_control() => {
                    let written = write!(self.0, "\\u{:04x}", u32::from(c));
                    debug_assert!(written.is_ok(), "a String takes what is written");
                }
                _ => self.0.push(c),
            }
        }
        self.0.push('"');
    }

    /// Writes a value that is JSON already.
    pub fn raw(&mut self, json: &str) {
        self.separate();
        self.0.push_str(json);
    }

    /// Writes a member for each number.
    pub fn numbers<'a>(&mut self, named: impl IntoIterator<Item = (&'a str, f64)>) {
        self.object(|json| named.into_iter().for_each(|(name, number)| json.key(name).number(number)));
    }

    fn enclose(&mut self, open: char, close: char, fill: impl FnOnce(&mut Self)) {
        self.separate();
        self.0.push(open);
        fill(self);
        self.0.push(close);
    }

    /// Writes a comma, unless the value is the first of its kind.
    fn separate(&mut self) {
        if !self.0.is_empty() && !self.0.ends_with(['{', '[', ':']) {
            self.0.push(',');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_json() {
        let mut json = Json::default();
        json.object(|json| {
            json.key("a").list(|json| {
                for number in [0.0, 12.5, 1e15, 0.123_456_78] {
                    json.number(number);
                }
                json.number(None);
                json.list(|_| ());
            });
            json.key("b{").text("\"\\\n\u{7f}\u{85}é</script>:");
            json.key("c").numbers([("x", 1.0), ("y", 2.0)]);
        });
        let expected = r#"{"a":[0,12.5,1000000000000000,0.123457,null,[]],"b{":"\"\\\u000a\u007f\u0085é</script>:","c":{"x":1,"y":2}}"#;
        assert_eq!(json.into_text(), expected);
    }
}
