//! Numbers and addresses as text, without the general formatting machinery: these are written for each exchange.

use std::net::{IpAddr, Ipv4Addr};

/// Digits of `u64::MAX`.
const MOST_DIGITS: usize = 20;

/// A number in decimal digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    digits: [u8; MOST_DIGITS],
    start: usize,
}

impl Decimal {
    pub(super) fn of(number: impl Into<u64>) -> Self {
        let mut rest = number.into();
        let mut decimal = Self { digits: [b'0'; MOST_DIGITS], start: MOST_DIGITS };
        loop {
            decimal.start -= 1;
            decimal.digits[decimal.start] += (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return decimal;
            }
        }
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[self.start..]).unwrap_or_default()
    }
}

/// Appends a number.
pub(super) fn write_decimal(out: &mut String, number: impl Into<u64>) {
    out.push_str(Decimal::of(number).as_str());
}

/// Appends an address as [`IpAddr`] displays it.
pub(super) fn write_ip(out: &mut String, address: IpAddr) {
    match address {
        IpAddr::V4(address) => write_ipv4(out, address),
        IpAddr::V6(address) => write_display(out, address),
    }
}

fn write_ipv4(out: &mut String, address: Ipv4Addr) {
    for (i, octet) in address.octets().into_iter().enumerate() {
        if i > 0 {
            out.push('.');
        }
        let digit = |n: u8| char::from(b'0' + n % 10);
        if octet >= 100 {
            out.push(digit(octet / 100));
        }
        if octet >= 10 {
            out.push(digit(octet / 10));
        }
        out.push(digit(octet));
    }
}

/// Appends anything.
pub(super) fn write_display(out: &mut String, value: impl std::fmt::Display) {
    use std::fmt::Write;
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_written_as_they_display() {
        for number in [0u64, 7, 10, 1005, u64::MAX] {
            assert_eq!(Decimal::of(number).as_str(), number.to_string());
        }
        for address in ["0.0.0.0", "10.0.200.255", "::1", "2001:db8::1:0"] {
            let mut out = String::new();
            write_ip(&mut out, address.parse().expect("an address"));
            assert_eq!(out, address);
        }
    }
}
