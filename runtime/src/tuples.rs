//! The tuples for which the crate's traits are implemented.

/// Calls a macro with the parts of each tuple of one to six: their types, and their places.
macro_rules! for_tuples {
    ($implement:ident) => {
        $implement!(A 0);
        $implement!(A 0, B 1);
        $implement!(A 0, B 1, C 2);
        $implement!(A 0, B 1, C 2, D 3);
        $implement!(A 0, B 1, C 2, D 3, E 4);
        $implement!(A 0, B 1, C 2, D 3, E 4, F 5);
    };
}

pub(crate) use for_tuples;
