//! The closed list of reasons for which a well-formed entry is refused.
//!
//! A refusal is an answer, not an error: the entry could be read, its signature held, and a rule
//! says no. Schema, command output and documentation use the same names.

use crate::ids::LeafIndex;

/// Declares the list once: name, code, number of the schema, English and French sentence.
macro_rules! reasons {
    ($($name:ident = $number:literal, $code:literal, $english:literal, $french:literal;)*) => {
        /// Why an entry was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $(#[doc = concat!("Because ", $english, ".")] $name = $number,)*
        }

        impl Reason {
            /// Every reason, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name that schema, JSON output and metrics use.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// A sentence for the log of a till or the screen of an integrator.
            #[must_use]
            pub const fn english(self) -> &'static str {
                match self { $(Self::$name => $english,)* }
            }

            /// The sentence for the counter.
            #[must_use]
            pub const fn french(self) -> &'static str {
                match self { $(Self::$name => $french,)* }
            }
        }
    };
}

reasons! {
    IssuerUnknown = 1, "ISSUER_UNKNOWN",
        "the issuer is neither a member of the roster nor a granted till",
        "Ce poste ou cet organisme n'est pas admis dans la fédération.";
    GrantRevoked = 2, "GRANT_REVOKED",
        "the till's grant was revoked",
        "L'habilitation de ce poste a été retirée.";
    GrantExpired = 3, "GRANT_EXPIRED",
        "the till's grant has expired",
        "L'habilitation de ce poste a expiré.";
    KindNotAllowed = 4, "KIND_NOT_ALLOWED",
        "the issuer's role may not issue this kind of entry",
        "Cet émetteur n'a pas le droit d'effectuer cette opération.";
    RequestReused = 5, "REQUEST_REUSED",
        "the request id was used before for other bytes",
        "Cet identifiant de demande a déjà servi pour une autre demande.";
    ReferenceUnknown = 6, "REFERENCE_UNKNOWN",
        "a referenced entry is not in the log",
        "La demande cite une écriture qui n'existe pas.";
    ReferenceUnfit = 7, "REFERENCE_UNFIT",
        "a referenced entry is not of the kind that is needed",
        "La demande cite une écriture qui ne convient pas.";
    CatalogueOutdated = 8, "CATALOGUE_OUTDATED",
        "the catalogue is not the one in force",
        "Le catalogue LPP utilisé n'est plus en vigueur.";
    CoverageExpired = 9, "COVERAGE_EXPIRED",
        "a coverage is no longer valid",
        "La prise en charge n'est plus valable.";
    CoverageSuperseded = 10, "COVERAGE_SUPERSEDED",
        "the payer has replaced a coverage by a later one",
        "La prise en charge a été remplacée par une plus récente.";
    ClockSkew = 11, "CLOCK_SKEW",
        "the entry was not issued within 120 s of its batch",
        "L'horloge du poste est trop éloignée de celle de la fédération.";
    DateOutOfRange = 12, "DATE_OUT_OF_RANGE",
        "the date until which the entry runs is past or too far",
        "La date de fin demandée est passée ou trop lointaine.";
    SlotReserved = 13, "SLOT_RESERVED",
        "another claim has reserved the slot",
        "Cet équipement est déjà réservé par une autre demande.";
    SlotHeld = 14, "SLOT_HELD",
        "the slot is held until its renewal date",
        "Le délai de renouvellement de cet équipement n'est pas écoulé.";
    SlotNotHeld = 15, "SLOT_NOT_HELD",
        "the claim named does not hold the slot",
        "La demande citée ne réserve pas ou plus cet équipement.";
    NotEntitled = 16, "NOT_ENTITLED",
        "the issuer is neither the issuer of the entry named nor its payer",
        "Seul l'émetteur de la demande, ou son payeur, peut faire cela.";
    AlreadyGranted = 17, "ALREADY_GRANTED",
        "the till's key has a grant already",
        "Ce poste est déjà habilité.";
    RosterUnfit = 18, "ROSTER_UNFIT",
        "the roster does not follow from the one in force",
        "La composition proposée ne découle pas de celle en vigueur.";
    LppCodeMistyped = 19, "LPP_CODE_MISTYPED",
        "the check digit of the LPP code is wrong",
        "La clé du code LPP est fausse : vérifiez la saisie.";
    LppCodeUnknown = 20, "LPP_CODE_UNKNOWN",
        "the LPP code is not in the catalogue",
        "Ce code LPP ne figure pas au catalogue en vigueur.";
    LppCodeExpired = 21, "LPP_CODE_EXPIRED",
        "the LPP code is no longer in force",
        "Ce code LPP n'est plus en vigueur.";
    ItemsIncompatible = 22, "ITEMS_INCOMPATIBLE",
        "two items may not be billed together",
        "Deux articles de la demande ne peuvent pas être facturés ensemble.";
    AbovePriceLimit = 23, "ABOVE_PRICE_LIMIT",
        "the price is above the highest that is allowed",
        "Le prix dépasse le prix limite de vente de cet équipement.";
    NotForThisAge = 24, "NOT_FOR_THIS_AGE",
        "the item is for younger people",
        "Cet équipement est réservé à des assurés plus jeunes.";
    NotCovered = 25, "NOT_COVERED",
        "no payer covers the item",
        "Aucun organisme ne prend cet équipement en charge.";
    ContractEnded = 26, "CONTRACT_ENDED",
        "the contract's rights do not run on this day",
        "Les droits du contrat ne sont pas ouverts à cette date.";
    OutsideNetwork = 27, "OUTSIDE_NETWORK",
        "the payer pays this item in its network alone",
        "Cet organisme ne prend cet équipement en charge que dans son réseau.";
    PrescriptionExpired = 28, "PRESCRIPTION_EXPIRED",
        "the prescription is no longer valid at this age",
        "L'ordonnance n'est plus valable.";
    EarlyRenewalTooSoon = 29, "EARLY_RENEWAL_TOO_SOON",
        "the attested condition opens an early renewal later than today",
        "Le renouvellement anticipé n'est pas encore possible pour ce motif.";
    EarlyRenewalNotOpen = 30, "EARLY_RENEWAL_NOT_OPEN",
        "the attested condition opens no early renewal of this slot at this age",
        "Ce motif n'ouvre pas droit à un renouvellement anticipé de cet équipement.";
    ReservationEnded = 31, "RESERVATION_ENDED",
        "the reservation has run out",
        "La réservation est arrivée à son terme.";
    AlreadyDelivered = 32, "ALREADY_DELIVERED",
        "the slot has been delivered already",
        "Cet équipement est déjà livré.";
    NotDelivered = 33, "NOT_DELIVERED",
        "the claim has not been delivered",
        "La demande n'a pas encore été livrée.";
    AlreadySettled = 34, "ALREADY_SETTLED",
        "this payer has settled the claim already",
        "Cet organisme a déjà réglé cette demande.";
    NotPaid = 35, "NOT_PAID",
        "there is no payment to recover",
        "Il n'y a pas de paiement à récupérer.";
    ForeignSlotKey = 36, "FOREIGN_SLOT_KEY",
        "the slot keys are not those of the insured person",
        "Les droits réservés ne sont pas ceux de la personne assurée.";
    AmountAboveCoverage = 37, "AMOUNT_ABOVE_COVERAGE",
        "the amount is above what the coverage gives",
        "Le montant demandé dépasse la prise en charge.";
    RenewalDateWrong = 38, "RENEWAL_DATE_WRONG",
        "the renewal date is not the one that the coverage gives",
        "La date de renouvellement ne correspond pas à la prise en charge.";
    InvoiceUnfit = 39, "INVOICE_UNFIT",
        "the invoice does not fit the claim",
        "La facture ne correspond pas à la demande.";
}

impl Reason {
    /// The reason with this number of the schema.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| *reason as u8 == number)
    }

    /// Whether a payer may give it for rejecting an invoice, or for taking back what it paid: it
    /// speaks of the item, the contract or the invoice, and not of the ledger. Settlements of the
    /// ledger are read by this: a reason never leaves the list.
    #[must_use]
    pub const fn is_payers(self) -> bool {
        let number = self as u8;
        (Self::LppCodeMistyped as u8 <= number && number <= Self::EarlyRenewalNotOpen as u8)
            || (Self::ForeignSlotKey as u8 <= number && number <= Self::InvoiceUnfit as u8)
    }

    /// Whether the till can put right what a payer gave this reason for, and state the invoice again.
    /// Rules of the ledger rest on it: a reason never changes sides.
    #[must_use]
    pub const fn is_correctable(self) -> bool {
        matches!(
            self,
            Self::LppCodeMistyped
                | Self::LppCodeUnknown
                | Self::LppCodeExpired
                | Self::ItemsIncompatible
                | Self::AbovePriceLimit
                | Self::AmountAboveCoverage
                | Self::RenewalDateWrong
                | Self::InvoiceUnfit
        )
    }

    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.code() == code)
    }
}

/// What `decide` answers for an entry that it does not append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The first rule that said no.
    pub reason: Reason,
    /// The slot in the way, when the reason is a slot that another entry has taken.
    pub taken: Option<TakenSlot>,
}

/// A slot that stands in the way of a claim, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenSlot {
    /// Position of the slot key among the refused entry's keys.
    pub key_position: usize,
    /// The entry that has the slot.
    pub holder: LeafIndex,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            taken: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_codes_read_back() {
        for (position, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, position + 1);
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            assert_eq!(Reason::from_number(*reason as u8), Some(*reason));
        }
    }

    #[test]
    fn what_a_payer_may_say_and_what_can_be_corrected_never_changes() {
        let numbers = |is: fn(Reason) -> bool| -> Vec<u8> {
            let listed = Reason::ALL.iter().filter(|reason| is(**reason));
            listed.map(|reason| *reason as u8).collect()
        };
        let payers: Vec<u8> = (19..=30).chain(36..=39).collect();
        assert_eq!(numbers(Reason::is_payers), payers);
        let correctable = [19, 20, 21, 22, 23, 37, 38, 39];
        assert_eq!(numbers(Reason::is_correctable), correctable);
    }

    #[test]
    fn every_reason_has_a_french_sentence() {
        for reason in Reason::ALL {
            assert!(
                reason.french().ends_with('.') && reason.french().len() > 20,
                "{reason:?}"
            );
        }
    }
}
