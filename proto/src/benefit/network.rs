//! The opticians of a payer's networks: which shop, by its FINESS number, is in which, and when.
//!
//! ```toml
//! [[network]]
//! name = "RESEAU-1"
//! shop = [
//!   { finess = "750000001", from = "2026-01-01", to = "2026-12-31" },
//!   { finess = "750000002", from = "2026-03-01" },    # until further notice
//! ]
//! ```
//!
//! The payer's node quotes by it and the payer's back office checks by it: one file, one reader.
//! A shop may stand there several times, with days that do not meet.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use super::{NetworkName, Period};
use crate::ids::{Day, Finess};

/// Longest file: all 13,000 opticians' shops of France in each of four networks.
pub const NETWORKS_BYTES_MAX: usize = 4 << 20;
/// Most networks: an insurer with more has mistaken shops for networks.
pub const NETWORKS_MAX: usize = 100;

/// Why a file is none of networks. It names network, place and field.
#[derive(Debug, Error)]
pub enum NetworksError {
    /// It is longer than may be.
    #[error("it has more than {NETWORKS_BYTES_MAX} bytes")]
    TooLong,
    /// It is no TOML, or has a field that is unknown, missing or of another kind.
    #[error("{0}")]
    Toml(Box<toml::de::Error>),
    /// There are too many networks.
    #[error("it must have at most {NETWORKS_MAX} networks, got {got}")]
    Count {
        /// Networks found.
        got: usize,
    },
    /// A name is none.
    #[error("network {place}: name: {error}")]
    Name {
        /// Which network of the file, from 1.
        place: usize,
        /// What is wrong.
        error: super::NetworkNameError,
    },
    /// Two networks have one name.
    #[error("network {name}: it stands there twice")]
    Twice {
        /// Which network.
        name: NetworkName,
    },
    /// A field of a shop is not what it must be.
    #[error("network {name}, shop {shop}: {field} must be {want}")]
    Shop {
        /// Which network.
        name: NetworkName,
        /// Which of its shops, from 1.
        shop: usize,
        /// Which field.
        field: &'static str,
        /// What it must be.
        want: &'static str,
    },
    /// A shop stands there twice on one day.
    #[error("network {name}, shop {shop}: it stands there twice on {day}", day = .day.to_iso())]
    Overlap {
        /// Which network.
        name: NetworkName,
        /// The later one of them, from 1.
        shop: usize,
        /// A day of both.
        day: Day,
    },
}

/// A payer's networks with the days on which each shop is in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(BTreeMap<NetworkName, BTreeMap<Finess, Vec<Period>>>);

impl Networks {
    /// Reads a file.
    ///
    /// # Errors
    /// [`NetworksError`], see its variants.
    pub fn parse(text: &str) -> Result<Self, NetworksError> {
        if text.len() > NETWORKS_BYTES_MAX {
            return Err(NetworksError::TooLong);
        }
        let file: FileText = toml::from_str(text).map_err(|e| NetworksError::Toml(Box::new(e)))?;
        let got = file.network.len();
        if got > NETWORKS_MAX {
            return Err(NetworksError::Count { got });
        }
        let mut networks = Self::default();
        for (place, network) in (1..).zip(&file.network) {
            let name: NetworkName = match network.name.parse() {
                Ok(name) => name,
                Err(error) => return Err(NetworksError::Name { place, error }),
            };
            let shops = network.shops(&name)?;
            if networks.0.insert(name.clone(), shops).is_some() {
                return Err(NetworksError::Twice { name });
            }
        }
        Ok(networks)
    }

    /// Whether a network is listed at all, be it without a shop.
    #[must_use]
    pub fn lists(&self, name: &NetworkName) -> bool {
        self.0.contains_key(name)
    }

    /// Whether a shop is in a network on a day.
    #[must_use]
    pub fn has(&self, name: &NetworkName, shop: &Finess, day: Day) -> bool {
        let periods = self.0.get(name).and_then(|shops| shops.get(shop));
        periods.is_some_and(|periods| periods.iter().any(|period| period.contains(day)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    network: Vec<NetworkText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkText {
    name: String,
    #[serde(default)]
    shop: Vec<ShopText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShopText {
    finess: String,
    from: String,
    to: Option<String>,
}

impl NetworkText {
    fn shops(&self, name: &NetworkName) -> Result<BTreeMap<Finess, Vec<Period>>, NetworksError> {
        let mut shops: BTreeMap<Finess, Vec<Period>> = BTreeMap::new();
        for (place, shop) in (1..).zip(&self.shop) {
            let (finess, period) = shop.read(name, place)?;
            let periods = shops.entry(finess).or_default();
            if let Some(both) = periods.iter().find_map(|other| other.within(period)) {
                return Err(NetworksError::Overlap {
                    name: name.clone(),
                    shop: place,
                    day: both.from,
                });
            }
            periods.push(period);
        }
        Ok(shops)
    }
}

impl ShopText {
    fn read(&self, name: &NetworkName, shop: usize) -> Result<(Finess, Period), NetworksError> {
        let wrong = |field, want| NetworksError::Shop {
            name: name.clone(),
            shop,
            field,
            want,
        };
        let day = |text: &str, field| text.parse::<Day>().map_err(|_| wrong(field, "YYYY-MM-DD"));
        let finess = self.finess.parse();
        let finess: Finess = finess.map_err(|_| wrong("finess", "the 9 characters of FINESS"))?;
        let period = Period {
            from: day(&self.from, "from")?,
            to: self.to.as_ref().map_or(Ok(Day::MAX), |to| day(to, "to"))?,
        };
        (period.from <= period.to)
            .then_some((finess, period))
            .ok_or(wrong("to", "no day before from"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[[network]]
name = "RESEAU-1"
shop = [
  { finess = "750000001", from = "2026-01-01", to = "2026-06-30" },
  { finess = "750000001", from = "2026-10-01", to = "2026-12-31" },
  { finess = "2A0000002", from = "2026-03-01" },
]
[[network]]
name = "RESEAU-2"
"#;

    #[test]
    fn a_shop_is_in_a_network_on_the_days_that_are_listed_both_ends_included() {
        let networks = Networks::parse(FILE).unwrap();
        let has = |name: &str, shop: &str, day: &str| {
            let (name, shop) = (name.parse().unwrap(), shop.parse().unwrap());
            networks.has(&name, &shop, day.parse().unwrap())
        };
        for (day, inside) in [
            ("2025-12-31", false),
            ("2026-01-01", true),
            ("2026-06-30", true),
            ("2026-07-01", false),
            ("2026-12-31", true),
            ("2027-01-01", false),
        ] {
            assert_eq!(has("RESEAU-1", "750000001", day), inside, "{day}");
        }
        assert!(has("RESEAU-1", "2A0000002", "2099-01-01"));
        assert!(!has("RESEAU-1", "750000003", "2026-01-01"));
        assert!(!has("RESEAU-2", "750000001", "2026-01-01"));
        assert!(!has("RESEAU-3", "750000001", "2026-01-01"));
        assert!(networks.lists(&"RESEAU-2".parse().unwrap()));
        assert!(!networks.lists(&"RESEAU-3".parse().unwrap()));
        assert_eq!(Networks::parse("").unwrap(), Networks::default());
    }

    #[test]
    fn a_wrong_file_is_named_with_network_shop_and_field() {
        for (from, to, said) in [
            ("2026-06-30", "2026-06-31", "shop 1: to must be YYYY-MM-DD"),
            (
                "2026-06-30",
                "2025-06-30",
                "shop 1: to must be no day before from",
            ),
            (
                "2026-10-01",
                "2026-06-30",
                "shop 2: it stands there twice on 2026-06-30",
            ),
            ("2A0000002", "2C0000002", "shop 3: finess must be"),
            ("RESEAU-2", "RESEAU-1", "RESEAU-1: it stands there twice"),
            ("RESEAU-2", "RESEAU 2", "network 2: name: a network must be"),
            ("from", "since", "unknown field"),
        ] {
            let wrong = Networks::parse(&FILE.replacen(from, to, 1));
            let error = wrong.unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let many = (0..=NETWORKS_MAX).map(|n| format!("[[network]]\nname = \"N{n}\"\n"));
        let many = Networks::parse(&many.collect::<String>());
        assert!(matches!(many, Err(NetworksError::Count { got: 101 })));
        let long = Networks::parse(&" ".repeat(NETWORKS_BYTES_MAX + 1));
        assert!(matches!(long, Err(NetworksError::TooLong)));
    }
}
