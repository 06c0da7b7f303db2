//! Who stands at the counter, and who pays for him.

use proto::identity::{Contract, MemberNumber, PayerNumber, Person};
use proto::seal::PARTS_MAX;
use thiserror::Error;

/// Most payers of one claim: a payload has one sealed part for each.
pub const PAYERS_MAX: usize = PARTS_MAX;

/// A contract with a complementary insurer, as its card shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complementary {
    /// The insurer.
    pub payer_number: PayerNumber,
    /// Under which number it knows the insured.
    pub member_number: MemberNumber,
}

/// Why these are not the payers of one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InsuredError {
    /// There are more than a payload has room for.
    #[error("a person has at most {} complementary insurers, got {got}", PAYERS_MAX - 1)]
    TooMany {
        /// How many there are.
        got: usize,
    },
    /// Two contracts are with one payer.
    #[error("two contracts are with the same payer")]
    SamePayer,
}

/// A person and his payers: the mandatory insurer first, then the complementary ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insured {
    person: Person,
    regime: PayerNumber,
    complementary: Vec<Complementary>,
}

impl Insured {
    /// A person, his regime's code, and his complementary insurers in the order they pay.
    ///
    /// # Errors
    /// [`InsuredError`] for too many payers, or one twice.
    pub fn new(
        person: Person,
        regime: PayerNumber,
        complementary: Vec<Complementary>,
    ) -> Result<Self, InsuredError> {
        let got = complementary.len();
        if got >= PAYERS_MAX {
            return Err(InsuredError::TooMany { got });
        }
        let mut payers: Vec<&PayerNumber> = vec![&regime];
        for contract in &complementary {
            if payers.contains(&&contract.payer_number) {
                return Err(InsuredError::SamePayer);
            }
            payers.push(&contract.payer_number);
        }
        Ok(Self {
            person,
            regime,
            complementary,
        })
    }

    /// The person alone: what renewal slots depend on.
    #[must_use]
    pub const fn person(&self) -> &Person {
        &self.person
    }

    /// One contract for each payer. With the mandatory insurer it is the NIR under the regime.
    #[must_use]
    pub fn contracts(&self) -> Vec<Contract> {
        let Person {
            nir,
            birth_date,
            birth_rank,
        } = &self.person;
        let contract = |payer_number: &PayerNumber, member_number| Contract {
            payer_number: payer_number.clone(),
            member_number,
            birth_date: birth_date.clone(),
            birth_rank: birth_rank.clone(),
        };
        let mut contracts = vec![contract(&self.regime, MemberNumber::from(nir))];
        for Complementary {
            payer_number,
            member_number,
        } in &self.complementary
        {
            contracts.push(contract(payer_number, member_number.clone()));
        }
        contracts
    }
}

#[cfg(test)]
pub(super) mod example {
    use super::*;

    /// A published NIR, and one complementary contract.
    pub(in crate::pos) fn insured() -> Insured {
        let person = Person {
            nir: "2 95 10 99 126 111 93".parse().unwrap(),
            birth_date: "19951012".parse().unwrap(),
            birth_rank: "1".parse().unwrap(),
        };
        Insured::new(
            person,
            "01".parse().unwrap(),
            vec![complementary("11111111")],
        )
        .unwrap()
    }

    pub(in crate::pos) fn complementary(payer: &str) -> Complementary {
        Complementary {
            payer_number: payer.parse().unwrap(),
            member_number: "AB1234".parse().unwrap(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::example::{complementary, insured};
    use super::*;

    #[test]
    fn the_mandatory_insurer_comes_first_under_the_nir() {
        let contracts = insured().contracts();
        assert_eq!(contracts.len(), 2);
        assert_eq!(contracts[0].payer_number.as_str(), "01");
        assert_eq!(
            contracts[0].member_number,
            MemberNumber::from(&insured().person().nir)
        );
        assert_eq!(contracts[1].payer_number.as_str(), "11111111");
    }

    #[test]
    fn a_payer_stands_there_once_and_three_are_the_most() {
        let Insured { person, regime, .. } = insured();
        let with = |payers: &[&str]| {
            let complementary = payers.iter().map(|payer| complementary(payer)).collect();
            Insured::new(person.clone(), regime.clone(), complementary)
        };
        assert!(with(&["11111111", "22222222"]).is_ok());
        assert_eq!(
            with(&["11111111", "11111111"]),
            Err(InsuredError::SamePayer)
        );
        assert_eq!(with(&["01"]), Err(InsuredError::SamePayer));
        let too_many = with(&["11111111", "22222222", "33333333"]);
        assert_eq!(too_many, Err(InsuredError::TooMany { got: 3 }));
    }

    #[test]
    fn debug_of_an_insured_shows_no_identity() {
        let shown = format!("{:?}", insured());
        assert!(
            !shown.contains("1995") && !shown.contains("AB1234"),
            "{shown}"
        );
    }
}
