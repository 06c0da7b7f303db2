//! Who plays: four members with a node each, two shops, twenty insured people who do not exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use client::connection::Observer;
use client::coverage_file::CoverageRow;
use client::pos::{Complementary, Insured};
use client::session::{Session, SessionParts};
use proto::identity::{BirthDate, MemberNumber, Nir, Person};
use proto::ids::{Cents, Day};
use proto::incident::IncidentSecretKey;
use proto::lpp::GroupedCode;
use proto::roster::{IncidentKey, Roster};
use proto::signing::SecretKey;
use std::sync::Arc;

use super::DemoError;
use crate::init::{Following, generate_incident_key, generate_key, write_secret};
use crate::server::Addresses;

/// The ledger of the demo.
pub const ORIGIN: &str = "vitrail.example/optique";
/// The member that founds the federation: the mandatory insurer.
pub const CNAM: &str = "cnam.example";
/// The number of the general scheme.
pub const REGIME: &str = "01";
/// The two complementary insurers and their numbers.
pub const INSURERS: [(&str, &str); 2] = [
    ("mutuelle-a.example", "75000001"),
    ("mutuelle-b.example", "75000002"),
];
/// The federation that admits the shops.
pub const OPTICIANS: &str = "opticiens.example";
/// Every member: four, so that one may crash or lie.
pub const MEMBERS: [&str; 4] = [CNAM, INSURERS[0].0, INSURERS[1].0, OPTICIANS];
/// The two shops, with their FINESS numbers.
pub const SHOPS: [(&str, &str); 2] = [("shop-1", "750000001"), ("shop-2", "690000002")];
/// How many people are covered.
pub const PEOPLE: usize = 20;

/// Everybody's keys. A real member makes its own and shows only the public half.
pub struct Cast {
    secrets: BTreeMap<&'static str, SecretKey>,
    incident: BTreeMap<&'static str, IncidentSecretKey>,
}

impl Cast {
    /// Makes a key for everybody but the founder, and keeps each in a file of its own.
    pub fn hire(dir: &Path) -> Result<Self, DemoError> {
        fs::create_dir_all(keys(dir))?;
        let others = INSURERS.iter().chain(&SHOPS).map(|(name, _)| *name);
        let mut secrets = BTreeMap::new();
        for name in others.chain([OPTICIANS]) {
            let secret = generate_key()?;
            let pem = secret.to_pem()?;
            write_secret(&key_file(dir, name), &pem)?;
            secrets.insert(name, secret);
        }
        let mut incident = BTreeMap::new();
        for name in INSURERS
            .map(|(name, _)| name)
            .into_iter()
            .chain([OPTICIANS])
        {
            let secret = generate_incident_key()?;
            let file = keys(dir).join(format!("{name}.incident.key"));
            write_secret(&file, &secret.to_text())?;
            incident.insert(name, secret);
        }
        Ok(Self { secrets, incident })
    }

    /// The incident keys of the members but the founder, as the roster lists them.
    pub fn incident_keys(&self) -> Result<Vec<IncidentKey>, DemoError> {
        let keys = self.incident.iter().map(|(name, secret)| {
            Ok(IncidentKey {
                member: name.parse()?,
                public_key: secret.public(),
            })
        });
        keys.collect()
    }

    /// The incident key of one of them.
    pub fn incident_key(&self, name: &str) -> Result<&IncidentSecretKey, DemoError> {
        self.incident.get(name).ok_or(DemoError::Miscast)
    }

    /// Takes on the founder's key, which `init` has made.
    pub fn take_on(&mut self, name: &'static str, secret: SecretKey) {
        self.secrets.insert(name, secret);
    }

    /// The members but the founder, as the first roster lists them. Where each is reached `at` says.
    pub fn following(
        &self,
        at: impl Fn(&str) -> Option<Addresses>,
    ) -> Result<Vec<Following>, DemoError> {
        let insurers = INSURERS
            .iter()
            .map(|(name, number)| (*name, "amc", *number));
        insurers
            .chain([(OPTICIANS, "federation", "-")])
            .map(|(name, role, number)| {
                let public_key = self.secret(name)?.public().to_base64();
                let Addresses { grpc, http, .. } = at(name).ok_or(DemoError::Miscast)?;
                let line = format!("{name} {role} {number} following {public_key} {grpc} {http}");
                Ok(line.parse()?)
            })
            .collect()
    }

    /// A session of one of them with the federation: a member asks its own node first, a shop the
    /// nearest.
    pub fn session(
        &self,
        name: &str,
        roster: &Roster,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Session, DemoError> {
        let secret = self.secret(name)?.clone();
        let (roster, addresses) = (roster.clone(), BTreeMap::new());
        let home = roster.member_by_key(&secret.public());
        let home = home.map(|member| member.name.clone());
        Ok(Session::open(SessionParts {
            roster,
            secret,
            home,
            addresses,
            observer,
        })?)
    }

    /// A session of somebody that asks the node of one member alone.
    pub fn session_at(
        &self,
        home: &str,
        name: &str,
        roster: &Roster,
    ) -> Result<Session, DemoError> {
        let session = Session::open(SessionParts {
            roster: roster.clone(),
            secret: self.secret(name)?.clone(),
            home: Some(home.parse()?),
            addresses: BTreeMap::new(),
            observer: None,
        })?;
        Ok(session.only_home())
    }

    /// The key of one of them.
    pub fn secret(&self, name: &str) -> Result<&SecretKey, DemoError> {
        self.secrets.get(name).ok_or(DemoError::Miscast)
    }
}

/// Where keys are kept beside the nodes: a member's safe, a shop's till.
fn keys(dir: &Path) -> PathBuf {
    dir.join("keys")
}

/// The file of somebody's key in the demo's folder.
pub fn key_file(dir: &Path, name: &str) -> PathBuf {
    keys(dir).join(format!("{name}.pem"))
}

/// One insured person who does not exist.
pub struct Figure {
    /// What the card says.
    pub insured: Insured,
    /// The same for whoever watches the demo: what stays in the shop.
    pub card: Card,
    insurer: usize,
}

/// The words of a card, kept in the demo to show what did not leave.
pub struct Card {
    /// Number in the register, with its check digits.
    pub nir: String,
    /// Year, month, day.
    pub birth_date: String,
    /// Rank among those born on one day under one number.
    pub birth_rank: String,
    /// The complementary insurer's number.
    pub payer_number: String,
    /// The number of the contract's member.
    pub member_number: String,
}

/// The twenty.
///
/// # Errors
/// [`DemoError`] when a card is miswritten.
pub fn people() -> Result<Vec<Figure>, DemoError> {
    (0..PEOPLE).map(figure).collect()
}

fn figure(position: usize) -> Result<Figure, DemoError> {
    let (sex, year, month) = (1 + position % 2, 50 + position, 1 + position % 12);
    let number = format!(
        "{sex}{year:02}{month:02}75{:03}{:03}",
        101 + position,
        1 + position
    );
    let insurer = position % INSURERS.len();
    let card = Card {
        nir: with_nir_check(&number)?,
        birth_date: format!("19{year:02}{month:02}{:02}", 1 + position),
        birth_rank: "1".to_owned(),
        payer_number: INSURERS[insurer].1.to_owned(),
        member_number: format!("ADH{:07}", 4_100_000 + 37 * position),
    };
    let person = Person {
        nir: card.nir.parse()?,
        birth_date: card.birth_date.parse()?,
        birth_rank: card.birth_rank.parse()?,
    };
    let complementary = Complementary {
        payer_number: card.payer_number.parse()?,
        member_number: card.member_number.parse()?,
    };
    let insured = Insured::new(person, REGIME.parse()?, vec![complementary])?;
    Ok(Figure {
        insured,
        card,
        insurer,
    })
}

/// The number with its two check digits: 97 less its rest by 97.
fn with_nir_check(number: &str) -> Result<String, DemoError> {
    let value: u64 = number.parse().map_err(|_| DemoError::Miscast)?;
    Ok(format!("{number}{:02}", 97 - value % 97))
}

/// What the mandatory insurer pays of class B: 60 % of 0.05 EUR.
const MANDATORY: Cents = Cents::new(3);
/// What the complementary insurers of the demo pay at most: for a frame, and for a lens.
const FRAME: Cents = Cents::new(10_000);
const LENS: Cents = Cents::new(11_000);

/// The rows that a member covers: everybody for the mandatory insurer, its own for the others.
pub fn coverage_rows(
    people: &[Figure],
    member: &str,
    until: Day,
) -> Result<Vec<CoverageRow>, DemoError> {
    let own = INSURERS.iter().position(|(name, _)| *name == member);
    let covered = people
        .iter()
        .filter(|figure| own.is_none_or(|own| figure.insurer == own));
    let mut rows = Vec::new();
    for figure in covered {
        for (grouped_code, most) in [("M03", FRAME), ("VU1", LENS)] {
            let amount = if own.is_none() { MANDATORY } else { most };
            rows.push(coverage_row(
                &figure.card,
                own.is_none(),
                grouped_code.parse()?,
                amount,
                until,
            )?);
        }
    }
    Ok(rows)
}

fn coverage_row(
    card: &Card,
    mandatory: bool,
    grouped_code: GroupedCode,
    amount: Cents,
    until: Day,
) -> Result<CoverageRow, DemoError> {
    let member_number = if mandatory {
        MemberNumber::from(&card.nir.parse::<Nir>()?)
    } else {
        card.member_number.parse()?
    };
    let birth_date: BirthDate = card.birth_date.parse()?;
    Ok(CoverageRow {
        member_number,
        birth_date,
        birth_rank: card.birth_rank.parse()?,
        grouped_code,
        amount,
        until,
        renewal_months: 24,
    })
}
