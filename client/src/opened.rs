//! A claim, delivery or settlement as its till and its payers may read it: verified, with its
//! payload, and with where each payer stands.
//!
//! 1. A quorum cosigned the checkpoint, less than a minute ago.
//! 2. The entry was signed by its issuer and is in the log at its index.
//! 3. The payers are the issuers of the claim's coverages, each verified as an entry.
//! 4. The map has the invoice, and for each payer its settlement or none.
//! 5. The coverages that come with an own claim are those it names, each verified as an entry.

use proto::attestation::lifecycle::PaymentStage;
use proto::attestation::{
    Attestation, Claim, ClaimTerms, CoverageTerms, InvoiceState, SettlementState, SettlementTerms,
    State, invoice_index, settlement_index,
};
use proto::benefit::Terms;
use proto::checkpoint::VerifiedCheckpoint;
use proto::entry::VerifiedEntry;
use proto::ids::{LeafIndex, MemberName};
use proto::map::{MapIndex, MapProof};
use proto::seal::{Opened, PayloadCommitment, Salt, SealedPayload};
use proto::signing::PublicKey;
use proto::token::SealingSecret;
use proto::wire::StateAnswer;
use proto::wire::claims::OwnEntry;

use crate::connection::Connection;
use crate::lookup::{LookupError, WrongAnswer, verify_place, wrong};
use crate::nodes::Manner;
use crate::session::Session;

/// An entry of the life of a claim.
#[derive(Debug, Clone)]
pub struct OpenedEntry {
    /// Its place in the log.
    pub index: LeafIndex,
    /// The entry.
    pub entry: VerifiedEntry,
    /// What it says.
    pub says: Attestation,
    /// The invoice it belongs to; `None` for a claim.
    pub invoice: Option<LeafIndex>,
    /// The state of the invoice.
    pub invoice_state: Option<InvoiceState>,
    /// Each payer of the claim; none for a claim, which has several invoices or none yet.
    pub payers: Vec<PayerStanding>,
    payload: Option<(SealedPayload, Salt)>,
    /// Of an own claim, what it rests on.
    coverages: Vec<Sealed>,
}

/// An entry with what is sealed beside it.
#[derive(Debug, Clone)]
struct Sealed {
    entry: VerifiedEntry,
    payload: Option<(SealedPayload, Salt)>,
}

impl Sealed {
    fn open(&self, secret: &SealingSecret) -> Option<Opened> {
        let (sealed, salt) = self.payload.as_ref()?;
        let commitment = PayloadCommitment::from_hash(self.entry.header().commitment?);
        sealed.open(secret, salt, &commitment).ok()
    }
}

/// Where one payer stands to an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayerStanding {
    /// The key of the payer's coverages, which it may have replaced since.
    pub payer: PublicKey,
    /// Which member that is; `None` once it has left, or when no earlier roster could be had.
    pub member: Option<MemberName>,
    /// Where its payment stands.
    pub stage: PaymentStage,
    /// Its newest settlement.
    pub settlement: Option<SettlementState>,
}

impl OpenedEntry {
    /// The part of a claim or delivery that is sealed for a contract; `None` when there is none, it
    /// is erased, or it is none of these.
    #[must_use]
    pub fn claim_terms(&self, secret: &SealingSecret) -> Option<ClaimTerms> {
        match self.says {
            Attestation::Claim(_) | Attestation::Delivery(_) => {
                ClaimTerms::from_bytes(self.opened(secret)?.as_bytes()).ok()
            }
            _ => None,
        }
    }

    /// What a settlement says to its till and payer; `None` as above.
    #[must_use]
    pub fn settlement_terms(&self, secret: &SealingSecret) -> Option<SettlementTerms> {
        match self.says {
            Attestation::Settlement(_) => {
                SettlementTerms::from_bytes(self.opened(secret)?.as_bytes()).ok()
            }
            _ => None,
        }
    }

    /// The terms of the coverages that an own claim rests on, as far as they open with these
    /// secrets; `None` when the node gave none, as it does for all but the claim's till.
    #[must_use]
    pub fn coverage_terms(&self, secrets: &[SealingSecret]) -> Option<Vec<Terms>> {
        let opened = self.coverages.iter().filter_map(|coverage| {
            let opened = secrets.iter().find_map(|secret| coverage.open(secret))?;
            let CoverageTerms(terms) = CoverageTerms::from_bytes(opened.as_bytes()).ok()?;
            Some(terms)
        });
        (!self.coverages.is_empty()).then(|| opened.collect())
    }

    fn opened(&self, secret: &SealingSecret) -> Option<Opened> {
        let (sealed, salt) = self.payload.as_ref()?;
        let commitment = PayloadCommitment::from_hash(self.entry.header().commitment?);
        sealed.open(secret, salt, &commitment).ok()
    }
}

impl Session {
    /// Asks for an entry of the life of a claim, and verifies all of the answer. The look is
    /// recorded, with the claim's slots.
    ///
    /// # Errors
    /// [`LookupError`], the first check that fails at the last node asked.
    pub async fn open_entry(&self, index: LeafIndex) -> Result<OpenedEntry, LookupError> {
        let asked = self.ask(Manner::LOOK, |connection| self.opened_by(connection, index));
        asked.await
    }

    /// What one member's node says of an entry.
    async fn opened_by(
        &self,
        connection: Connection,
        index: LeafIndex,
    ) -> Result<OpenedEntry, LookupError> {
        let seen = self.seen().size();
        let (answer, checkpoint) = connection.open_entry(index).await?;
        let checkpoint = self.verify_newest(connection.member(), &checkpoint, seen)?;
        let wrong = |reason| wrong(connection.member(), reason);
        let entry = verify_place(&answer.proved, index, &checkpoint).map_err(wrong)?;
        let unlike = || wrong(WrongAnswer::Unlike { index });
        let says = Attestation::read(entry.header()).map_err(|_| unlike())?;
        let (claim, invoice) = match &says {
            Attestation::Claim(_) => (index, None),
            Attestation::Delivery(delivery) => {
                (delivery.claim, Some(delivery.handover.invoice(index)))
            }
            Attestation::Settlement(settlement) => (settlement.claim, Some(settlement.invoice)),
            _ => return Err(unlike()),
        };
        let mut opened = OpenedEntry {
            index,
            entry,
            says,
            invoice,
            invoice_state: None,
            payers: Vec::new(),
            payload: answer.payload,
            coverages: Vec::new(),
        };
        if !answer.coverages.is_empty() {
            let coverages = verified_coverages(&opened.says, answer.coverages, &checkpoint);
            opened.coverages = coverages.map_err(wrong)?;
        }
        if let Some(invoice) = invoice {
            let state = answer.invoice.ok_or(wrong(WrongAnswer::OtherEntry))?;
            let state = proved_invoice(invoice, &state.map_proof, &checkpoint).map_err(wrong)?;
            opened.invoice_state = state;
            for payer in self.payers_of(connection.member(), claim).await? {
                let settlements = &answer.settlements;
                let standing = standing(payer, invoice, state, settlements, &checkpoint);
                let mut standing = standing.map_err(wrong)?;
                // It is for people alone: without it all the rest stands.
                let member = self.member_of_key(&payer).await.ok().flatten();
                standing.member = member.map(|member| member.name.clone());
                opened.payers.push(standing);
            }
        }
        Ok(opened)
    }

    /// The payers that a claim rests on, each once, in the order of its coverages.
    async fn payers_of(
        &self,
        member: &MemberName,
        claim: LeafIndex,
    ) -> Result<Vec<PublicKey>, LookupError> {
        let entry = self.verified_entry(claim).await?;
        let Ok(Attestation::Claim(Claim { coverages, .. })) = Attestation::read(entry.header())
        else {
            return Err(wrong(member, WrongAnswer::Unlike { index: claim }));
        };
        let mut payers = Vec::new();
        for coverage in coverages {
            let payer = self.verified_entry(coverage).await?.header().issuer;
            if !payers.contains(&payer) {
                payers.push(payer);
            }
        }
        Ok(payers)
    }
}

/// All coverages of the claim, in its order, and no other.
fn verified_coverages(
    says: &Attestation,
    answered: Vec<OwnEntry>,
    checkpoint: &VerifiedCheckpoint,
) -> Result<Vec<Sealed>, WrongAnswer> {
    let named = match says {
        Attestation::Claim(claim) => claim.coverages.as_slice(),
        _ => &[],
    };
    let indexes = answered.iter().map(|coverage| coverage.proved.index);
    if !indexes.eq(named.iter().copied()) {
        return Err(WrongAnswer::OtherEntry);
    }
    let coverages = answered.into_iter().map(|coverage| {
        let entry = coverage.proved.verify(checkpoint, &mut |_| {})?;
        let payload = coverage.payload;
        Ok(Sealed { entry, payload })
    });
    coverages.collect()
}

fn standing(
    payer: PublicKey,
    invoice: LeafIndex,
    invoice_state: Option<InvoiceState>,
    settlements: &[(PublicKey, StateAnswer)],
    checkpoint: &VerifiedCheckpoint,
) -> Result<PayerStanding, WrongAnswer> {
    let answer = settlements.iter().find(|(key, _)| *key == payer);
    let (_, answer) = answer.ok_or(WrongAnswer::OtherEntry)?;
    let index = settlement_index(invoice, &payer);
    let settlement = match proved(&index, &answer.map_proof, checkpoint)? {
        None => None,
        Some(State::Settlement(state)) => Some(state),
        Some(_) => return Err(WrongAnswer::State),
    };
    Ok(PayerStanding {
        payer,
        member: None,
        stage: PaymentStage::of(invoice_state, settlement),
        settlement,
    })
}

fn proved_invoice(
    invoice: LeafIndex,
    map_proof: &MapProof,
    checkpoint: &VerifiedCheckpoint,
) -> Result<Option<InvoiceState>, WrongAnswer> {
    match proved(&invoice_index(invoice), map_proof, checkpoint)? {
        None => Ok(None),
        Some(State::Invoice(state)) => Ok(Some(state)),
        Some(_) => Err(WrongAnswer::State),
    }
}

fn proved(
    index: &MapIndex,
    map_proof: &MapProof,
    checkpoint: &VerifiedCheckpoint,
) -> Result<Option<State>, WrongAnswer> {
    let value = map_proof.verify(index, checkpoint.map_root())?;
    let state = value.map(|value| State::from_bytes(value.as_bytes()));
    state.transpose().map_err(|_| WrongAnswer::State)
}
