//! A drawing as SVG text, axes with their ticks, and how numbers are written.

use std::fmt::Write;

const FONT: &str = "font-family=\"system-ui, sans-serif\"";
pub const INK: &str = "#222";
pub const GRID: &str = "#ddd";
/// Values to the length of an axis.
pub struct Scale {
    pub low: f64,
    pub high: f64,
    pub log: bool,
}

impl Scale {
    pub fn around(values: impl Iterator<Item = f64>, log: bool) -> Self {
        let (low, high) =
            values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let high = high.max(1e-9);
        if log {
            Self { low: low.min(high) * 0.8, high: high * 1.25, log }
        } else {
            Self { low: 0.0, high: high * 1.05, log }
        }
    }

    pub fn place(&self, value: f64) -> f64 {
        let place = if self.log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        place.clamp(0.0, 1.0)
    }

    pub fn ticks(&self) -> Vec<f64> {
        if self.log {
            let decades = (self.high / self.low).log10();
            let steps: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let first = floor_to_decade(self.low);
            let all =
                (0..12).flat_map(|decade| steps.iter().map(move |step| first * step * 10_f64.powi(decade)));
            return all.filter(|tick| *tick >= self.low * 0.999 && *tick <= self.high * 1.001).collect();
        }
        let rough = (self.high - self.low) / 6.0;
        let unit = floor_to_decade(rough);
        let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * unit).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        (0..20).map(|at| self.low + step * f64::from(at)).take_while(|tick| *tick <= self.high).collect()
    }
}

pub fn floor_to_decade(value: f64) -> f64 {
    10_f64.powf(value.log10().floor())
}

/// Three digits, with separators.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size == 0.0 || size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{fraction}")
}

/// The text of a drawing.
pub struct Svg(String);

impl Svg {
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        let mut svg = Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\"><title>{}</title>\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
            escaped(title)
        ));
        svg.text(16.0, 26.0, title, "start", 16, "bold");
        svg
    }

    pub fn text(&mut self, x: f64, y: f64, text: &str, anchor: &str, size: u32, weight: &str) {
        let text = escaped(text);
        let _ = writeln!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" {FONT} font-size=\"{size}\" font-weight=\"{weight}\" \
             text-anchor=\"{anchor}\" fill=\"{INK}\">{text}</text>"
        );
    }

    /// A text that begins at `x`, in a colour.
    pub fn coloured_text(&mut self, x: f64, y: f64, text: &str, size: u32, weight: &str, colour: &str) {
        let text = escaped(text);
        let _ = writeln!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" {FONT} font-size=\"{size}\" font-weight=\"{weight}\" \
             fill=\"{colour}\">{text}</text>"
        );
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64, dashed: bool) {
        let dash = if dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        let _ = writeln!(
            self.0,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"{dash}/>",
            from.0, from.1, to.0, to.1
        );
    }

    pub fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, colour: &str) {
        let _ = writeln!(
            self.0,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
        );
    }

    pub fn circle(&mut self, x: f64, y: f64, radius: f64, colour: &str, hollow: bool) {
        let fill = if hollow { "#fff" } else { colour };
        let _ = writeln!(
            self.0,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.4\"/>"
        );
    }

    pub fn end(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_separators() {
        let cases = [(0.0, "0"), (0.4153, "0.415"), (5.6958, "5.7"), (12.34, "12.3"), (172_614.9, "172,615")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn scales() {
        let log = Scale { low: 1.0, high: 1000.0, log: true };
        assert!((log.place(10.0) - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(log.ticks().len(), 10);
        let linear = Scale { low: 0.0, high: 60.0, log: false };
        assert_eq!(linear.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
    }
}
