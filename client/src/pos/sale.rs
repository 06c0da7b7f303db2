//! A sale at the counter: what, to whom, when, and what the optician says of it.

use proto::benefit::{NetworkName, Situation};
use proto::identity::BirthDate;
use proto::ids::Day;
use proto::lpp::Catalogue;
use proto::renewal::{EarlyRenewal, Prescription};

use super::product::{self, Product};
use super::{CheckError, Insured, Item};

/// What the optician says of a sale beside its items. None of it holds a diopter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Occasion {
    /// The date of the prescription; `None` when it is not to be checked.
    pub prescription: Option<Day>,
    /// What opens a renewal before its time, as the optician attests it.
    pub early_renewal: EarlyRenewal,
    /// The payers' networks that the shop is in, as it says: where a payer's node answers, its own
    /// list decides.
    pub networks: Vec<NetworkName>,
}

/// A sale with what the catalogue says of its items, on its day.
#[derive(Debug)]
pub(super) struct Sale {
    pub(super) products: Vec<Product>,
    pub(super) today: Day,
    /// Completed years of the person today.
    pub(super) age: u16,
    pub(super) prescription: Option<Prescription>,
    pub(super) occasion: Occasion,
}

impl Sale {
    pub(super) fn new(
        catalogue: &Catalogue,
        insured: &Insured,
        items: &[Item],
        occasion: &Occasion,
        today: Day,
    ) -> Result<Self, CheckError> {
        let born = &insured.person().birth_date;
        Ok(Self {
            products: product::look_up(catalogue, items, today)?,
            today,
            age: born.completed_years(today),
            prescription: prescription(occasion, born, today)?,
            occasion: occasion.clone(),
        })
    }

    /// What the rules of benefit want to know.
    pub(super) fn situation(&self) -> Situation<'_> {
        Situation {
            today: self.today,
            age: self.age,
            networks: &self.occasion.networks,
            prescription: self.prescription,
        }
    }

    /// The last day on which the prescription counts for every item, if its date is known.
    pub(super) fn prescription_until(&self) -> Option<Day> {
        let prescription = self.prescription?;
        let ends = self
            .products
            .iter()
            .map(|product| prescription.ends_on(product.slot));
        ends.min().map(|day| Day::new(day.get().saturating_sub(1)))
    }
}

fn prescription(
    occasion: &Occasion,
    born: &BirthDate,
    today: Day,
) -> Result<Option<Prescription>, CheckError> {
    let Some(date) = occasion.prescription else {
        return Ok(None);
    };
    if date > today {
        return Err(CheckError::PrescriptionAhead);
    }
    let age = born.completed_years(date);
    Ok(Some(Prescription { date, age }))
}
