//! The sentence about an unknown name.

/// Returns a sentence which says that there is no `kind` called `name`, suggests the closest
/// of the known names, and lists them all.
pub(crate) fn unknown(kind: &str, name: &str, known: impl Iterator<Item = &'static str>) -> String {
    let known: Vec<_> = known.collect();
    let closest = known.iter().map(|known| (distance(name, known), *known)).min();
    let meant = match closest {
        Some((steps, known)) if steps <= known.len().min(name.len()) / 2 => {
            format!(" Did you mean '{known}'?")
        }
        _ => String::new(),
    };
    format!("there is no {kind} '{}'.{meant} There are: {}", name.escape_debug(), known.join(", "))
}

/// Returns the number of letters to insert, delete or replace to turn one text into the other
/// (the Levenshtein distance).
fn distance(one: &str, other: &str) -> usize {
    let other = other.as_bytes();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (done, letter) in one.bytes().enumerate() {
        let mut corner = done;
        row[0] = done + 1;
        for (at, known) in other.iter().enumerate() {
            let changed = corner + usize::from(*known != letter);
            corner = row[at + 1];
            row[at + 1] = changed.min(corner + 1).min(row[at] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant_is_said_if_one_is_near() {
        let names = || ["body", "headers", "connections_per_address"].into_iter();
        let tail = "There are: body, headers, connections_per_address";
        for (name, meant) in [
            ("boddy", " Did you mean 'body'?"),
            ("header", " Did you mean 'headers'?"),
            ("connection_per_adress", " Did you mean 'connections_per_address'?"),
            ("coffee", ""),
            ("", ""),
            ("b\u{f6}dy", " Did you mean 'body'?"),
        ] {
            assert_eq!(unknown("limit", name, names()), format!("there is no limit '{name}'.{meant} {tail}"));
        }
    }

    #[test]
    fn a_distance_counts_letters() {
        for (one, other, steps) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("body", "body", 0)]
        {
            assert_eq!((distance(one, other), distance(other, one)), (steps, steps));
        }
    }
}
