//! What a receipt is told apart by, short enough for a QR code: which ledger, which place, which leaf.
//!
//! A receipt has some thousand bytes, too many for a code that a telephone reads. The leaf's hash
//! stands for all of the entry: the same place of the log has it in the receipt, in the tiles that
//! every node serves, and in what `vitrail receipt verify` prints.

use proto::receipt::ReceiptFile;
use qrcodegen::{QrCode, QrCodeEcc};
use serde::Serialize;
use utoipa::ToSchema;

/// The first line of the text.
const TITLE: &str = "vitrail entry v1";
/// Empty modules around the code (ISO/IEC 18004, 6.3.8).
const QUIET_MODULES: i32 = 4;

/// Answer of `GET /v1/receipts/{name}/fingerprint`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FingerprintAnswer {
    /// The ledger.
    pub origin: String,
    /// `claim`, `delivery` or `release`.
    pub kind: String,
    /// The entry's place in the ledger.
    pub index: u64,
    /// The hash of its leaf, in base64.
    pub leaf: String,
    /// What the QR code says: a title, the ledger, the place and the hash, a line each.
    pub text: String,
    /// The QR code as a drawing, SVG.
    pub svg: String,
    /// Whether a simulating agent says it.
    pub simulated: bool,
}

/// The fingerprint of a receipt; `None` for the proof of a refusal, which no entry of its own has, and
/// for a text that is no receipt.
pub(super) fn of(receipt: &str, simulated: bool) -> Option<FingerprintAnswer> {
    let Ok(ReceiptFile::Accepted(receipt)) = ReceiptFile::parse(receipt) else {
        return None;
    };
    let origin = receipt.checkpoint.claimed().origin.to_string();
    let index = receipt.proved.index.get();
    let leaf = receipt.proved.entry.leaf_hash().to_base64();
    let text = format!("{TITLE}\n{origin}\n{index}\n{leaf}\n");
    Some(FingerprintAnswer {
        svg: drawn(&QrCode::encode_text(&text, QrCodeEcc::Medium).ok()?),
        kind: receipt.proved.entry.header().kind.as_str().to_owned(),
        origin,
        index,
        leaf,
        text,
        simulated,
    })
}

/// Black on white whatever the page is: readers want it so.
fn drawn(code: &QrCode) -> String {
    let side = code.size() + 2 * QUIET_MODULES;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            let (x, y) = (x + QUIET_MODULES, y + QUIET_MODULES);
            path.push_str(&format!("M{x} {y}h1v1h-1z"));
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/>\
         <path d=\"{path}\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::Ledger;

    #[test]
    fn a_receipt_has_the_fingerprint_of_its_leaf_and_a_refusal_has_none() {
        let ledger = Ledger::furnished();
        let receipt = ledger.receipt(4);
        let leaf = receipt.proved.entry.leaf_hash();
        let text = ReceiptFile::Accepted(receipt).to_text();
        let told = of(&text, false).unwrap();
        assert_eq!(
            told.text,
            format!("vitrail entry v1\nvitrail.example/optique\n4\n{leaf}\n")
        );
        assert_eq!((told.index, told.leaf), (4, leaf.to_base64()));
        assert!(told.svg.starts_with("<svg ") && !told.svg.contains("style"));
        let refusal = ReceiptFile::Refused(ledger.refusal()).to_text();
        assert!(of(&refusal, false).is_none() && of("", false).is_none());
    }
}
