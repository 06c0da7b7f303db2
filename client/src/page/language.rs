//! The two languages of a page, and how each writes figures.

use proto::entry::Kind;

/// A language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    French,
    English,
}

impl Language {
    /// The code of the language (BCP 47).
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::French => "fr",
            Self::English => "en",
        }
    }

    /// One of two texts.
    pub(super) const fn say<'a>(self, french: &'a str, english: &'a str) -> &'a str {
        match self {
            Self::French => french,
            Self::English => english,
        }
    }

    /// A number with its thousands apart.
    pub(super) fn number(self, number: u64) -> String {
        let apart = self.say("\u{202f}", ",");
        let digits = number.to_string();
        let mut text = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                text.push_str(apart);
            }
            text.push(digit);
        }
        text
    }

    /// A moment in RFC 3339, in UTC, as people read it.
    pub(super) fn moment(self, iso: &str) -> String {
        let (day, time) = iso.split_once('T').unwrap_or((iso, ""));
        let time = time.trim_end_matches('Z');
        let time = time.split_once('.').map_or(time, |(whole, _)| whole);
        let parts: Vec<&str> = day.split('-').collect();
        match (self, &parts[..]) {
            (Self::French, [year, month, day]) => format!("{day}/{month}/{year} à {time} UTC"),
            _ => format!("{day} {time} UTC"),
        }
    }

    /// The day and the minute of a moment in RFC 3339, without its year: all that a label has room for.
    pub(super) fn day_and_hour(self, iso: &str) -> String {
        let part = |range| iso.get(range).unwrap_or_default();
        let (month, day, time) = (part(5..7), part(8..10), part(11..16));
        match self {
            Self::French => format!("{day}/{month} {time}"),
            Self::English => format!("{month}-{day} {time}"),
        }
    }

    /// A count and what is counted, one of it or several, in French and English. Nothing is singular
    /// in French and plural in English.
    pub(super) fn counted(self, count: u64, french: (&str, &str), english: (&str, &str)) -> String {
        let word = match self {
            Self::French if count < 2 => french.0,
            Self::French => french.1,
            Self::English if count == 1 => english.0,
            Self::English => english.1,
        };
        format!("{} {word}", self.number(count))
    }

    /// The word for a kind of entry, by its word in the report.
    pub(super) fn kind(self, kind: &str) -> &'static str {
        let Some(kind) = Kind::ALL.into_iter().find(|it| it.as_str() == kind) else {
            return "?";
        };
        match kind {
            Kind::Roster => self.say("composition", "roster"),
            Kind::Catalogue => self.say("catalogue", "catalogue"),
            Kind::Grant => self.say("habilitation", "grant"),
            Kind::Revocation => self.say("retrait", "revocation"),
            Kind::Coverage => self.say("prise en charge", "coverage"),
            Kind::Claim => self.say("réservation", "claim"),
            Kind::Release => self.say("libération", "release"),
            Kind::Erasure => self.say("effacement", "erasure"),
            Kind::Delivery => self.say("livraison", "delivery"),
            Kind::Settlement => self.say("règlement", "settlement"),
            Kind::Access => self.say("consultation", "access"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_moments_read_as_people_write_them() {
        let (french, english) = (Language::French, Language::English);
        assert_eq!(french.number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(english.number(999), "999");
        let iso = "2026-01-09T23:06:40.5Z";
        assert_eq!(french.moment(iso), "09/01/2026 à 23:06:40 UTC");
        assert_eq!(english.moment(iso), "2026-01-09 23:06:40 UTC");
        assert_eq!(french.day_and_hour(iso), "09/01 23:06");
        assert_eq!(english.day_and_hour(iso), "01-09 23:06");
    }
}
