//! What till software asks: the JSON bodies, read once and strictly.
//!
//! Identifiers come in bodies alone, and go from here into types that cannot be printed.

use proto::benefit::NetworkName;
use proto::identity::{IdentityError, Person};
use proto::ids::{Cents, Day, LeafIndex};
use proto::lpp::Slot;
use proto::renewal::EarlyRenewal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::problem::{Problem, ProblemCode};
use crate::pos::{
    Cause, Complementary, Corrections, HandingOver, Insured, Item, ItemError, Occasion, read_items,
};

/// Most networks that a till says it is in: a shop is in a handful.
pub const NETWORKS_MAX: usize = 16;
/// Most corrected prices, and most corrected amounts, of one invoice: eight lines, three payers.
pub const CORRECTIONS_MAX: usize = 24;

/// Who stands at the counter, as the cards say it.
#[derive(Deserialize, ToSchema, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "nir": "100999999990001", "birth_date": "19500101",
    "complementary": [{ "payer_number": "75000001", "member_number": "ADH1" }]
}))]
pub struct Card {
    /// Social security number with its key, 15 characters; spaces are ignored.
    #[schema(min_length = 15, max_length = 32)]
    nir: String,
    /// Birth date as the card has it, `YYYYMMDD`.
    #[schema(pattern = "^[0-9]{8}$")]
    birth_date: String,
    /// Rank among people born on the same day to the same insured.
    #[serde(default = "first")]
    #[schema(pattern = "^[1-9]$", default = "1")]
    birth_rank: String,
    /// Code of the mandatory regime.
    #[serde(default = "general")]
    #[schema(pattern = "^[0-9]{2,10}$", default = "01")]
    regime: String,
    /// Complementary insurers, in the order they pay.
    #[serde(default)]
    #[schema(max_items = 2)]
    complementary: Vec<CardContract>,
}

/// A contract with a complementary insurer.
#[derive(Deserialize, ToSchema, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct CardContract {
    /// Number of the insurer.
    #[schema(pattern = "^[0-9]{2,10}$")]
    payer_number: String,
    /// Number under which it knows the insured.
    #[schema(pattern = "^[A-Za-z0-9 ]{1,32}$")]
    member_number: String,
}

fn first() -> String {
    "1".to_owned()
}

fn general() -> String {
    "01".to_owned()
}

/// For which eye a lens is.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Eye {
    /// The right one.
    Right,
    /// The left one.
    Left,
}

/// One thing that is sold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "code": "2264861", "price_cents": 14_000 }))]
pub struct SoldItem {
    /// LPP code.
    #[schema(pattern = "^[0-9]{7}$")]
    code: String,
    /// For which eye, if it is a lens.
    side: Option<Eye>,
    /// Price in cents.
    #[schema(maximum = 999_999_999)]
    price_cents: u64,
}

/// The largest price that an item can have, in cents: seven digits of euros.
pub const PRICE_CENTS_MAX: u64 = 999_999_999;

/// What is sold, to whom, and what the optician says of it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaleRequest {
    /// Who stands at the counter.
    card: Card,
    /// What is sold.
    #[schema(min_items = 1, max_items = 8)]
    items: Vec<SoldItem>,
    /// Date of the prescription, `YYYY-MM-DD`; without it the prescription is not checked.
    #[schema(format = Date)]
    prescription: Option<String>,
    /// What opens a renewal before its time, as the optician attests it: `none`, `sight-change`,
    /// `child`, `medical` or `frame-fit`.
    #[schema(pattern = "^(none|sight-change|child|medical|frame-fit)$")]
    early_renewal: Option<String>,
    /// Payers' networks that the shop is in; those of the profile if left out.
    #[schema(max_items = 16)]
    networks: Option<Vec<String>>,
}

/// Body of `POST /v1/check`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// The sale.
    sale: SaleRequest,
    /// Whether to keep the quote on this machine, so that it can be claimed by its name, also when
    /// nobody can be asked.
    #[serde(default)]
    keep: bool,
}

/// Body of `POST /v1/claim`: a sale, or the name of a kept quote.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// The sale; it is checked again, and what is covered is claimed.
    sale: Option<SaleRequest>,
    /// A quote that `POST /v1/check` kept.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    quote: Option<String>,
    /// Whether the claim waits on this machine if nobody can be reached, and is sent later.
    #[serde(default)]
    queue: bool,
}

/// Body of `POST /v1/deliver`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliverRequest {
    /// The claim: its place in the ledger.
    claim: u64,
    /// The card of the person, which opens what was claimed.
    card: Card,
    /// Slots that are handed over, such as `frame` or `right-lens`; all if there are none.
    #[serde(default)]
    #[schema(max_items = 11)]
    slots: Vec<String>,
    /// States again what this delivery invoiced, after a payer has found something to correct.
    correct: Option<u64>,
    /// Replaces what this first delivery handed over, under warranty.
    warranty: Option<u64>,
    /// Lower prices of lines, as in `VU1/2=90.00`.
    #[serde(default)]
    #[schema(max_items = 24)]
    prices: Vec<String>,
    /// Lower amounts that a payer is asked for, as in `01:VU1/2=0.03`.
    #[serde(default)]
    #[schema(max_items = 24)]
    amounts: Vec<String>,
}

/// Body of `POST /v1/release`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// The claim, or the delivery that comes back: its place in the ledger.
    entry: u64,
    /// Slots to release; all if there are none. They need the card.
    #[serde(default)]
    #[schema(max_items = 11)]
    slots: Vec<String>,
    /// The card of the person, to tell his slots apart.
    card: Option<Card>,
}

/// Reads a body.
///
/// # Errors
/// [`ProblemCode::BodyMalformed`], with the place, and with the field if one is missing.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        // The library's own message would show values. Names of missing fields are ours.
        let message = error.to_string();
        let missing = message.strip_prefix("missing field `");
        let missing = missing.and_then(|rest| rest.split_once('`'));
        let (line, column) = (error.line(), error.column());
        let problem = Problem::new(ProblemCode::BodyMalformed);
        match missing {
            Some((field, _)) => problem
                .of_field(field.to_owned())
                .saying("the field is missing"),
            None => problem.saying(format!(
                "line {line}, column {column}: not a field of this request, or not of its kind"
            )),
        }
    })
}

/// A sale, read.
pub(super) struct Sale {
    pub(super) insured: Insured,
    /// What is sold, or the first item that cannot be read or that a rule refuses.
    pub(super) items: Result<Vec<Item>, ItemError>,
    pub(super) occasion: Occasion,
    /// Whether the request named networks.
    pub(super) names_networks: bool,
}

/// What is claimed.
pub(super) enum Claimed {
    Sale(Box<Sale>),
    Quote(String),
}

/// A claim, read.
pub(super) struct Claiming {
    pub(super) what: Claimed,
    pub(super) queue: bool,
}

/// A delivery, read.
pub(super) struct Delivering {
    pub(super) claim: LeafIndex,
    pub(super) insured: Insured,
    pub(super) what: HandingOver,
}

/// A release, read.
pub(super) struct Releasing {
    pub(super) entry: LeafIndex,
    pub(super) slots: Vec<Slot>,
    pub(super) insured: Option<Insured>,
}

impl Card {
    fn read(&self, at: &str) -> Result<Insured, Problem> {
        let wrong = |field: &'static str| {
            let field = format!("{at}/{field}");
            move |error: IdentityError| Problem::invalid(field, error)
        };
        let person = Person {
            nir: self.nir.parse().map_err(wrong("nir"))?,
            birth_date: self.birth_date.parse().map_err(wrong("birth_date"))?,
            birth_rank: self.birth_rank.parse().map_err(wrong("birth_rank"))?,
        };
        let regime = self.regime.parse().map_err(wrong("regime"))?;
        let mut complementary = Vec::new();
        for (place, contract) in self.complementary.iter().enumerate() {
            let wrong = |field: &str| {
                let field = format!("{at}/complementary/{place}/{field}");
                move |error: IdentityError| Problem::invalid(field, error)
            };
            complementary.push(Complementary {
                payer_number: contract
                    .payer_number
                    .parse()
                    .map_err(wrong("payer_number"))?,
                member_number: contract
                    .member_number
                    .parse()
                    .map_err(wrong("member_number"))?,
            });
        }
        Insured::new(person, regime, complementary)
            .map_err(|error| Problem::invalid(format!("{at}/complementary"), error))
    }
}

impl SoldItem {
    /// As `vitrail check --item` has it, so that there is one reading of items.
    fn text(&self, at: &str) -> Result<String, Problem> {
        let is_code = self.code.len() == 7 && self.code.bytes().all(|byte| byte.is_ascii_digit());
        if !is_code {
            let field = format!("{at}/code");
            return Err(Problem::invalid(field, "an LPP code must be 7 digits"));
        }
        if self.price_cents > PRICE_CENTS_MAX {
            let problem = Problem::invalid(format!("{at}/price_cents"), "the price is too high");
            return Err(problem.beyond(PRICE_CENTS_MAX));
        }
        let side = match self.side {
            None => "",
            Some(Eye::Right) => "/right",
            Some(Eye::Left) => "/left",
        };
        let price = Cents::new(self.price_cents).to_euros();
        Ok(format!("{}{side}={price}", self.code))
    }
}

impl SaleRequest {
    fn read(&self, at: &str) -> Result<Sale, Problem> {
        let insured = self.card.read(&format!("{at}/card"))?;
        let mut texts = Vec::new();
        for (place, item) in self.items.iter().enumerate() {
            texts.push(item.text(&format!("{at}/items/{place}"))?);
        }
        let prescription = match &self.prescription {
            None => None,
            Some(text) => Some(text.parse::<Day>().map_err(|_| {
                Problem::invalid(format!("{at}/prescription"), "must be YYYY-MM-DD")
            })?),
        };
        let early_renewal = match &self.early_renewal {
            None => EarlyRenewal::None,
            Some(text) => text
                .parse()
                .map_err(|error| Problem::invalid(format!("{at}/early_renewal"), error))?,
        };
        let named = self.networks.as_deref().unwrap_or_default();
        let field = format!("{at}/networks");
        at_most(named.len(), NETWORKS_MAX, &field)?;
        let networks = named.iter().map(|name| name.parse::<NetworkName>());
        let networks = networks.collect::<Result<Vec<_>, _>>();
        Ok(Sale {
            insured,
            items: read_items(&texts),
            occasion: Occasion {
                prescription,
                early_renewal,
                networks: networks.map_err(|error| Problem::invalid(field, error))?,
            },
            names_networks: self.networks.is_some(),
        })
    }
}

impl CheckRequest {
    /// The sale, and whether to keep its quote.
    pub(super) fn read(&self) -> Result<(Sale, bool), Problem> {
        Ok((self.sale.read("/sale")?, self.keep))
    }
}

impl ClaimRequest {
    pub(super) fn read(&self) -> Result<Claiming, Problem> {
        let what = match (&self.sale, &self.quote) {
            (Some(sale), None) => Claimed::Sale(Box::new(sale.read("/sale")?)),
            (None, Some(name)) => Claimed::Quote(name.clone()),
            _ => {
                return Err(Problem::invalid(
                    "/sale",
                    "give a sale or a quote, and not both",
                ));
            }
        };
        Ok(Claiming {
            what,
            queue: self.queue,
        })
    }
}

impl DeliverRequest {
    pub(super) fn read(&self) -> Result<Delivering, Problem> {
        let cause = match (self.correct, self.warranty) {
            (None, None) => Cause::First,
            (Some(index), None) => Cause::Correction(LeafIndex::new(index)),
            (None, Some(index)) => Cause::Warranty(LeafIndex::new(index)),
            _ => return Err(Problem::invalid("/correct", "not together with warranty")),
        };
        Ok(Delivering {
            claim: LeafIndex::new(self.claim),
            insured: self.card.read("/card")?,
            what: HandingOver {
                slots: slots(&self.slots)?,
                cause,
                corrections: Corrections {
                    prices: each(&self.prices, "/prices")?,
                    amounts: each(&self.amounts, "/amounts")?,
                },
            },
        })
    }
}

impl ReleaseRequest {
    pub(super) fn read(&self) -> Result<Releasing, Problem> {
        let slots = slots(&self.slots)?;
        if slots.is_empty() == self.card.is_some() {
            let why = "slots and card are given together, or neither";
            return Err(Problem::invalid("/slots", why));
        }
        Ok(Releasing {
            entry: LeafIndex::new(self.entry),
            slots,
            insured: self
                .card
                .as_ref()
                .map(|card| card.read("/card"))
                .transpose()?,
        })
    }
}

fn at_most(got: usize, limit: usize, field: &str) -> Result<(), Problem> {
    let problem = || Problem::invalid(field, "too many").beyond(limit);
    (got <= limit).then_some(()).ok_or_else(problem)
}

fn slots(names: &[String]) -> Result<Vec<Slot>, Problem> {
    at_most(names.len(), Slot::ALL.len(), "/slots")?;
    read_each(names, "/slots")
}

fn each<T: std::str::FromStr<Err: std::fmt::Display>>(
    texts: &[String],
    field: &str,
) -> Result<Vec<T>, Problem> {
    at_most(texts.len(), CORRECTIONS_MAX, field)?;
    read_each(texts, field)
}

fn read_each<T: std::str::FromStr<Err: std::fmt::Display>>(
    texts: &[String],
    field: &str,
) -> Result<Vec<T>, Problem> {
    let read = |(place, text): (usize, &String)| {
        let parsed = text.parse::<T>();
        parsed.map_err(|error| Problem::invalid(format!("{field}/{place}"), error))
    };
    texts.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALE: &str = r#"{"card":{"nir":"2 95 10 99 126 111 93","birth_date":"19951012","complementary":[{"payer_number":"11111111","member_number":"ab 12"}]},"items":[{"code":"2264861","price_cents":14000},{"code":"2200335","side":"right","price_cents":1}]}"#;

    fn sale(text: &str) -> Result<Sale, Problem> {
        parse::<SaleRequest>(text.as_bytes())?.read("/sale")
    }

    #[test]
    fn a_sale_has_a_person_items_and_what_the_optician_says() {
        let read = sale(SALE).unwrap();
        let items = read.items.unwrap();
        assert_eq!(items[0], "2264861=140.00".parse().unwrap());
        assert_eq!(items[1], "2200335/right=0.01".parse().unwrap());
        assert_eq!(read.insured.contracts().len(), 2);
        assert!(!read.names_networks);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field_and_no_value_is_repeated() {
        let secret = "2951099126111";
        for (from, to, field) in [
            ("111 93", "111 94", Some("/sale/card/nir")),
            ("19951012", "1995-SECRET", Some("/sale/card/birth_date")),
            (
                "ab 12",
                "SECRET!",
                Some("/sale/card/complementary/0/member_number"),
            ),
            ("2264861", "SECRET", Some("/sale/items/0/code")),
            ("\"nir\"", "\"SECRET\"", None),
            ("\"nir\":\"2 95 10 99 126 111 93\",", "", Some("nir")),
            ("14000", "\"SECRET\"", None),
            ("14000", "1000000000", Some("/sale/items/0/price_cents")),
        ] {
            let text = SALE.replace(from, to);
            let problem = sale(&text).err().unwrap();
            assert_eq!(problem.field.as_deref(), field, "{to}");
            let shown = serde_json::to_string(&problem).unwrap();
            assert!(
                !shown.contains("SECRET") && !shown.contains(secret),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_rule_of_the_nomenclature_is_a_refusal_and_no_problem() {
        let mistyped = sale(&SALE.replace("2264861", "2264862")).unwrap();
        assert!(mistyped.items.unwrap_err().refusal().is_some());
    }

    #[test]
    fn a_claim_is_of_a_sale_or_of_a_quote() {
        let claim = |text: &str| parse::<ClaimRequest>(text.as_bytes()).unwrap().read();
        assert!(claim(&format!(r#"{{"sale":{SALE}}}"#)).is_ok());
        let quote = "00112233445566778899aabbccddeeff";
        assert!(claim(&format!(r#"{{"quote":"{quote}","queue":true}}"#)).is_ok());
        assert!(claim("{}").is_err());
        assert!(claim(&format!(r#"{{"sale":{SALE},"quote":"{quote}"}}"#)).is_err());
    }

    #[test]
    fn slots_of_a_release_need_their_card() {
        let release = |text: &str| parse::<ReleaseRequest>(text.as_bytes()).unwrap().read();
        assert!(release(r#"{"entry":7}"#).is_ok());
        assert!(release(r#"{"entry":7,"slots":["frame"]}"#).is_err());
        let unknown = release(r#"{"entry":7,"slots":["nose"]}"#).err().unwrap();
        assert_eq!(unknown.field.as_deref(), Some("/slots/0"));
    }
}
