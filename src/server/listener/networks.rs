//! Lists of networks in CIDR notation.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A list of networks and single addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether a network contains `address`. An IPv4-mapped IPv6 address counts as its IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Networks {
    type Err = ();

    /// Parses a comma-separated list. A network whose address has bits beyond its prefix is an error: either the
    /// address or the prefix is wrong, and trusting too large a network would be a security hole.
    fn from_str(list: &str) -> Result<Self, ()> {
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(network).collect::<Result<_, _>>().map(Self)
    }
}

fn network(entry: &str) -> Result<IpNet, ()> {
    let network = entry.parse().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from)).map_err(|_| ())?;
    if network.trunc() == network { Ok(network) } else { Err(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_is_in_its_network_in_both_notations() {
        let networks: Networks = "10.0.0.0/8, 192.0.2.7,fd00::/8".parse().unwrap();
        for inside in ["10.1.2.3", "192.0.2.7", "fd00::1", "::ffff:10.1.2.3"] {
            assert!(networks.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.8", "fe00::1", "::1"] {
            assert!(!networks.contains(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn a_network_that_is_malformed_or_ambiguous_is_refused() {
        for bad in ["10.0.0.1/8", "10.0.0", "a", "10.0.0.0/33", "10.0.0.0/8;10.1.0.0/16"] {
            assert!(bad.parse::<Networks>().is_err(), "{bad}");
        }
        assert!("".parse::<Networks>().unwrap().is_empty());
    }
}
