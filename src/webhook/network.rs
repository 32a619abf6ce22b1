//! The addresses that webhooks may be sent to: only public ones, so that no endpoint can reach the internal network. An
//! operator may allow further networks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Networks that are allowed although they are not public. Empty unless the operator configures some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedNetworks(Vec<IpNet>);

impl AllowedNetworks {
    /// Parses networks in CIDR notation (`10.20.0.0/16`, `fd00::/8`) and single addresses.
    ///
    /// # Errors
    ///
    /// The first entry that is not a network, or whose address has bits beyond its prefix.
    pub fn parse<'t>(entries: impl IntoIterator<Item = &'t str>) -> Result<Self, NetworkError> {
        entries.into_iter().map(str::trim).map(network).collect::<Result<_, _>>().map(Self)
    }

    /// Every network, for a URL that the operator has chosen.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
        ])
    }

    /// Whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `ip` must be canonical, so that an IPv4 address never has its IPv6 form.
    fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }
}

impl fmt::Display for AllowedNetworks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&networks.join(", "))
    }
}

/// Whether webhooks may be sent to this address. An IPv4 address written as IPv6 (`::ffff:10.0.0.5`) counts as IPv4.
///
/// # Errors
///
/// The kind of the address, if it is neither public nor in an allowed network.
pub fn check_address(ip: IpAddr, allowed: &AllowedNetworks) -> Result<(), NotPublic> {
    let address = ip.to_canonical();
    if allowed.contains(address) {
        return Ok(());
    }
    let range = match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    };
    range.map_or(Ok(()), |range| Err(NotPublic { address, range }))
}

/// An address that webhooks are not sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotPublic {
    /// The address; an IPv4 address written as IPv6 becomes IPv4.
    pub address: IpAddr,
    /// The kind of address, with its article: `a private address`.
    pub range: &'static str,
}

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, range } = self;
        write!(f, "{address} is {range}: webhooks are sent to public addresses only")
    }
}

impl std::error::Error for NotPublic {}

/// An entry of the allowed networks that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkError {
    /// The entry is neither a network nor an address.
    NotANetwork(String),
    /// The address has bits beyond the prefix, so it is unclear whether the network or the address is meant.
    HostBits {
        /// The entry.
        entry: IpNet,
    },
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANetwork(entry) => {
                write!(f, "{entry:?} is no network: write it like 10.20.0.0/16 or fd00::/8")
            }
            Self::HostBits { entry } => {
                write!(
                    f,
                    "{entry} has bits beyond its prefix: write {} or {}",
                    entry.trunc(),
                    IpNet::from(entry.addr())
                )
            }
        }
    }
}

impl std::error::Error for NetworkError {}

fn network(entry: &str) -> Result<IpNet, NetworkError> {
    let network = entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| NetworkError::NotANetwork(entry.to_owned()))?;
    if network.trunc() != network {
        return Err(NetworkError::HostBits { entry: network });
    }
    Ok(canonical(network))
}

/// Converts an IPv4 network written as IPv6, because addresses are converted in the same way before they are compared.
fn canonical(network: IpNet) -> IpNet {
    let (IpAddr::V4(address), Some(prefix)) =
        (network.addr().to_canonical(), network.prefix_len().checked_sub(96))
    else {
        return network;
    };
    Ipv4Net::new(address, prefix).map_or(network, IpNet::V4)
}

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// Clouds serve credentials at this address to every internal client.
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
const METADATA: &str = "the cloud's metadata service";

const LOOPBACK: &str = "a loopback address";
const PRIVATE: &str = "a private address";
const LINK_LOCAL: &str = "a link-local address";
const UNSPECIFIED: &str = "the unspecified address";
const DOCUMENTATION: &str = "an address for documentation";
const TRANSLATED: &str = "an IPv4 address translated to IPv6";
const MULTICAST: &str = "a multicast address";
const RESERVED: &str = "a reserved address";
const AS112: &str = "an address of the AS112 project";

/// IANA's IPv4 Special-Purpose Address Registry (RFC 6890), plus multicast and class E. The few reachable blocks in it
/// serve protocols, not receivers.
const SPECIAL_V4: [(Ipv4Net, &str); 19] = [
    (v4(0, 0, 0, 8), "an address of this network"),
    (v4(10, 0, 0, 8), PRIVATE),
    (v4(100, 64, 0, 10), "a carrier's internal address"),
    (v4(127, 0, 0, 8), LOOPBACK),
    (v4(169, 254, 0, 16), LINK_LOCAL),
    (v4(172, 16, 0, 12), PRIVATE),
    (v4(192, 0, 0, 24), RESERVED),
    (v4(192, 0, 2, 24), DOCUMENTATION),
    (v4(192, 31, 196, 24), AS112),
    (v4(192, 52, 193, 24), "an address of multicast relays"),
    (v4(192, 88, 99, 24), "an address of 6to4 relays"),
    (v4(192, 168, 0, 16), PRIVATE),
    (v4(192, 175, 48, 24), AS112),
    (v4(198, 18, 0, 15), "an address for benchmarks"),
    (v4(198, 51, 100, 24), DOCUMENTATION),
    (v4(203, 0, 113, 24), DOCUMENTATION),
    (v4(224, 0, 0, 4), MULTICAST),
    (Ipv4Net::new_assert(Ipv4Addr::BROADCAST, 32), "the broadcast address"),
    (v4(240, 0, 0, 4), RESERVED),
];

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address {
        METADATA_V4 => Some(METADATA),
        Ipv4Addr::UNSPECIFIED => Some(UNSPECIFIED),
        _ => SPECIAL_V4.iter().find(|(network, _)| network.contains(&address)).map(|(_, range)| *range),
    }
}

/// The part of IPv6 that is allocated for public use (RFC 4291 §2.4).
const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 3);

/// IANA's IPv6 Special-Purpose Address Registry. The ranges outside [`GLOBAL_UNICAST`] are listed only for their names.
const SPECIAL_V6: [(Ipv6Net, &str); 15] = [
    (v6(0, 0, 0, 96), TRANSLATED),
    // Checking the embedded IPv4 address instead would expose the network behind the translator.
    (v6(0x64, 0xff9b, 0, 96), TRANSLATED),
    (v6(0x64, 0xff9b, 1, 48), TRANSLATED),
    (v6(0x100, 0, 0, 64), "an address that discards everything"),
    // Teredo, benchmarks, ORCHID and others.
    (v6(0x2001, 0, 0, 23), RESERVED),
    (v6(0x2001, 0xdb8, 0, 32), DOCUMENTATION),
    (v6(0x2002, 0, 0, 16), TRANSLATED),
    (v6(0x2620, 0x4f, 0x8000, 48), AS112),
    (v6(0x3fff, 0, 0, 20), DOCUMENTATION),
    (v6(0x5f00, 0, 0, 16), "an address for segment routing"),
    (v6(0xfc00, 0, 0, 7), PRIVATE),
    (v6(0xfe80, 0, 0, 10), LINK_LOCAL),
    (v6(0xfec0, 0, 0, 10), PRIVATE),
    (v6(0xff00, 0, 0, 8), MULTICAST),
    (Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96), TRANSLATED),
];

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let range = match address {
        METADATA_V6 => Some(METADATA),
        Ipv6Addr::UNSPECIFIED => Some(UNSPECIFIED),
        Ipv6Addr::LOCALHOST => Some(LOOPBACK),
        _ => SPECIAL_V6.iter().find(|(network, _)| network.contains(&address)).map(|(_, range)| *range),
    };
    range.or_else(|| (!GLOBAL_UNICAST.contains(&address)).then_some(RESERVED))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn range_of(text: &str) -> Option<&'static str> {
        check_address(ip(text), &AllowedNetworks::default()).err().map(|refused| refused.range)
    }

    /// Each range with its first and last address, and its neighbours where those are public.
    const EDGES: [(&str, &str, Option<&str>, Option<&str>); 35] = [
        ("0.0.0.1", "0.255.255.255", None, Some("1.0.0.0")),
        ("10.0.0.0", "10.255.255.255", Some("9.255.255.255"), Some("11.0.0.0")),
        ("100.64.0.0", "100.127.255.255", Some("100.63.255.255"), Some("100.128.0.0")),
        ("127.0.0.0", "127.255.255.255", Some("126.255.255.255"), Some("128.0.0.0")),
        ("169.254.0.0", "169.254.255.255", Some("169.253.255.255"), Some("169.255.0.0")),
        ("172.16.0.0", "172.31.255.255", Some("172.15.255.255"), Some("172.32.0.0")),
        ("192.0.0.0", "192.0.0.255", Some("191.255.255.255"), Some("192.0.1.0")),
        ("192.0.2.0", "192.0.2.255", Some("192.0.1.255"), Some("192.0.3.0")),
        ("192.31.196.0", "192.31.196.255", Some("192.31.195.255"), Some("192.31.197.0")),
        ("192.52.193.0", "192.52.193.255", Some("192.52.192.255"), Some("192.52.194.0")),
        ("192.88.99.0", "192.88.99.255", Some("192.88.98.255"), Some("192.88.100.0")),
        ("192.168.0.0", "192.168.255.255", Some("192.167.255.255"), Some("192.169.0.0")),
        ("192.175.48.0", "192.175.48.255", Some("192.175.47.255"), Some("192.175.49.0")),
        ("198.18.0.0", "198.19.255.255", Some("198.17.255.255"), Some("198.20.0.0")),
        ("198.51.100.0", "198.51.100.255", Some("198.51.99.255"), Some("198.51.101.0")),
        ("203.0.113.0", "203.0.113.255", Some("203.0.112.255"), Some("203.0.114.0")),
        ("224.0.0.0", "239.255.255.255", Some("223.255.255.255"), None),
        ("240.0.0.0", "255.255.255.254", None, None),
        ("::2", "::ffff", None, None),
        ("::8.8.8.8", "::255.255.255.255", None, None),
        ("::ffff:0:0:0", "::ffff:0:ffff:ffff", None, None),
        ("64:ff9b::", "64:ff9b::ffff:ffff", None, None),
        ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", None, None),
        ("100::", "100::ffff:ffff:ffff:ffff", None, None),
        ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", None, Some("2001:200::")),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:db7:ffff::"), Some("2001:db9::")),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:ffff::"), Some("2003::")),
        ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", None, Some("2620:4f:8001::")),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Some("3ffe:ffff::1"), Some("3fff:1000::")),
        ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
        ("4000::", "5eff:ffff::", Some("3fff:ffff:ffff::"), None),
    ];

    #[test]
    fn each_special_range_is_refused_to_its_edges_and_no_further() {
        for (first, last, before, after) in EDGES {
            let range = range_of(first);
            assert!(range.is_some(), "{first}");
            assert_eq!(range_of(last), range, "{last}");
            for public in [before, after].into_iter().flatten() {
                assert_eq!(range_of(public), None, "{public}");
            }
        }
    }

    #[test]
    fn single_addresses_have_specific_names() {
        assert_eq!(range_of("0.0.0.0"), Some(UNSPECIFIED));
        assert_eq!(range_of("::"), Some(UNSPECIFIED));
        assert_eq!(range_of("::1"), Some(LOOPBACK));
        assert_eq!(range_of("169.254.169.254"), Some(METADATA));
        assert_eq!(range_of("::ffff:169.254.169.254"), Some(METADATA));
        assert_eq!(range_of("fd00:ec2::254"), Some(METADATA));
        assert_eq!(range_of("255.255.255.255"), Some("the broadcast address"));
        let refused = check_address(ip("10.0.0.5"), &AllowedNetworks::default()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "10.0.0.5 is a private address: webhooks are sent to public addresses only"
        );
    }

    #[test]
    fn public_addresses_are_sent_to() {
        for public in
            ["1.1.1.1", "93.184.215.14", "::ffff:1.1.1.1", "2606:4700::1111", "2a00:1450:4001::200e"]
        {
            assert_eq!(range_of(public), None, "{public}");
        }
    }

    #[test]
    fn an_allowed_network_opens_itself_and_nothing_else() {
        let allowed = AllowedNetworks::parse(["10.20.0.0/16", " fd12::/16 ", "127.0.0.1"]).unwrap();
        for open in ["10.20.0.0", "10.20.255.255", "::ffff:10.20.1.2", "fd12::1", "127.0.0.1", "1.1.1.1"] {
            assert_eq!(check_address(ip(open), &allowed), Ok(()), "{open}");
        }
        for shut in
            ["10.19.255.255", "10.21.0.0", "::ffff:10.21.0.0", "fd13::1", "127.0.0.2", "::1", "::10.20.0.1"]
        {
            assert!(check_address(ip(shut), &allowed).is_err(), "{shut}");
        }
        let mapped = AllowedNetworks::parse(["::ffff:10.0.0.0/104"]).unwrap();
        assert_eq!(mapped, AllowedNetworks::parse(["10.0.0.0/8"]).unwrap());
        let every_v6 = AllowedNetworks::parse(["::/0"]).unwrap();
        assert!(check_address(ip("::ffff:10.0.0.1"), &every_v6).is_err(), "that is IPv4");
    }

    #[test]
    fn an_invalid_entry_says_how_to_write_it() {
        let said = |entry: &str| AllowedNetworks::parse([entry]).unwrap_err().to_string();
        assert_eq!(
            said("10.0.0.5/8"),
            "10.0.0.5/8 has bits beyond its prefix: write 10.0.0.0/8 or 10.0.0.5/32"
        );
        assert_eq!(said("intranet"), "\"intranet\" is no network: write it like 10.20.0.0/16 or fd00::/8");
        assert!(AllowedNetworks::parse(["10.0.0.0/33"]).is_err());
        assert!(AllowedNetworks::parse([]).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn what_the_standard_library_calls_special_is_refused_in_ipv4(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let special = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_broadcast() || address.is_documentation() || address.is_unspecified()
                || address.is_multicast();
            let refused = check_address(address.into(), &AllowedNetworks::default()).is_err();
            prop_assert!(refused || !special, "{address}");
            let mapped = check_address(address.to_ipv6_mapped().into(), &AllowedNetworks::default()).is_err();
            prop_assert_eq!(mapped, refused, "{} mapped", address);
            prop_assert!(check_address(address.to_ipv6_compatible().into(), &AllowedNetworks::default()).is_err());
        }

        #[test]
        fn what_the_standard_library_calls_special_is_refused_in_ipv6(bits: u128, high in 0xfc_u128..=0xff) {
            for bits in [bits, bits >> 3, (bits >> 8) | (high << 120)] {
                let address = Ipv6Addr::from_bits(bits);
                let special = address.is_loopback() || address.is_unspecified() || address.is_multicast()
                    || address.is_unique_local() || address.is_unicast_link_local();
                let global = bits >> 125 == 1;
                let refused = check_address(address.into(), &AllowedNetworks::default()).is_err();
                prop_assert!(refused || (global && !special), "{address}");
            }
        }
    }
}
