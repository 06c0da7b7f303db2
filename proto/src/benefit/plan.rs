//! A plan: the terms of every grouped code, from which the coverages of its contracts are made.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::limits::{Bracket, Limits, Span};
use super::product_class::{ProductClass, class_of};
use super::{NetworkName, NetworkRule, Period, RENEWAL_MONTHS_MAX, RenewalMonths, Rule, Terms};
use crate::ids::Cents;
use crate::lpp::{GroupedCode, Slot};

/// Longest name of a plan.
const PLAN_NAME_BYTES_MAX: usize = 32;

/// A text is not the name of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a plan must be 1 to {PLAN_NAME_BYTES_MAX} characters out of A-Z a-z 0-9 . - _")]
pub struct PlanNameError;

/// What a payer calls one of its plans.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanName(String);

impl PlanName {
    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PlanName {
    type Err = PlanNameError;

    fn from_str(text: &str) -> Result<Self, PlanNameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        let sized = (1..=PLAN_NAME_BYTES_MAX).contains(&text.len());
        (sized && text.bytes().all(allowed))
            .then(|| Self(text.to_owned()))
            .ok_or(PlanNameError)
    }
}

impl fmt::Display for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What rules a plan has to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlanKind {
    /// The mandatory insurer's (AMO): rates of the base for everybody.
    Mandatory,
    /// A responsible contract (L. 871-1, R. 871-2).
    Responsible,
    /// The public complementary cover (C2S): class A in full, of the rest the person's own part of
    /// the base and no more.
    Solidarity,
    /// Any other contract: no rule but its own.
    Free,
}

/// What a plan says of one grouped code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRule {
    /// Outside the network, if there is one.
    pub rule: Rule,
    /// In the network.
    pub network: Option<NetworkRule>,
}

impl PlanRule {
    /// The same everywhere.
    #[must_use]
    pub const fn everywhere(rule: Rule) -> Self {
        Self {
            rule,
            network: None,
        }
    }

    fn all(&self) -> impl Iterator<Item = Rule> {
        let in_network = self.network.as_ref().map(|network| network.rule);
        [Some(self.rule), in_network].into_iter().flatten()
    }
}

/// A plan that has not been checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanDraft {
    /// Its name.
    pub name: PlanName,
    /// What it has to keep.
    pub kind: PlanKind,
    /// The days on which it runs.
    pub valid: Period,
    /// What it says of each grouped code; nothing is paid for a code that is not here.
    pub rules: BTreeMap<GroupedCode, PlanRule>,
    /// Limits of a pair of class B.
    pub limits: Option<Limits>,
    /// When the next pair is paid for. Contact lenses have the published yearly clock unless this
    /// is shorter.
    pub renewal: RenewalMonths,
}

/// Why a draft is no plan. It names the code or the bracket and the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The last day is before the first.
    #[error("valid: the last day is before the first")]
    Period,
    /// A renewal time is out of range.
    #[error("renewal: months must be 1 to {RENEWAL_MONTHS_MAX}")]
    Renewal,
    /// A bracket pays at least more than at most.
    #[error("limits {}: the least is above the most", .bracket.letter())]
    Span {
        /// Which bracket.
        bracket: Bracket,
    },
    /// The mandatory insurer pays rates of the base, the same everywhere, and has no limits.
    #[error("{code}: a mandatory plan has a rate of the base alone, no network and no limits")]
    Mandatory {
        /// For which code it says something else.
        code: GroupedCode,
    },
    /// Class A is not paid in full.
    #[error("{code}: a responsible or solidarity plan pays class A in full everywhere")]
    ClassA {
        /// Which code.
        code: GroupedCode,
    },
    /// A frame or lens of class B is not covered.
    #[error("{code}: a responsible plan pays something for each frame and lens of class B")]
    ClassB {
        /// Which code.
        code: GroupedCode,
    },
    /// The public cover pays more or less than the person's own part of the base.
    #[error("{code}: a solidarity plan pays the person's part of the base outside class A")]
    Solidarity {
        /// Which code.
        code: GroupedCode,
    },
    /// There are no limits of a pair where there have to be some, or some where there are none.
    #[error("limits: a responsible plan has them, a mandatory or solidarity plan has none")]
    Limits,
    /// A bracket pays less than the regulation's least, or more than its most.
    #[error("limits {}: a responsible plan pays {} to {} EUR", .bracket.letter(),
        .allowed.least.to_euros(), .allowed.most.to_euros())]
    Bracket {
        /// Which bracket.
        bracket: Bracket,
        /// What the regulation allows.
        allowed: Span,
    },
    /// The frame is paid above the regulation's most.
    #[error("limits: a responsible plan pays at most {} EUR for a frame", .most.to_euros())]
    Frame {
        /// What the regulation allows.
        most: Cents,
    },
    /// Renewal times differ from the published ones.
    #[error("renewal: this kind of plan has the published months, 24, 12 and 6")]
    PublishedRenewal,
}

/// A plan that keeps the rules of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan(PlanDraft);

impl Plan {
    /// Checks a draft.
    ///
    /// # Errors
    /// [`PlanError`], the first rule of its kind that it does not keep.
    pub fn new(draft: PlanDraft) -> Result<Self, PlanError> {
        draft.check_form()?;
        match draft.kind {
            PlanKind::Mandatory => draft.check_mandatory()?,
            PlanKind::Responsible => draft.check_responsible()?,
            PlanKind::Solidarity => draft.check_solidarity()?,
            PlanKind::Free => {}
        }
        Ok(Self(draft))
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &PlanName {
        &self.0.name
    }

    /// What it has to keep.
    #[must_use]
    pub const fn kind(&self) -> PlanKind {
        self.0.kind
    }

    /// The days on which it runs.
    #[must_use]
    pub const fn valid(&self) -> Period {
        self.0.valid
    }

    /// The grouped codes that it says something of.
    pub fn grouped_codes(&self) -> impl Iterator<Item = GroupedCode> {
        self.0.rules.keys().copied()
    }

    /// The networks that its rules name, some perhaps several times.
    pub fn networks(&self) -> impl Iterator<Item = &NetworkName> {
        let networks = self
            .0
            .rules
            .values()
            .filter_map(|rule| rule.network.as_ref());
        networks.map(|network| &network.name)
    }

    /// The terms for one grouped code of a contract with these rights: on the days on which both
    /// contract and plan run. `None` when the plan says nothing of the code, or there is no such
    /// day.
    #[must_use]
    pub fn terms(&self, code: GroupedCode, rights: Period) -> Option<Terms> {
        let PlanRule { rule, network } = self.0.rules.get(&code)?.clone();
        let counted = class_of(code) == Some(ProductClass::B);
        Some(Terms {
            grouped_code: code,
            rights: rights.within(self.0.valid)?,
            rule,
            network,
            limits: self.0.limits.filter(|_| counted),
            renewal: self.renewal_of(code),
        })
    }

    /// All terms of a contract with these rights, by grouped code.
    pub fn all_terms(&self, rights: Period) -> impl Iterator<Item = Terms> {
        self.grouped_codes()
            .filter_map(move |code| self.terms(code, rights))
    }

    fn renewal_of(&self, code: GroupedCode) -> RenewalMonths {
        let own = self.0.renewal;
        match code.slot(None) {
            Ok(Slot::ContactLenses) => {
                let yearly = RenewalMonths::published(Slot::ContactLenses);
                RenewalMonths {
                    adult: own.adult.min(yearly.adult),
                    ..own
                }
            }
            _ => own,
        }
    }
}

impl PlanDraft {
    fn check_form(&self) -> Result<(), PlanError> {
        if self.valid.from > self.valid.to {
            return Err(PlanError::Period);
        }
        if !self.renewal.in_range() {
            return Err(PlanError::Renewal);
        }
        let Some(limits) = &self.limits else {
            return Ok(());
        };
        let crossed = Bracket::ALL.into_iter().find(|bracket| {
            let span = limits.span(*bracket);
            span.least > span.most
        });
        crossed.map_or(Ok(()), |bracket| Err(PlanError::Span { bracket }))
    }

    fn check_mandatory(&self) -> Result<(), PlanError> {
        if self.limits.is_some() {
            return Err(PlanError::Limits);
        }
        for (code, rule) in &self.rules {
            let rate = matches!(rule.rule, Rule::Nothing | Rule::Rate { plus: NO_EUROS, .. });
            if !rate || rule.network.is_some() {
                return Err(PlanError::Mandatory { code: *code });
            }
        }
        self.check_published_renewal()
    }

    fn check_responsible(&self) -> Result<(), PlanError> {
        self.check_class_a()?;
        for code in GroupedCode::all().filter(|code| is_frame_or_lens(*code)) {
            let pays = |rule: &PlanRule| rule.rule != Rule::Nothing;
            if !self.rules.get(&code).is_some_and(pays) {
                return Err(PlanError::ClassB { code });
            }
        }
        let limits = self.limits.as_ref().ok_or(PlanError::Limits)?;
        let law = Limits::RESPONSIBLE;
        for bracket in Bracket::ALL {
            let (own, allowed) = (limits.span(bracket), law.span(bracket));
            if own.least < allowed.least || own.most > allowed.most {
                return Err(PlanError::Bracket { bracket, allowed });
            }
        }
        if limits.frame_most > law.frame_most {
            let most = law.frame_most;
            return Err(PlanError::Frame { most });
        }
        self.check_published_renewal()
    }

    fn check_solidarity(&self) -> Result<(), PlanError> {
        self.check_class_a()?;
        if self.limits.is_some() {
            return Err(PlanError::Limits);
        }
        for (code, rule) in &self.rules {
            let class_a = class_of(*code) == Some(ProductClass::A);
            if !class_a && rule.all().any(|rule| rule != Rule::COPAYMENT) {
                return Err(PlanError::Solidarity { code: *code });
            }
        }
        self.check_published_renewal()
    }

    /// Everything of class A in full, in the network and elsewhere, and up to the catalogue's
    /// price limit: a limit of the payer's own would leave a rest to pay.
    fn check_class_a(&self) -> Result<(), PlanError> {
        const IN_FULL: Rule = Rule::Full { limit: None };
        let class_a = |code: &GroupedCode| class_of(*code) == Some(ProductClass::A);
        for code in GroupedCode::all().filter(class_a) {
            let full = |rule: &PlanRule| rule.all().all(|rule| rule == IN_FULL);
            if !self.rules.get(&code).is_some_and(full) {
                return Err(PlanError::ClassA { code });
            }
        }
        Ok(())
    }

    fn check_published_renewal(&self) -> Result<(), PlanError> {
        (self.renewal == RenewalMonths::PUBLISHED)
            .then_some(())
            .ok_or(PlanError::PublishedRenewal)
    }
}

/// Nothing on top of a rate.
const NO_EUROS: Cents = Cents::new(0);

/// Whether a code is a frame or a lens of class B.
fn is_frame_or_lens(code: GroupedCode) -> bool {
    let frame = code.slot(None) == Ok(Slot::Frame);
    class_of(code) == Some(ProductClass::B) && (frame || code.is_lens())
}

#[cfg(test)]
mod tests;
