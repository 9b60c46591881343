//! Arithmetic that more than one file needs.

/// Greatest common divisor; of 0 and n it is n.
pub(crate) fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greatest_common_divisors() {
        for (a, b, want) in [(0, 0, 0), (0, 6, 6), (6, 0, 6), (4, 6, 2), (7, 3, 1), (12, 12, 12)] {
            assert_eq!(gcd(a, b), want, "{a} {b}");
        }
    }
}
