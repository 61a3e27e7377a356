//! Addresses and networks in their one canonical form, so that no rule can be missed by writing an address
//! in another way. Knows no sockets and resolves nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::rule::{Network, Ports, Protocol};

/// Bits of `::ffff:0:0/96`, under which IPv6 writes IPv4 addresses.
const MAPPED_BITS: u8 = 96;

/// Longest DNS name.
pub(crate) const MAX_NAME_BYTES: usize = 253;

/// Longest part of a DNS name.
const MAX_LABEL_BYTES: usize = 63;

/// Whether this is a DNS name, without a dot at its end.
pub fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=MAX_LABEL_BYTES).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= MAX_NAME_BYTES && text.split('.').all(label)
}

/// Why a network or port range could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither an address nor a prefix.
    #[error("`{0}` is not an address; write 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32")]
    NotAnAddress(String),
    /// Prefix length beyond the family.
    #[error("`{text}` has more than {most} prefix bits; write /{most} or less")]
    TooManyBits {
        /// As written.
        text: String,
        /// 32 or 128.
        most: u8,
    },
    /// `10.0.0.1/8`.
    #[error("`{text}` has bits set after its prefix; write {network}")]
    HostBits {
        /// As written.
        text: String,
        /// What it probably means.
        network: Network,
    },
    /// Neither a port nor a range.
    #[error("`{0}` is not a port; write 443 or \"8000-9000\", ports 0 to 65535")]
    NotAPort(String),
    /// `9000-8000`.
    #[error("the port range `{0}` ends before it starts; write the lower port first")]
    Backwards(String),
}

/// The address that rules are written about: IPv4 also where IPv6 maps it (`::ffff:a.b.c.d`).
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
    }
}

/// The 16 bytes under which the kernel's tables know an address: IPv4 as `::ffff:a.b.c.d`.
pub fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Bits of an address family.
pub const fn family_bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl Network {
    /// Every IPv4 address.
    pub const ALL_V4: Self = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), bits: 0 };
    /// Every IPv6 address that is no mapped IPv4 address.
    pub const ALL_V6: Self = Self { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), bits: 0 };

    /// The network of `bits` around an address; bits beyond the family count as all of it.
    pub fn around(address: IpAddr, bits: u8) -> Self {
        let bits = bits.min(family_bits(address));
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Self { address, bits }
    }

    /// Whether the address, in canonical form, is inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = canonical(address);
        address.is_ipv4() == self.address.is_ipv4() && Self::around(address, self.bits) == *self
    }

    /// The same network as rules name it: a network of mapped IPv4 addresses becomes the IPv4 network.
    #[must_use]
    pub fn canonical(self) -> Self {
        match (canonical(self.address), self.bits.checked_sub(MAPPED_BITS)) {
            (IpAddr::V4(v4), Some(bits)) if self.address.is_ipv6() => Self::around(IpAddr::V4(v4), bits),
            _ => self,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl FromStr for Network {
    type Err = AddressError;

    /// Reads `10.0.0.0/8`, `2001:db8::/32` or one address; host bits must be zero.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let not_an_address = || AddressError::NotAnAddress(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| not_an_address())?;
        let most = family_bits(address);
        let bits = match bits {
            None => most,
            Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(not_an_address());
            }
            Some(digits) => digits
                .parse::<u8>()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(|| AddressError::TooManyBits { text: text.to_owned(), most })?,
        };
        let network = Self::around(address, bits);
        if network.address != address {
            return Err(AddressError::HostBits { text: text.to_owned(), network });
        }
        Ok(network.canonical())
    }
}

/// Reads `443` or `8000-9000`.
pub fn parse_ports(text: &str) -> Result<(u16, u16), AddressError> {
    let not_a_port = || AddressError::NotAPort(text.to_owned());
    let port = |digits: &str| {
        let digits = digits.trim();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(not_a_port());
        }
        digits.parse::<u16>().map_err(|_| not_a_port())
    };
    let (low, high) = match text.split_once('-') {
        Some((low, high)) => (port(low)?, port(high)?),
        None => (port(text)?, port(text)?),
    };
    if low > high {
        return Err(AddressError::Backwards(text.to_owned()));
    }
    Ok((low, high))
}

impl Ports {
    /// Every port of every protocol.
    pub const ALL: Self = Self { protocol: Protocol::Any, ranges: Vec::new() };

    /// The ranges, with "every port" written out.
    pub fn spans(&self) -> &[(u16, u16)] {
        const EVERY: &[(u16, u16)] = &[(0, u16::MAX)];
        if self.ranges.is_empty() { EVERY } else { &self.ranges }
    }
}

impl Protocol {
    /// Whether a rule for this protocol speaks about traffic of `other`.
    pub fn covers(self, other: Self) -> bool {
        self == Self::Any || self == other
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("a test writes addresses right")
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        for (written, meant) in [
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::ffff:a9fe:a9fe", "169.254.169.254"),
            ("10.0.0.1", "10.0.0.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::1", "::1"),
        ] {
            assert_eq!(canonical(ip(written)), ip(meant));
        }
        assert_eq!(mapped(ip("10.0.0.1")), mapped(ip("::ffff:10.0.0.1")));
    }

    #[test]
    fn networks_are_read_in_canonical_form() {
        for (written, meant) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::/0", "::/0"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(written.parse::<Network>().map(|n| n.to_string()), Ok(meant.to_owned()), "{written}");
        }
    }

    #[test]
    fn bad_networks_say_what_to_write() {
        for (written, part) in [
            ("10.0.0.1/8", "write 10.0.0.0/8"),
            ("10.0.0.0/33", "write /32 or less"),
            ("::/129", "write /128 or less"),
            ("10.0.0.0/", "not an address"),
            ("10.0.0.0/+8", "not an address"),
            ("example.com", "not an address"),
            ("", "not an address"),
        ] {
            let error = written.parse::<Network>().expect_err(written).to_string();
            assert!(error.contains(part), "{written}: {error}");
        }
    }

    #[test]
    fn a_network_contains_mapped_addresses_but_not_the_other_family() {
        let ten: Network = "10.0.0.0/8".parse().expect("network");
        assert!(ten.contains(ip("10.255.0.1")) && ten.contains(ip("::ffff:10.1.1.1")));
        assert!(!ten.contains(ip("11.0.0.0")) && !ten.contains(ip("::a00:1")));
        assert!(!Network::ALL_V4.contains(ip("::1")) && !Network::ALL_V6.contains(ip("::ffff:1.2.3.4")));
    }

    #[test]
    fn ports_are_numbers_or_ranges() {
        assert_eq!(parse_ports("443"), Ok((443, 443)));
        assert_eq!(parse_ports("8000-9000"), Ok((8000, 9000)));
        for bad in ["", "-", "1-", "65536", "http", "-1", "9-8", "+5"] {
            assert!(parse_ports(bad).is_err(), "{bad}");
        }
    }
}
