//! Asking each payer's own node for its coverages, beside what the ledger has of them.
//!
//! What a node says is believed once its coverage is signed by the payer's key in the roster, is in
//! the log under a fresh checkpoint of a quorum, and is for the key that was asked about. A node
//! that is down, slow or wrong costs nothing: a coverage of the ledger that is still valid serves.

use std::time::Duration;

use proto::attestation::Attestation;
use proto::benefit::NetworkName;
use proto::ids::CoverageKey;
use proto::lpp::GroupedCode;
use proto::receipt::Receipt;
use proto::refusal::Reason;
use proto::seal::{Salt, SealedPayload};
use proto::wire::quote::{CodeAnswer, QUOTE_CODES_MAX, QuoteAnswer, QuoteAsked};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Pos;
use super::question::{Payer, Questions};
use crate::lookup::CoverageProof;
use crate::session::Session;

/// How long the payers' nodes may take, unless something else is set: a quote is two syncs of a
/// disk, and nobody at a counter waits longer for what the ledger has already.
pub const LIVE_QUOTE_MAX: Duration = Duration::from_secs(2);

/// Where the coverages of one payer come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuoteSource {
    /// Its own node said so just now.
    Live,
    /// The ledger has them; its node did not answer.
    Ledger,
    /// Nowhere: its node did not answer, and the ledger has none that is valid.
    None,
}

impl QuoteSource {
    /// The word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Ledger => "ledger",
            Self::None => "none",
        }
    }
}

/// What one payer's node says to one grouped code, verified.
#[derive(Debug)]
pub(super) enum Said {
    Covered(CoverageProof),
    Refused(Reason),
}

/// What one payer's node says.
#[derive(Debug)]
pub(super) struct LiveQuote {
    /// To each of the codes asked.
    codes: Vec<(GroupedCode, Said)>,
    /// Of the networks that its coverages name those that the shop is in.
    networks: Vec<NetworkName>,
}

/// What the payers' nodes say: for each payer its answer, or `None`.
#[derive(Debug, Default)]
pub(super) struct LiveQuotes(Vec<Option<LiveQuote>>);

impl LiveQuotes {
    /// Whether a payer's node answered.
    pub(super) fn has(&self, payer_position: usize) -> bool {
        self.0.get(payer_position).is_some_and(Option::is_some)
    }

    /// What a payer's node says to a code.
    pub(super) fn of(&self, payer_position: usize, code: GroupedCode) -> Option<&Said> {
        let said = self.0.get(payer_position)?.as_ref()?;
        let mut codes = said.codes.iter();
        codes.find(|(of, _)| *of == code).map(|(_, said)| said)
    }

    /// The networks that the shop is in by a payer's own list; `None` when its node did not answer.
    pub(super) fn networks(&self, payer_position: usize) -> Option<&[NetworkName]> {
        let said = self.0.get(payer_position)?.as_ref()?;
        Some(&said.networks)
    }
}

impl Pos {
    /// Asks the nodes of all payers at once.
    pub(super) async fn live_quotes(&self, asked: &Questions, payers: &[Payer]) -> LiveQuotes {
        let mut quotes = LiveQuotes::default();
        let mut asking = JoinSet::new();
        for (position, payer) in payers.iter().enumerate() {
            quotes.0.push(None);
            let (session, payer) = (self.session.clone(), payer.clone());
            let (keys, patience) = (asked.coverages_of(position), self.live_quote_max);
            asking.spawn(async move {
                let said = timeout(patience, ask(&session, &payer, &keys)).await;
                (position, said.ok().flatten())
            });
        }
        while let Some(answered) = asking.join_next().await {
            if let Ok((position, said)) = answered
                && let Some(place) = quotes.0.get_mut(position)
            {
                *place = said;
            }
        }
        quotes
    }
}

/// Asks one payer's node; `None` when there is no answer, or one that fails a check.
async fn ask(
    session: &Session,
    payer: &Payer,
    keys: &[(GroupedCode, CoverageKey)],
) -> Option<LiveQuote> {
    let (member, _) = payer.member.as_ref()?;
    let connection = session.connection(member)?;
    if keys.is_empty() || keys.len() > QUOTE_CODES_MAX {
        return None;
    }
    let asked = QuoteAsked {
        contract: payer.contract_key,
        grouped_codes: keys.iter().map(|(code, _)| *code).collect(),
    };
    let QuoteAnswer { codes, networks } = connection.quote(&asked).await.ok()?;
    let verified = verify_all(session, payer, keys, codes);
    if verified.is_none() {
        session.remember_wrong(member);
    }
    let codes = verified?;
    Some(LiveQuote { codes, networks })
}

fn verify_all(
    session: &Session,
    payer: &Payer,
    keys: &[(GroupedCode, CoverageKey)],
    answers: Vec<CodeAnswer>,
) -> Option<Vec<(GroupedCode, Said)>> {
    if answers.len() != keys.len() {
        return None;
    }
    let said = keys.iter().zip(answers).map(|((code, key), answer)| {
        let said = match answer {
            CodeAnswer::Refused(reason) => Said::Refused(reason),
            CodeAnswer::Covered { receipt, payload } => {
                Said::Covered(verify(session, payer, key, &receipt, payload)?)
            }
        };
        Some((*code, said))
    });
    said.collect()
}

/// Steps: the checkpoint is a quorum's and fresh; the entry is signed and in its log; it is this
/// payer's coverage of this key.
fn verify(
    session: &Session,
    payer: &Payer,
    key: &CoverageKey,
    receipt: &Receipt,
    payload: (SealedPayload, Salt),
) -> Option<CoverageProof> {
    let (member, payer_key) = payer.member.as_ref()?;
    let checkpoint = session
        .verify_checkpoint(member, &receipt.checkpoint)
        .ok()?;
    let entry = session.verified().entry(&receipt.proved, &checkpoint);
    let entry = entry.ok()?;
    let Ok(Attestation::Coverage(coverage)) = Attestation::read(entry.header()) else {
        return None;
    };
    let own = entry.header().issuer == *payer_key && coverage.coverage == *key;
    own.then_some(CoverageProof {
        index: receipt.proved.index,
        entry,
        coverage,
        payload: Some(payload),
    })
}
