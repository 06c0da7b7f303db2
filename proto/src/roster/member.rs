//! What the roster says of one member: its role, its keys, where it is reached, its shares.

use std::net::Ipv6Addr;
use std::num::NonZeroU16;
use std::str::FromStr;

use curve25519_dalek::ristretto::CompressedRistretto;
use curve25519_dalek::traits::IsIdentity as _;
use thiserror::Error;

use crate::identity::PayerNumber;
use crate::ids::MemberName;
use crate::incident::IncidentPublicKey;
use crate::signing::PublicKey;

/// Longest address: a DNS name has at most 253 characters (RFC 1035, 2.3.4), and more is a mistake.
pub const ADDRESS_BYTES_MAX: usize = 255;

/// What kind of organisation a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The mandatory insurer (assurance maladie obligatoire): the CNAM.
    Amo,
    /// A complementary insurer (assurance maladie complémentaire).
    Amc,
    /// An optician federation.
    Federation,
}

impl Role {
    /// The word for it in the roster.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amo => "amo",
            Self::Amc => "amc",
            Self::Federation => "federation",
        }
    }

    /// Whether members of this role pay claims, so that a payer number may belong to them.
    #[must_use]
    pub const fn pays(self) -> bool {
        match self {
            Self::Amo | Self::Amc => true,
            Self::Federation => false,
        }
    }
}

/// Whether a member's cosignature counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Counts toward the quorum.
    Voting,
    /// Replicates, checks and may cosign, and is not counted: how every new member starts.
    Following,
}

impl Standing {
    /// The word for it in the roster.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Voting => "voting",
            Self::Following => "following",
        }
    }
}

/// Why a text or bytes are not one of the values of a member or share line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RosterValueError {
    /// An address is not `host:port`.
    #[error("an address must be host:port, at most {ADDRESS_BYTES_MAX} bytes")]
    Address,
    /// The bytes are not a usable element of ristretto255.
    #[error("an element must be 32 canonical bytes of ristretto255 and not the identity")]
    Element,
}

/// Where a member is reached: `host:port`, the host a DNS name, an IPv4 address or `[IPv6]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

impl Address {
    /// The address as it is dialled.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without its port: the name a TLS client expects.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.rsplit_once(':').map_or("", |(host, _)| host)
    }
}

impl FromStr for Address {
    type Err = RosterValueError;

    fn from_str(text: &str) -> Result<Self, RosterValueError> {
        let split = text.rsplit_once(':').filter(|(host, port)| {
            text.len() <= ADDRESS_BYTES_MAX && is_host(host) && is_port(port)
        });
        split
            .map(|_| Self(text.to_owned()))
            .ok_or(RosterValueError::Address)
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    !host.is_empty() && host.bytes().all(allowed)
}

fn is_port(port: &str) -> bool {
    let digits = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
    digits && port.parse::<u16>().is_ok()
}

/// A public element of ristretto255 (RFC 9496, 4.3.1): canonical, and not the identity, under
/// which every input would have the same token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element([u8; 32]);

impl Element {
    /// Reads an element.
    ///
    /// # Errors
    /// [`RosterValueError::Element`] for a non-canonical encoding and for the identity.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, RosterValueError> {
        CompressedRistretto(bytes)
            .decompress()
            .filter(|point| !point.is_identity())
            .map(|_| Self(bytes))
            .ok_or(RosterValueError::Element)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The public halves of the two OPRF keys: jointly the federation's, or one member's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OprfElements {
    /// Of the key that makes person tokens.
    pub person: Element,
    /// Of the key that makes contract tokens.
    pub contract: Element,
}

/// One member of the federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, in notes, metrics and certificates.
    pub name: MemberName,
    /// What kind of organisation it is.
    pub role: Role,
    /// The number claims name it by, if it pays any.
    pub payer: Option<PayerNumber>,
    /// Whether its cosignature counts.
    pub standing: Standing,
    /// The key of its cosignatures, entries and TLS certificate.
    pub public_key: PublicKey,
    /// Where it serves gRPC, if it does.
    pub grpc: Option<Address>,
    /// Where it serves checkpoints and tiles over plain HTTP, if it does.
    pub http: Option<Address>,
}

impl Member {
    /// Whether its cosignature counts toward the quorum.
    #[must_use]
    pub fn is_voting(&self) -> bool {
        self.standing == Standing::Voting
    }
}

/// What the public knows of one member's shares of the two OPRF keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberShare {
    /// Who holds the shares.
    pub member: MemberName,
    /// The index of both shares; never 0, where the polynomial is the joint key itself.
    pub index: NonZeroU16,
    /// What its evaluations are verified against.
    pub public: OprfElements,
}

/// What access records are sealed to for one member: a line of its own, so that not every member
/// has to have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentKey {
    /// Whose it is.
    pub member: MemberName,
    /// The public half.
    pub public_key: IncidentPublicKey,
}

#[cfg(test)]
mod tests {
    use super::super::example::element;
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["a:1", "node_1.example:65535", "127.0.0.1:7443", "[::1]:80"] {
            assert_eq!(good.parse::<Address>().unwrap().as_str(), good);
        }
        assert_eq!("[::1]:80".parse::<Address>().unwrap().host(), "[::1]");
        let longest = "h".repeat(ADDRESS_BYTES_MAX - 5) + ":7443";
        assert!(longest.parse::<Address>().is_ok());
        let too_long = format!("h{longest}");
        for bad in [
            "",
            "a",
            ":1",
            "a:",
            "a:0",
            "a:01",
            "a:+1",
            "a:65536",
            "A:1",
            "a b:1",
            "::1:80",
            "[::1:80",
            "[a]:1",
            "http://a:1",
            "a:1/",
            "a:1\n",
            "\u{e9}:1",
            &too_long,
        ] {
            assert_eq!(
                bad.parse::<Address>(),
                Err(RosterValueError::Address),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn an_element_is_canonical_and_not_the_identity() {
        // RFC 9496, A.1: the first multiples of the generator.
        let multiples = [
            "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
            "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
            "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
        ];
        for (multiple, factor) in multiples.iter().zip(1..) {
            let bytes = hex::decode(multiple).unwrap().try_into().unwrap();
            assert_eq!(Element::from_bytes(bytes), Ok(element(factor)));
        }
        // RFC 9496, A.2: not canonical, negative, not square; and the identity.
        for bad in [
            "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
            "0000000000000000000000000000000000000000000000000000000000000000",
        ] {
            let bytes = hex::decode(bad).unwrap().try_into().unwrap();
            assert_eq!(
                Element::from_bytes(bytes),
                Err(RosterValueError::Element),
                "{bad}"
            );
        }
    }
}
