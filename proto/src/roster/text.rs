//! The text of a roster: one fact a line, in one order, in one spelling.
//!
//! ```text
//! vitrail roster v1
//! origin vitrail.example/optique
//! epoch 0
//! previous none
//! threshold 2
//! person-key <base64 of 32 bytes>
//! contract-key <base64 of 32 bytes>
//! ceremony <base64 of 32 bytes>                   where a ceremony made the keys
//! member <name> <role> <payer number or -> <standing> <base64 key> <gRPC address or -> <HTTP address or ->
//! share <member name> <index> <base64 person share> <base64 contract share>
//! incident <member name> <base64 of 32 bytes>
//! ```
//!
//! Members come sorted by name, then shares sorted by index, then incident keys sorted by member.

use std::fmt::Write as _;
use std::num::NonZeroU16;
use std::str::Split;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use thiserror::Error;

use super::{
    Element, Epoch, IncidentKey, Member, MemberShare, OprfElements, ROSTER_BYTES_MAX, Role, Roster,
    RosterError, RosterParts, Standing,
};
use crate::hash::Hash;
use crate::incident::IncidentPublicKey;
use crate::signing::PublicKey;

const TITLE: &str = "vitrail roster v1";
/// Stands for a value that a member does not have.
const ABSENT: &str = "-";
/// Stands for the hash of the previous roster in epoch 0.
const NO_PREVIOUS: &str = "none";

/// What a line of a roster was expected to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RosterLine {
    /// The first line.
    #[error("`{TITLE}`")]
    Title,
    /// The origin of the ledger.
    #[error("`origin` and an origin")]
    Origin,
    /// The number of the roster.
    #[error("`epoch` and a number")]
    Epoch,
    /// The roster before.
    #[error("`previous` and a base64 hash or `{NO_PREVIOUS}`")]
    Previous,
    /// The OPRF threshold.
    #[error("`threshold` and a number from 1 to 65535")]
    Threshold,
    /// The joint key of person tokens.
    #[error("`person-key` and a base64 ristretto255 element")]
    PersonKey,
    /// The joint key of contract tokens.
    #[error("`contract-key` and a base64 ristretto255 element")]
    ContractKey,
    /// The transcript of the ceremony that made the keys.
    #[error("`ceremony` and a base64 hash")]
    Ceremony,
    /// A member.
    #[error(
        "`member` and its name, role (amo, amc, federation), payer number or -, standing (voting, \
         following), base64 public key, gRPC address or -, HTTP address or -"
    )]
    Member,
    /// A share.
    #[error("`share` and its member, index and two base64 ristretto255 elements")]
    Share,
    /// An incident key.
    #[error("`incident` and its member and base64 X25519 key")]
    Incident,
}

/// Why a text is not a roster.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RosterParseError {
    /// The text is longer than any roster.
    #[error("a roster may have at most {ROSTER_BYTES_MAX} bytes, this one has {got}")]
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// The text does not end in a newline.
    #[error("the last line of a roster must end in a newline")]
    NoFinalNewline,
    /// A line cannot be read.
    #[error("line {line} of the roster must be {want}")]
    Line {
        /// Which line, counted from 1.
        line: usize,
        /// What it had to be.
        want: RosterLine,
    },
    /// Every line can be read, and yet the text is not how this roster is written.
    #[error(
        "a roster must have its members sorted by name, shares by index, incident keys by member"
    )]
    Order,
    /// Its contents break a rule.
    #[error(transparent)]
    Rule(#[from] RosterError),
}

pub(super) fn format(parts: &RosterParts) -> String {
    let mut text = format!("{TITLE}\n");
    let mut line = |words: &[&str]| {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{}", words.join(" "));
    };
    let previous = parts.previous.map(Hash::to_base64);
    line(&["origin", parts.origin.as_str()]);
    line(&["epoch", &parts.epoch.to_string()]);
    line(&["previous", previous.as_deref().unwrap_or(NO_PREVIOUS)]);
    line(&["threshold", &parts.threshold.to_string()]);
    line(&["person-key", &element_text(&parts.joint.person)]);
    line(&["contract-key", &element_text(&parts.joint.contract)]);
    if let Some(ceremony) = parts.ceremony {
        line(&["ceremony", &ceremony.to_base64()]);
    }
    for member in &parts.members {
        line(&[&member_line(member)]);
    }
    for share in &parts.shares {
        line(&[
            "share",
            share.member.as_str(),
            &share.index.to_string(),
            &element_text(&share.public.person),
            &element_text(&share.public.contract),
        ]);
    }
    for key in &parts.incident_keys {
        line(&["incident", key.member.as_str(), &key.public_key.to_base64()]);
    }
    text
}

/// The line of a member.
pub(super) fn member_line(member: &Member) -> String {
    let words = [
        "member",
        member.name.as_str(),
        member.role.as_str(),
        member.payer.as_ref().map_or(ABSENT, |p| p.as_str()),
        member.standing.as_str(),
        &member.public_key.to_base64(),
        member.grpc.as_ref().map_or(ABSENT, |a| a.as_str()),
        member.http.as_ref().map_or(ABSENT, |a| a.as_str()),
    ];
    words.join(" ")
}

pub(super) fn parse(text: &str) -> Result<Roster, RosterParseError> {
    if text.len() > ROSTER_BYTES_MAX {
        return Err(RosterParseError::TooLong { got: text.len() });
    }
    let body = text.strip_suffix('\n');
    let mut lines = Lines {
        rest: body.ok_or(RosterParseError::NoFinalNewline)?.split('\n'),
        line: 0,
    };
    let roster = Roster::new(parts(&mut lines)?)?;
    // The last guard of "one roster, one text": the hash and the signatures are over the text.
    (roster.text() == text)
        .then_some(roster)
        .ok_or(RosterParseError::Order)
}

fn parts(lines: &mut Lines<'_>) -> Result<RosterParts, RosterParseError> {
    lines.read(RosterLine::Title, |line| (line == TITLE).then_some(()))?;
    let origin = lines.read(RosterLine::Origin, |line| {
        line.strip_prefix("origin ")?.parse().ok()
    })?;
    let epoch = lines.read(RosterLine::Epoch, |line| {
        decimal(line.strip_prefix("epoch ")?).map(Epoch::new)
    })?;
    let previous = lines.read(RosterLine::Previous, |line| {
        match line.strip_prefix("previous ")? {
            NO_PREVIOUS => Some(None),
            hash => Hash::from_base64(hash).map(Some),
        }
    })?;
    let threshold = lines.read(RosterLine::Threshold, |line| {
        positive(line.strip_prefix("threshold ")?)
    })?;
    let person = lines.read(RosterLine::PersonKey, |line| {
        element(line.strip_prefix("person-key ")?)
    })?;
    let contract = lines.read(RosterLine::ContractKey, |line| {
        element(line.strip_prefix("contract-key ")?)
    })?;
    let mut parts = RosterParts {
        origin,
        epoch,
        previous,
        threshold,
        joint: OprfElements { person, contract },
        ceremony: None,
        members: Vec::new(),
        shares: Vec::new(),
        incident_keys: Vec::new(),
    };
    if lines.next_is("ceremony ") {
        let hash = |line: &str| Hash::from_base64(line.strip_prefix("ceremony ")?);
        parts.ceremony = Some(lines.read(RosterLine::Ceremony, hash)?);
    }
    while lines.next_is("member ") {
        parts.members.push(lines.read(RosterLine::Member, member)?);
    }
    while !lines.is_empty() && !lines.next_is("incident ") {
        parts.shares.push(lines.read(RosterLine::Share, share)?);
    }
    while !lines.is_empty() {
        let key = lines.read(RosterLine::Incident, incident_key)?;
        parts.incident_keys.push(key);
    }
    Ok(parts)
}

/// The lines not yet read, and the number of the last one that was.
struct Lines<'a> {
    rest: Split<'a, char>,
    line: usize,
}

impl<'a> Lines<'a> {
    fn read<T>(
        &mut self,
        want: RosterLine,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, RosterParseError> {
        self.line += 1;
        let line = self.line;
        let read = self.rest.next().and_then(read);
        read.ok_or(RosterParseError::Line { line, want })
    }

    fn next_is(&self, prefix: &str) -> bool {
        let mut rest = self.rest.clone();
        rest.next().is_some_and(|line| line.starts_with(prefix))
    }

    fn is_empty(&self) -> bool {
        self.rest.clone().next().is_none()
    }
}

/// Reads the line of a member.
pub(super) fn member(line: &str) -> Option<Member> {
    let [
        "member",
        name,
        role,
        payer,
        standing,
        public_key,
        grpc,
        http,
    ] = words(line)?
    else {
        return None;
    };
    let role = [Role::Amo, Role::Amc, Role::Federation]
        .into_iter()
        .find(|r| r.as_str() == role)?;
    let standing = [Standing::Voting, Standing::Following]
        .into_iter()
        .find(|s| s.as_str() == standing)?;
    Some(Member {
        name: name.parse().ok()?,
        role,
        payer: optional(payer)?,
        standing,
        public_key: PublicKey::from_base64(public_key).ok()?,
        grpc: optional(grpc)?,
        http: optional(http)?,
    })
}

fn share(line: &str) -> Option<MemberShare> {
    let ["share", member, index, person, contract] = words(line)? else {
        return None;
    };
    Some(MemberShare {
        member: member.parse().ok()?,
        index: positive(index)?,
        public: OprfElements {
            person: element(person)?,
            contract: element(contract)?,
        },
    })
}

fn incident_key(line: &str) -> Option<IncidentKey> {
    let ["incident", member, public_key] = words(line)? else {
        return None;
    };
    Some(IncidentKey {
        member: member.parse().ok()?,
        public_key: IncidentPublicKey::from_base64(public_key).ok()?,
    })
}

/// Exactly `N` words with one space between them; a second space makes an empty word.
fn words<const N: usize>(line: &str) -> Option<[&str; N]> {
    line.split(' ').collect::<Vec<_>>().try_into().ok()
}

fn optional<T: std::str::FromStr>(word: &str) -> Option<Option<T>> {
    match word {
        ABSENT => Some(None),
        word => word.parse().ok().map(Some),
    }
}

/// A decimal without sign or leading zeros: its one spelling.
fn decimal(word: &str) -> Option<u64> {
    let canonical = word == "0" || !word.starts_with(['0', '+']);
    word.parse().ok().filter(|_| canonical)
}

fn positive(word: &str) -> Option<NonZeroU16> {
    NonZeroU16::new(u16::try_from(decimal(word)?).ok()?)
}

fn element(word: &str) -> Option<Element> {
    let bytes = BASE64_STANDARD.decode(word).ok()?;
    Element::from_bytes(bytes.try_into().ok()?).ok()
}

fn element_text(element: &Element) -> String {
    BASE64_STANDARD.encode(element.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::example::{federation, parts as example_parts};
    use super::*;

    /// `federation(2, 1)`, as a second implementation (Python) printed it; the elements are
    /// multiples of the generator.
    const GOLDEN: &str = "\
        vitrail roster v1\n\
        origin vitrail.example/optique\n\
        epoch 0\n\
        previous none\n\
        threshold 2\n\
        person-key yC/JAyEC+mFfaOcvXchJ4byr/7fXgK+WVIFmRy2P0AY=\n\
        contract-key QgWEBW9tRGiuyc/6RdyXCmTgorNQEMxAHRjEr46qWCA=\n\
        member member-00 amo 01 voting iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w= member-00.example:7443 -\n\
        member member-01 amc 11111111 voting gTl3Dqh9F19Wo1Rmw0x+zMuNipG07jeiXfYPW4/Js5Q= member-01.example:7443 member-01.example:7480\n\
        member member-02 federation - following 7UkoxijRwsbq6QM4kFmVYSlZJzpcY/k2NsFGFKyHN9E= member-02.example:7443 -\n\
        share member-00 1 4vKuCmq8TnGohKlhxQBRX1jjC2qlgt2NtqZZReCNLXY= akkyEPdJnNF/7LUQrgzqI6EQ6NW5AfisrdMJXHOjuRk=\n\
        share member-01 2 akkyEPdJnNF/7LUQrgzqI6EQ6NW5AfisrdMJXHOjuRk= lHQfXV1SdV7OTyPwRO4n1dHqHivRlrRiFmsWFSqdAlk=\n";

    #[test]
    fn the_text_of_a_fixed_roster_is_these_bytes() {
        assert_eq!(federation(2, 1).text(), GOLDEN);
        assert_eq!(parse(GOLDEN), Ok(federation(2, 1)));
    }

    /// The two keys of RFC 7748, 6.1.
    const INCIDENT: &str = "\
        incident member-01 hSDwCYkwp1R0i33ctD73WgI2Oh9JlCvE0xBKDOCrxic=\n\
        incident member-02 3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=\n";

    #[test]
    fn incident_keys_stand_after_the_shares() {
        let with = format!("{GOLDEN}{INCIDENT}");
        let roster = parse(&with).unwrap();
        assert_eq!(roster.text(), with);
        assert_eq!(roster.incident_keys().len(), 2);
        let member = "member-02".parse().unwrap();
        let public_key = roster.incident_key(&member).unwrap();
        assert_eq!(
            hex::encode(public_key.as_bytes()),
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
        );
        let (first, second) = INCIDENT.split_at(INCIDENT.len() / 2);
        let swapped = parse(&format!("{GOLDEN}{second}{first}"));
        assert_eq!(swapped, Err(RosterParseError::Order));
        for (bad, line) in [
            (format!("{first}x"), 14),
            (first.replace("hSD", "HSD "), 13),
        ] {
            let want = RosterLine::Incident;
            let refused = parse(&format!("{GOLDEN}{bad}\n"));
            assert_eq!(refused, Err(RosterParseError::Line { line, want }));
        }
    }

    #[test]
    fn the_roster_after_it_names_it_by_the_hash_of_its_text() {
        let first = federation(2, 1);
        let mut parts = example_parts(2, 1);
        parts.epoch = Epoch::new(1);
        parts.previous = Some(first.hash());
        let second = Roster::new(parts).unwrap();
        let line = format!("\nprevious {}\n", first.hash());
        assert!(second.text().contains(&line));
        assert_eq!(parse(second.text()), Ok(second));
    }

    #[test]
    fn a_roster_after_a_ceremony_names_its_transcript_in_one_line() {
        let mut parts = example_parts(2, 1);
        parts.ceremony = Some(Hash::from_bytes([7; 32]));
        let roster = Roster::new(parts).unwrap();
        let line =
            "qWCA=\nceremony BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\nmember member-00 ";
        assert!(roster.text().contains(line));
        assert_eq!(parse(roster.text()), Ok(roster.clone()));
        let short = roster.text().replacen("BwcHBw", "BwcH", 1);
        let want = RosterLine::Ceremony;
        assert_eq!(parse(&short), Err(RosterParseError::Line { line: 8, want }));
    }

    #[test]
    fn each_line_that_cannot_be_read_is_named_with_its_number() {
        let wants = [
            (1, RosterLine::Title),
            (2, RosterLine::Origin),
            (3, RosterLine::Epoch),
            (4, RosterLine::Previous),
            (5, RosterLine::Threshold),
            (6, RosterLine::PersonKey),
            (7, RosterLine::ContractKey),
            (8, RosterLine::Member),
            (11, RosterLine::Share),
        ];
        for (line, want) in wants {
            let changed = |change: fn(&str) -> String| {
                let lines = GOLDEN.lines().zip(1..);
                lines
                    .map(|(text, n)| if n == line { change(text) } else { text.to_owned() } + "\n")
                    .collect::<String>()
            };
            let error = Err(RosterParseError::Line { line, want });
            assert_eq!(parse(&changed(|text| format!("{text} "))), error);
            assert_eq!(parse(&changed(|text| format!("{text}\r"))), error);
            assert_eq!(parse(&changed(|text| text.replacen(' ', "  ", 1))), error);
            let cut: String = GOLDEN.split_inclusive('\n').take(line - 1).collect();
            if (2..8).contains(&line) {
                assert_eq!(parse(&cut), error);
            }
        }
    }

    #[test]
    fn another_spelling_of_a_value_is_refused() {
        for (from, to, want) in [
            ("epoch 0", "epoch 00", RosterLine::Epoch),
            ("epoch 0", "epoch +0", RosterLine::Epoch),
            ("epoch 0", "epoch -0", RosterLine::Epoch),
            ("epoch 0", "epoch 18446744073709551616", RosterLine::Epoch),
            ("threshold 2", "threshold 0", RosterLine::Threshold),
            ("threshold 2", "threshold 02", RosterLine::Threshold),
            ("threshold 2", "threshold 65538", RosterLine::Threshold),
            ("previous none", "previous None", RosterLine::Previous),
            ("previous none", "previous -", RosterLine::Previous),
            (" amo ", " AMO ", RosterLine::Member),
            (" 01 ", " 1 ", RosterLine::Member),
            (" voting ", " votes ", RosterLine::Member),
            (
                "member-00.example:7443 -",
                "member-00.example:7443",
                RosterLine::Member,
            ),
            (
                "member-00.example:7443 -",
                "member-00.example:07443 -",
                RosterLine::Member,
            ),
            (
                "share member-00 1 ",
                "share member-00 01 ",
                RosterLine::Share,
            ),
            (
                "share member-00 1 ",
                "shore member-00 1 ",
                RosterLine::Share,
            ),
        ] {
            let text = GOLDEN.replacen(from, to, 1);
            assert_ne!(text, GOLDEN, "{from}");
            let line = 1 + GOLDEN
                .lines()
                .position(|l| l.contains(from.trim_start()))
                .unwrap();
            assert_eq!(
                parse(&text),
                Err(RosterParseError::Line { line, want }),
                "{to}"
            );
        }
    }

    #[test]
    fn another_order_of_the_lines_is_refused() {
        let lines: Vec<&str> = GOLDEN.lines().collect();
        for (a, b) in (1..lines.len()).flat_map(|b| (0..b).map(move |a| (a, b))) {
            let mut swapped = lines.clone();
            swapped.swap(a, b);
            assert!(parse(&(swapped.join("\n") + "\n")).is_err(), "{a} {b}");
        }
        let mut swapped = lines.clone();
        swapped.swap(7, 8);
        assert_eq!(
            parse(&(swapped.join("\n") + "\n")),
            Err(RosterParseError::Order)
        );
    }

    #[test]
    fn a_text_is_bounded_and_ends_in_one_newline() {
        let cut = &GOLDEN[..GOLDEN.len() - 1];
        assert_eq!(parse(cut), Err(RosterParseError::NoFinalNewline));
        assert!(parse(&format!("{GOLDEN}\n")).is_err());
        let got = ROSTER_BYTES_MAX + 1;
        assert_eq!(
            parse(&"a".repeat(got)),
            Err(RosterParseError::TooLong { got })
        );
    }

    #[test]
    fn a_text_that_breaks_a_rule_of_rosters_is_refused_for_the_rule() {
        let text = GOLDEN.replacen("threshold 2", "threshold 3", 1);
        let threshold = NonZeroU16::new(3).unwrap();
        assert_eq!(
            parse(&text),
            Err(RosterParseError::Rule(RosterError::Threshold {
                threshold,
                shares: 2
            }))
        );
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            voting in 1..8_u8,
            following in 0..4_u8,
            epoch in 1..u64::MAX,
            previous: [u8; 32],
            host in "[a-z0-9._-]{1,30}",
            port in 1..u16::MAX,
        ) {
            let mut parts = example_parts(voting, following);
            parts.epoch = Epoch::new(epoch);
            parts.previous = Some(Hash::from_bytes(previous));
            parts.members[0].http = Some(format!("{host}:{port}").parse().unwrap());
            let roster = Roster::new(parts).unwrap();
            prop_assert_eq!(parse(roster.text()), Ok(roster));
        }

        #[test]
        fn arbitrary_text_never_panics_and_has_one_spelling(
            text in ".{0,80}",
            place in 0..GOLDEN.len(),
            length in 0..6_usize,
        ) {
            let _ = parse(&text);
            let mut near = GOLDEN.to_owned();
            let end = (place + length).min(near.len());
            near.replace_range(place..end, &text.chars().take(length).collect::<String>());
            if let Ok(roster) = parse(&near) {
                prop_assert_eq!(roster.text(), near);
            }
        }
    }
}
