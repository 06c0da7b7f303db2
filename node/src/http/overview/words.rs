//! The sentences of the operator's page, in French and English.

use crate::overview::Alarm;

/// A language of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    French,
    English,
}

impl Language {
    /// French, unless a browser prefers English to it (RFC 9110, 12.5.4; weights are not read: who
    /// prefers a language names it first).
    pub(super) fn preferred(accepted: &str) -> Self {
        let place = |code: &str| {
            let mut named = accepted.split(',').map(|it| it.trim().to_ascii_lowercase());
            named.position(|it| it.split([';', '-']).next() == Some(code))
        };
        match (place("fr"), place("en")) {
            (None, Some(_)) => Self::English,
            (Some(french), Some(english)) if english < french => Self::English,
            _ => Self::French,
        }
    }

    /// The code of the language (BCP 47).
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::French => "fr",
            Self::English => "en",
        }
    }

    /// The other one.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::French => Self::English,
            Self::English => Self::French,
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

    /// A length of time, in the unit that reads best.
    pub(super) fn duration(self, seconds: u64) -> String {
        let (count, unit) = match seconds {
            0..120 => (seconds, "s"),
            120..7_200 => (seconds / 60, "min"),
            7_200..172_800 => (seconds / 3_600, "h"),
            _ => (seconds / 86_400, self.say("jours", "days")),
        };
        format!("{}\u{a0}{unit}", self.number(count))
    }

    /// Bytes, in the unit that reads best.
    pub(super) fn bytes(self, bytes: u64) -> String {
        let (unit, of) = match bytes {
            0..1_000_000 => (1_000, self.say("ko", "kB")),
            1_000_000..1_000_000_000 => (1_000_000, self.say("Mo", "MB")),
            _ => (1_000_000_000, self.say("Go", "GB")),
        };
        let tenths = bytes / (unit / 10);
        let (whole, tenth) = (self.number(tenths / 10), tenths % 10);
        format!("{whole}{}{tenth}\u{a0}{of}", self.say(",", "."))
    }

    /// The word for what a node does.
    pub(super) fn condition(self, condition: &'static str) -> &'static str {
        match condition {
            "writing" => self.say("écrit", "writing"),
            "following" => self.say("suit sans voter", "following"),
            stopped => stopped,
        }
    }

    /// The word for what a member is.
    pub(super) fn role(self, role: &'static str) -> &'static str {
        match role {
            "amo" => self.say("assurance maladie", "mandatory insurer"),
            "amc" => self.say("complémentaire", "complementary insurer"),
            "federation" => self.say("opticiens", "opticians"),
            other => other,
        }
    }

    /// The sentence of an alarm.
    pub(super) fn alarm(self, alarm: &Alarm) -> String {
        match alarm {
            Alarm::WritesStopped { reason } => match self {
                Self::French => format!("Ce nœud n'écrit plus : {reason}."),
                Self::English => format!("This node writes no more: {reason}."),
            },
            Alarm::CheckpointOld { age_s: None } => self.own(
                "Aucun quorum ne se porte garant de l'état de ce nœud.",
                "No quorum vouches for the state of this node.",
            ),
            Alarm::CheckpointOld { age_s: Some(age) } => self.with(
                "Le dernier point de contrôle contresigné est trop ancien",
                "The newest cosigned checkpoint is too old",
                &self.duration(*age),
            ),
            Alarm::QuorumLost { present, quorum } => self.with(
                "Trop peu de membres votants sont là : plus rien ne peut être écrit",
                "Too few voting members are there: nothing can be written",
                &format!("{present} / {quorum}"),
            ),
            Alarm::NobodyMayFail => self.own(
                "Si un membre votant de plus tombe, plus rien ne peut être écrit.",
                "If one more voting member fails, nothing can be written any more.",
            ),
            Alarm::MemberAway { member } => self.with(
                "Ce membre votant n'a pas contresigné récemment",
                "This voting member has not cosigned lately",
                member,
            ),
            Alarm::NotCosigning => self.own(
                "Ce nœud demande aux autres ce qu'il avait signé, et ne signe rien d'ici là.",
                "This node is asking the others what it had signed, and signs nothing until then.",
            ),
            Alarm::SharesMissing { present, threshold } => self.with(
                "Trop peu de parts des clés communes sont joignables",
                "Too few shares of the joint keys can be reached",
                &format!("{present} / {threshold}"),
            ),
            Alarm::OwnShareMissing => self.own(
                "La composition donne à ce membre une part que son nœud n'a pas.",
                "The roster gives this member a share that its node does not have.",
            ),
            Alarm::DiskLow { free_bytes } => self.with(
                "Le disque est presque plein",
                "The disk is nearly full",
                &self.bytes(*free_bytes),
            ),
            Alarm::OthersRefused { batches, pages } => self.with(
                "Ce nœud a refusé ce que d'autres membres lui ont envoyé",
                "This node has refused what other members sent it",
                &format!("{batches} {}, {pages} pages", self.say("lots", "batches")),
            ),
            Alarm::BackupOld { age_s: None } => self.own(
                "Ce nœud n'a jamais été sauvegardé.",
                "This node was never backed up.",
            ),
            Alarm::BackupOld { age_s: Some(age) } => self.with(
                "La dernière sauvegarde est trop ancienne",
                "The last backup is too old",
                &self.duration(*age),
            ),
            Alarm::Readings { pattern, count } => self.with(
                "Des postes ont lu comme un poste ne lit pas",
                "Tills have read as tills do not",
                &format!("{pattern} × {count}"),
            ),
        }
    }

    fn own(self, french: &str, english: &str) -> String {
        self.say(french, english).to_owned()
    }

    fn with(self, french: &str, english: &str, figure: &str) -> String {
        format!("{} ({figure}).", self.say(french, english))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn french_comes_first_unless_a_browser_prefers_english() {
        for (accepted, language) in [
            ("", Language::French),
            ("de,es", Language::French),
            ("fr", Language::French),
            ("fr-FR,fr;q=0.9,en;q=0.8", Language::French),
            ("en-GB,en;q=0.9,fr;q=0.8", Language::English),
            ("en", Language::English),
            ("de, en;q=0.5", Language::English),
        ] {
            assert_eq!(Language::preferred(accepted), language, "{accepted}");
        }
    }

    #[test]
    fn figures_read_as_people_write_them() {
        let (french, english) = (Language::French, Language::English);
        assert_eq!(french.number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(english.number(999), "999");
        assert_eq!(french.bytes(12_345_678_901), "12,3\u{a0}Go");
        assert_eq!(english.bytes(2_000_000), "2.0\u{a0}MB");
        assert_eq!(french.duration(119), "119\u{a0}s");
        assert_eq!(french.duration(200_000), "2\u{a0}jours");
    }
}
