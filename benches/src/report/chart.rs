//! Charts: horizontal bars, lines, dots.

use super::svg::{GRID, INK, Scale, Svg, floor_to_decade, number};

/// The colour of our own lines.
const OURS: &str = "#d55e00";
/// The colours of peers: most people who do not see all colours can tell them apart.
const PEERS: [&str; 6] = ["#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#7b5ea7", "#8c564b"];
/// The colour of all other lines, which have no names.
const OTHERS: &str = "#c8c8c8";
/// The least distance between two names beside a chart.
const NAME_HEIGHT: f64 = 15.0;

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

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Thick, in our colour, with its name.
    Ours,
    /// In a colour of its own, with its name. A chart has at most [`PEERS`] of them.
    Peer,
    /// Grey and without a name.
    Other,
}

/// A line through points, both positive.
pub struct Line {
    pub label: String,
    pub points: Vec<(f64, f64)>,
    pub dashed: bool,
    pub role: Role,
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
        let mut svg = Svg::new(left + width + 190.0, top + height + 60.0, self.title);
        let of = |pick: fn(&(f64, f64)) -> f64| {
            self.lines.iter().flat_map(move |line| line.points.iter().map(pick))
        };
        let xs = Scale::around(of(|point| point.0), self.log_x);
        let ys = Scale::around(of(|point| point.1), self.log_y);
        let place = |(x, y): (f64, f64)| (left + width * xs.place(x), top + height * (1.0 - ys.place(y)));
        axes(&mut svg, (left, top, width, height), (&xs, &ys), (self.x, self.y));
        let mut names = Vec::new();
        // Peers are thinner than ours: on top, neither hides the other.
        for role in [Role::Other, Role::Ours, Role::Peer] {
            for (at, line) in self.lines.iter().filter(|line| line.role == role).enumerate() {
                let (colour, thickness) = match role {
                    Role::Ours => (OURS, 3.0),
                    Role::Peer => (PEERS[at % PEERS.len()], 1.8),
                    Role::Other => (OTHERS, 1.2),
                };
                for pair in line.points.windows(2) {
                    svg.line(place(pair[0]), place(pair[1]), colour, thickness, line.dashed);
                }
                for point in line.points.iter().filter(|_| role != Role::Other) {
                    let (x, y) = place(*point);
                    svg.circle(x, y, thickness + 0.2, colour, false);
                }
                if let Some(end) = line.points.last().filter(|_| role != Role::Other) {
                    names.push((place(*end), line, colour));
                }
            }
        }
        let others = self.lines.iter().filter(|line| line.role == Role::Other).count();
        if others > 0 {
            key(&mut svg, left + width - 130.0, top - 24.0, &[(OTHERS, &format!("{others} other servers"))]);
        }
        names.sort_by(|(one, ..), (other, ..)| one.1.total_cmp(&other.1));
        let wanted: Vec<_> = names.iter().map(|(end, ..)| end.1).collect();
        for ((end, line, colour), y) in names.iter().zip(apart(&wanted, top, top + height)) {
            let x = left + width + 22.0;
            svg.line(*end, (x - 4.0, y), colour, 0.8, false);
            let weight = if line.role == Role::Ours { "bold" } else { "normal" };
            svg.coloured_text(x, y + 4.0, &line.label, 12, weight, colour);
        }
        svg.end()
    }
}

/// Moves heights, from the top down, until no two are closer than a name is high.
fn apart(wanted: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut placed: Vec<f64> = Vec::new();
    for want in wanted {
        let least = placed.last().map_or(top, |last| last + NAME_HEIGHT);
        placed.push(want.max(least));
    }
    let mut most = bottom;
    for place in placed.iter_mut().rev() {
        *place = place.min(most);
        most = *place - NAME_HEIGHT;
    }
    placed
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beside_a_chart_do_not_cover_each_other() {
        let placed = apart(&[10.0, 12.0, 50.0, 98.0, 99.0], 0.0, 100.0);
        assert_eq!(placed, [10.0, 25.0, 50.0, 85.0, 100.0]);
    }

    #[test]
    fn a_line_without_a_role_of_its_own_is_grey_and_has_no_name() {
        let line = |label: &str, role| Line {
            label: label.into(),
            points: vec![(1.0, 2.0), (10.0, 3.0)],
            dashed: false,
            role,
        };
        let lines = vec![line("ours", Role::Ours), line("peer", Role::Peer), line("hidden", Role::Other)];
        let svg = Lines { title: "t", x: "x", y: "y", log_x: true, log_y: true, lines }.draw();
        assert!(svg.contains(">ours<") && svg.contains(">peer<") && !svg.contains("hidden"));
        assert!(svg.contains(OTHERS) && svg.contains("1 other servers"));
    }
}
