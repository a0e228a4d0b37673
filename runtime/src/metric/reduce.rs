//! The reductions that `#[metric(reduce = …)]` names.

use super::Ranks;

/// A number whose mean is a number of its kind.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no mean: `#[metric(reduce = mean)]` takes `f32` or `f64`",
    note = "make the field an `f64`, or use `reduce = sum`, `min` or `max`"
)]
pub trait Averaged: Copy {
    /// The mean of `values`.
    fn mean(values: impl ExactSizeIterator<Item = Self>) -> Self;
}

impl Averaged for f64 {
    fn mean(values: impl ExactSizeIterator<Item = Self>) -> Self {
        let count = values.len() as f64;
        values.sum::<f64>() / count
    }
}

impl Averaged for f32 {
    fn mean(values: impl ExactSizeIterator<Item = Self>) -> Self {
        f64::mean(values.map(f64::from)) as f32
    }
}

/// A number that adds up.
#[diagnostic::on_unimplemented(message = "`{Self}` cannot be summed: `#[metric(reduce = sum)]` takes a number")]
pub trait Additive: Copy {
    /// The sum of `values`; a whole number that overflows stays at its largest.
    fn sum(values: impl Iterator<Item = Self>) -> Self;
}

/// A number that can be compared; NaN loses against every other value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be ordered: `#[metric(reduce = min)]` and `max` take a number"
)]
pub trait Ordered: Copy {
    /// The smaller of two.
    #[must_use]
    fn least(self, other: Self) -> Self;
    /// The larger of two.
    #[must_use]
    fn greatest(self, other: Self) -> Self;
}

macro_rules! floats {
    ($($float:ty),*) => {$(
        impl Additive for $float {
            fn sum(values: impl Iterator<Item = Self>) -> Self {
                values.sum()
            }
        }

        impl Ordered for $float {
            fn least(self, other: Self) -> Self {
                self.min(other)
            }

            fn greatest(self, other: Self) -> Self {
                self.max(other)
            }
        }
    )*};
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Additive for $integer {
            fn sum(values: impl Iterator<Item = Self>) -> Self {
                values.fold(0, Self::saturating_add)
            }
        }

        impl Ordered for $integer {
            fn least(self, other: Self) -> Self {
                self.min(other)
            }

            fn greatest(self, other: Self) -> Self {
                self.max(other)
            }
        }
    )*};
}

floats!(f32, f64);
integers!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);

/// The mean of a field.
pub fn mean<M, T: Averaged>(ranks: &Ranks<M>, field: impl Fn(&M) -> T) -> T {
    T::mean(ranks.iter().map(field))
}

/// The sum of a field.
pub fn sum<M, T: Additive>(ranks: &Ranks<M>, field: impl Fn(&M) -> T) -> T {
    T::sum(ranks.iter().map(field))
}

/// The smallest value of a field.
pub fn min<M, T: Ordered>(ranks: &Ranks<M>, field: impl Fn(&M) -> T) -> T {
    ranks.iter().map(&field).fold(field(ranks.first()), T::least)
}

/// The largest value of a field.
pub fn max<M, T: Ordered>(ranks: &Ranks<M>, field: impl Fn(&M) -> T) -> T {
    ranks.iter().map(&field).fold(field(ranks.first()), T::greatest)
}

/// Rank 0's value of a field.
pub fn first<M, T: Clone>(ranks: &Ranks<M>, field: impl Fn(&M) -> &T) -> T {
    field(ranks.first()).clone()
}

/// The last rank's value of a field.
pub fn last<M, T: Clone>(ranks: &Ranks<M>, field: impl Fn(&M) -> &T) -> T {
    field(ranks.last()).clone()
}

/// A field that is metrics itself, reduced as its own attributes say.
pub fn nested<M, T: Clone>(ranks: &Ranks<M>, field: impl Fn(&M) -> &T, reduce: fn(&Ranks<T>) -> T) -> T {
    reduce(&Ranks(ranks.iter().map(|metrics| field(metrics).clone()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(values: &[f64]) -> Ranks<f64> {
        Ranks::new(values.to_vec()).unwrap()
    }

    #[test]
    fn nan_loses_against_numbers_but_spoils_a_mean() {
        let values = ranks(&[f64::NAN, 2.0, 1.0]);
        assert!(min(&values, |v| *v).total_cmp(&1.0).is_eq());
        assert!(max(&values, |v| *v).total_cmp(&2.0).is_eq());
        assert!(mean(&values, |v| *v).is_nan());
    }

    #[test]
    fn a_mean_of_f32_is_summed_in_f64() {
        let values = Ranks::new(vec![1.0e8_f32, 1.0, -1.0e8]).unwrap();
        assert!(mean(&values, |v| *v).total_cmp(&(1.0 / 3.0)).is_eq());
    }

    #[test]
    fn last_is_the_last_ranks_and_none_is_the_first_ones() {
        let values = ranks(&[1.0, 2.0, 3.0]);
        assert!(last(&values, |v| v).total_cmp(&3.0).is_eq());
        assert!(first(&values, |v| v).total_cmp(&1.0).is_eq());
    }

    #[test]
    fn whole_numbers_stay_at_their_largest() {
        let values = Ranks::new(vec![u8::MAX, 1]).unwrap();
        assert_eq!(sum(&values, |v| *v), u8::MAX);
    }
}
