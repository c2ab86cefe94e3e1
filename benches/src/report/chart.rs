//! Charts: horizontal bars, lines, dots.

use super::svg::{GRID, INK, Scale, Svg, floor_to_decade, number};

/// Colours that are told apart, also by most who do not see all of them.
const PALETTE: [&str; 10] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7b5ea7", "#8c564b", "#17a589",
    "#999933",
];

/// One bar with the reach of its rounds.
pub struct Bar {
    pub label: String,
    pub value: f64,
    pub low: f64,
    pub high: f64,
    pub colour: &'static str,
}

pub struct Bars<'a> {
    pub title: &'a str,
    /// What the axis counts, with its unit.
    pub axis: &'a str,
    pub logarithmic: bool,
    pub bars: Vec<Bar>,
    /// Colours and what they mean.
    pub legend: Vec<(&'static str, &'static str)>,
}

/// A line through points, both positive.
pub struct Line {
    pub label: String,
    pub points: Vec<(f64, f64)>,
    pub dashed: bool,
    pub thick: bool,
}

pub struct Lines<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
    /// Whether the axes are logarithmic.
    pub log_x: bool,
    pub log_y: bool,
    pub lines: Vec<Line>,
}

impl Bars<'_> {
    pub fn draw(&self) -> String {
        let (left, width, row) = (190.0, 620.0, 22.0);
        let top = 74.0;
        let height = top + self.bars.len() as f64 * row + 46.0;
        let bottom = height - 40.0;
        let mut svg = Svg::new(left + width + 120.0, height, self.title);
        let scale = self.scale();
        let x = |value: f64| left + width * scale.place(value);
        key(&mut svg, left, 42.0, &self.legend);
        for tick in scale.ticks() {
            svg.line((x(tick), top - 6.0), (x(tick), bottom), GRID, 1.0, false);
            svg.text(x(tick), bottom + 16.0, &number(tick), "middle", 11, "normal");
        }
        for (at, bar) in self.bars.iter().enumerate() {
            let y = top + at as f64 * row;
            svg.text(left - 8.0, y + 13.0, &bar.label, "end", 13, "normal");
            let over = bar.value > scale.high;
            let end = x(bar.value.min(scale.high));
            svg.rect(left, y, (end - left).max(1.0), row - 5.0, bar.colour);
            if over {
                // A bar that does not fit is cut, and says so.
                svg.text(end - 6.0, y + 13.0, "cut", "end", 11, "bold");
            } else if bar.high > bar.low {
                let reach = (x(bar.low.max(scale.low)), x(bar.high.min(scale.high)));
                svg.line((reach.0, y + 8.5), (reach.1, y + 8.5), INK, 1.4, false);
            }
            let past = end.max(if over { end } else { x(bar.high.min(scale.high)) });
            svg.text(past + 6.0, y + 13.0, &number(bar.value), "start", 12, "normal");
        }
        svg.text(left + width / 2.0, height - 6.0, self.axis, "middle", 12, "normal");
        svg.end()
    }

    fn scale(&self) -> Scale {
        let mut values: Vec<_> = self.bars.iter().map(|bar| bar.value).collect();
        values.sort_by(f64::total_cmp);
        let most = values.last().copied().unwrap_or(1.0).max(1e-9);
        if self.logarithmic {
            let least = values.first().copied().unwrap_or(1.0).max(1e-9);
            return Scale { low: floor_to_decade(least * 0.8), high: most * 1.1, log: true };
        }
        // A few slow servers must not make the others too short to compare.
        let median = values.get(values.len() / 2).copied().unwrap_or(1.0);
        Scale { low: 0.0, high: most.min(median * 4.0) * 1.02, log: false }
    }
}

impl Lines<'_> {
    pub fn draw(&self) -> String {
        let (left, top, width, height) = (80.0, 72.0, 560.0, 380.0_f64);
        let legend_height = 90.0 + self.lines.len() as f64 * 18.0;
        let mut svg = Svg::new(left + width + 230.0, (top + height + 60.0).max(legend_height), self.title);
        let of = |pick: fn(&(f64, f64)) -> f64| {
            self.lines.iter().flat_map(move |line| line.points.iter().map(pick))
        };
        let xs = Scale::around(of(|point| point.0), self.log_x);
        let ys = Scale::around(of(|point| point.1), self.log_y);
        let place = |(x, y): (f64, f64)| (left + width * xs.place(x), top + height * (1.0 - ys.place(y)));
        axes(&mut svg, (left, top, width, height), (&xs, &ys), (self.x, self.y));
        for (at, line) in self.lines.iter().enumerate() {
            let colour = PALETTE[at % PALETTE.len()];
            // With more lines than colours, the second time round is dashed.
            let dashed = line.dashed || at >= PALETTE.len();
            let thickness = if line.thick { 3.2 } else { 1.6 };
            for pair in line.points.windows(2) {
                svg.line(place(pair[0]), place(pair[1]), colour, thickness, dashed);
            }
            for point in &line.points {
                let (x, y) = place(*point);
                svg.circle(x, y, thickness + 0.2, colour, false);
            }
            let y = top + 8.0 + at as f64 * 18.0;
            let x = left + width + 20.0;
            svg.line((x, y), (x + 26.0, y), colour, thickness, dashed);
            svg.text(x + 33.0, y + 4.0, &line.label, "start", 12, if line.thick { "bold" } else { "normal" });
        }
        svg.end()
    }
}

/// A point of a scatter.
pub struct Dot {
    pub x: f64,
    pub y: f64,
    pub colour: &'static str,
    pub hollow: bool,
}

pub struct Dots<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
    pub dots: Vec<Dot>,
    pub legend: Vec<(&'static str, &'static str)>,
    /// A vertical line and what it means.
    pub mark: Option<(f64, String)>,
}

impl Dots<'_> {
    pub fn draw(&self) -> String {
        let (left, top, width, height) = (70.0, 84.0, 640.0, 300.0);
        let mut svg = Svg::new(left + width + 30.0, top + height + 60.0, self.title);
        let xs = Scale::around(self.dots.iter().map(|dot| dot.x), false);
        let ys = Scale::around(self.dots.iter().map(|dot| dot.y), false);
        let place = |x: f64, y: f64| (left + width * xs.place(x), top + height * (1.0 - ys.place(y)));
        axes(&mut svg, (left, top, width, height), (&xs, &ys), (self.x, self.y));
        key(&mut svg, left, 44.0, &self.legend);
        if let Some((x, meaning)) = &self.mark {
            let (x, _) = place(*x, 0.0);
            svg.line((x, top), (x, top + height), INK, 1.4, true);
            svg.text(x + 6.0, top + 14.0, meaning, "start", 12, "normal");
        }
        for dot in &self.dots {
            let (x, y) = place(dot.x, dot.y);
            svg.circle(x, y, 4.0, dot.colour, dot.hollow);
        }
        svg.end()
    }
}

/// A grid with numbers, and the titles of both axes.
fn axes(svg: &mut Svg, area: (f64, f64, f64, f64), scales: (&Scale, &Scale), titles: (&str, &str)) {
    let (left, top, width, height) = area;
    for tick in scales.0.ticks() {
        let x = left + width * scales.0.place(tick);
        svg.line((x, top), (x, top + height), GRID, 1.0, false);
        svg.text(x, top + height + 17.0, &number(tick), "middle", 11, "normal");
    }
    for tick in scales.1.ticks() {
        let y = top + height * (1.0 - scales.1.place(tick));
        svg.line((left, y), (left + width, y), GRID, 1.0, false);
        svg.text(left - 7.0, y + 4.0, &number(tick), "end", 11, "normal");
    }
    svg.text(left + width / 2.0, top + height + 42.0, titles.0, "middle", 12, "normal");
    svg.text(16.0, top - 14.0, titles.1, "start", 12, "normal");
}

/// Colours and what they mean, in a row.
fn key(svg: &mut Svg, left: f64, top: f64, entries: &[(&str, &str)]) {
    let mut at = left;
    for (colour, meaning) in entries {
        svg.rect(at, top, 12.0, 12.0, colour);
        svg.text(at + 17.0, top + 10.5, meaning, "start", 12, "normal");
        at += 34.0 + 7.0 * meaning.len() as f64;
    }
}
