//! Arithmetic that more than one file needs.

/// Greatest common divisor; of 0 and n it is n.
pub(crate) fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Whether `n` is prime. Takes time in the order of its square root.
pub(crate) fn is_prime(n: u32) -> bool {
    let root = n.isqrt();
    n == 2 || n > 2 && !n.is_multiple_of(2) && (3..=root).step_by(2).all(|d| !n.is_multiple_of(d))
}

/// `n` if it is prime, else the next that is; `n` if there is none.
pub(crate) fn next_prime(n: u32) -> u32 {
    (n..=u32::MAX).find(|&n| is_prime(n)).unwrap_or(n)
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

    #[test]
    fn primes() {
        let primes: Vec<u32> = (0..30).filter(|&n| is_prime(n)).collect();
        assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
        for (n, want) in [(0, 2), (2, 2), (24, 29), (65_535, 65_537), (65_537, 65_537), (u32::MAX, u32::MAX)]
        {
            assert_eq!(next_prime(n), want, "{n}");
        }
    }
}
