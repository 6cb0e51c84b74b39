//! Which texts of 32 bytes are points of Ed25519 (RFC 8032 §5.1.3). The backend that verifies does not
//! say: a key that is none would be accepted, and each of its signatures refused.
//!
//! Public keys only, so nothing here needs to take constant time.

/// Whether a point of the curve is encoded so: `y` is smaller than p, and there is an `x`.
///
/// `x² = (y² - 1) / (d y² + 1)`, and the divisor is never zero. So there is one if the product of both
/// is zero or a square, which is Euler's criterion.
pub(super) fn is_point(encoded: &[u8; 32]) -> bool {
    let mut y = Field::from_bytes(encoded);
    let sign = y.0[3] >> 63;
    y.0[3] &= u64::MAX >> 1;
    if !y.is_reduced() {
        return false;
    }
    let square = y.times(y);
    let dividend = square.plus(MINUS_ONE);
    let divisor = square.times(D).plus(ONE);
    let product = dividend.times(divisor).reduced();
    match product {
        // x is zero, and has no sign.
        ZERO => sign == 0,
        _ => product.to_the(HALF).reduced() == ONE,
    }
}

/// A number modulo p = 2^255 - 19, its least significant part first; it may be p or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field([u64; 4]);

impl Field {
    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut limbs = [0; 4];
        for (limb, bytes) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = bytes
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        }
        Self(limbs)
    }

    fn is_reduced(self) -> bool {
        self.0.iter().rev().lt(P.0.iter().rev())
    }

    fn reduced(mut self) -> Self {
        while !self.is_reduced() {
            let mut borrow = false;
            for (limb, p) in self.0.iter_mut().zip(P.0) {
                let (less, first) = limb.overflowing_sub(p);
                let (less, second) = less.overflowing_sub(u64::from(borrow));
                (*limb, borrow) = (less, first || second);
            }
        }
        self
    }

    fn plus(self, other: Self) -> Self {
        let mut limbs = self.0;
        let mut carry = 0;
        for (limb, other) in limbs.iter_mut().zip(other.0) {
            let sum = u128::from(*limb) + u128::from(other) + carry;
            (*limb, carry) = (sum as u64, sum >> 64);
        }
        Self(limbs).with_carry(carry)
    }

    fn times(self, other: Self) -> Self {
        let mut wide = [0_u64; 8];
        for (at, own) in self.0.into_iter().enumerate() {
            let mut carry = 0;
            for (limb, other) in wide[at..at + 4].iter_mut().zip(other.0) {
                let sum = u128::from(own) * u128::from(other) + u128::from(*limb) + carry;
                (*limb, carry) = (sum as u64, sum >> 64);
            }
            wide[at + 4] = carry as u64;
        }
        // 2^256 is 38.
        let mut limbs = [0; 4];
        let mut carry = 0;
        for (at, limb) in limbs.iter_mut().enumerate() {
            let sum = u128::from(wide[at]) + 38 * u128::from(wide[at + 4]) + carry;
            (*limb, carry) = (sum as u64, sum >> 64);
        }
        Self(limbs).with_carry(carry)
    }

    /// Adds `carry` times 2^256.
    fn with_carry(mut self, mut carry: u128) -> Self {
        while carry > 0 {
            carry *= 38;
            for limb in &mut self.0 {
                let sum = u128::from(*limb) + carry;
                (*limb, carry) = (sum as u64, sum >> 64);
            }
        }
        self
    }

    fn to_the(self, exponent: [u64; 4]) -> Self {
        let mut power = ONE;
        for limb in exponent.into_iter().rev() {
            for bit in (0..64).rev() {
                power = power.times(power);
                if limb >> bit & 1 == 1 {
                    power = power.times(self);
                }
            }
        }
        power
    }
}

const ZERO: Field = Field([0; 4]);
const ONE: Field = Field([1, 0, 0, 0]);
const MINUS_ONE: Field = Field([P.0[0] - 1, P.0[1], P.0[2], P.0[3]]);
const P: Field = Field([u64::MAX - 18, u64::MAX, u64::MAX, u64::MAX >> 1]);
/// (p - 1) / 2.
const HALF: [u64; 4] = [u64::MAX - 9, u64::MAX, u64::MAX, u64::MAX >> 2];
/// -121665 / 121666 (RFC 8032 §5.1).
const D: Field = Field([
    0x75eb_4dca_1359_78a3,
    0x0070_0a4d_4141_d8ab,
    0x8cc7_4079_7779_e898,
    0x5203_6cee_2b6f_fe73,
]);

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    #[test]
    fn arithmetic_is_that_of_the_field() {
        let number = |number| Field([number, 0, 0, 0]);
        // d * 121666 = -121665.
        let zero = D.times(number(121_666)).plus(number(121_665));
        assert_eq!(zero.reduced(), ZERO);
        assert_eq!(P.reduced(), ZERO);
        assert_eq!(P.plus(P).plus(ONE).reduced(), ONE);
        assert_eq!(MINUS_ONE.times(MINUS_ONE).reduced(), ONE);
        assert_eq!(Field([u64::MAX; 4]).reduced(), number(37));
        assert_eq!(
            Field([u64::MAX; 4]).times(Field([u64::MAX; 4])).reduced(),
            number(37 * 37)
        );
        // 2 is no square modulo p, 4 is one; -1 is one, since p = 1 modulo 4.
        assert_eq!(number(2).to_the(HALF).reduced(), MINUS_ONE);
        assert_eq!(number(4).to_the(HALF).reduced(), ONE);
        assert_eq!(MINUS_ONE.to_the(HALF).reduced(), ONE);
    }

    #[test]
    fn every_key_that_is_made_is_a_point() {
        for _ in 0..200 {
            let pair = Ed25519KeyPair::generate().unwrap();
            let x: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
            assert!(is_point(&x), "{x:?}");
        }
    }

    #[test]
    fn about_half_of_all_texts_are_points() {
        let mut points = 0;
        for _ in 0..2_000 {
            let mut text = [0; 32];
            aws_lc_rs::rand::fill(&mut text).unwrap();
            points += usize::from(is_point(&text));
        }
        // Eight standard deviations.
        assert!((820..=1180).contains(&points), "{points}");
    }

    #[test]
    fn t32_what_no_point_is_encoded_as_is_refused() {
        let with = |first: u8, middle: u8, last: u8| {
            let mut text = [middle; 32];
            (text[0], text[31]) = (first, last);
            text
        };
        // y = 2 is on no point; y = 3 is (RFC 8032 has no examples, so by Euler's criterion elsewhere).
        assert!(!is_point(&with(2, 0, 0)));
        assert!(is_point(&with(3, 0, 0)));
        // p + 3, which is 3 spelt again, and p itself.
        assert!(!is_point(&with(0xf0, 0xff, 0x7f)));
        assert!(!is_point(&with(0xed, 0xff, 0x7f)));
        // x = 0 with a sign (RFC 8032 §5.1.3, step 4), and without.
        assert!(!is_point(&with(1, 0, 0x80)));
        assert!(is_point(&with(1, 0, 0)));
    }
}
