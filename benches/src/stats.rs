//! Medians and spreads of a few rounds.

/// The middle of some values and how far they reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    pub count: usize,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let middle = |at: usize| values.get(at).copied();
        let median = f64::midpoint(middle(count.checked_sub(1)? / 2)?, middle(count / 2)?);
        Some(Self { median, low: values[0], high: values[count - 1], count })
    }
}

/// The median of some values and its standard error, from their interquartile range, so that a
/// few values far off do not count.
pub fn median_and_error(values: &[f64]) -> Option<(f64, f64)> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let place = share * values.len().checked_sub(1)? as f64;
        let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
        Some(low + (high - low) * place.fract())
    };
    let range = quantile(0.75)? - quantile(0.25)?;
    // As for a normal distribution, whose interquartile range is 1.349 deviations.
    let error = 1.253 * range / 1.349 / (values.len() as f64).sqrt();
    Some((quantile(0.5)?, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_even_none() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, low: 1.0, high: 3.0, count: 3 }));
        assert_eq!(Spread::of(&[4.0, 1.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn an_outlier_does_not_move_the_error() {
        let (median, error) = median_and_error(&[1.0, 1.01, 1.02, 1.03, 9.0]).unwrap();
        assert!((median - 1.02).abs() < 1e-9 && error < 0.01, "{median} {error}");
        assert_eq!(median_and_error(&[]), None);
    }
}
