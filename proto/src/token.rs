//! The two pseudonyms of a person, and what is derived from them.
//!
//! A person token is the same whoever insures the person; a contract token belongs to one
//! contract. Neither is ever sent: what leaves a program is derived one way.

use crate::hash::{Context, derive, derive_secret};
use crate::ids::{ContractKey, CoverageKey, SlotKey};
use crate::lpp::{GroupedCode, Slot};
use crate::oprf::OprfOutput;

/// Declares a value of 32 secret bytes: it cannot be printed, is compared in constant time, and
/// is wiped when dropped.
macro_rules! secret_bytes {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, zeroize::ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The secret with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Its 32 bytes: for where it is kept, and for nothing that is shown.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                subtle::ConstantTimeEq::ct_eq(self.0.as_slice(), other.0.as_slice()).into()
            }
        }

        impl Eq for $name {}

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(<secret>)"))
            }
        }
    };
}
pub(crate) use secret_bytes;

secret_bytes! {
    /// The pseudonym of a person, whoever insures them. Whoever holds it can name and follow
    /// every slot of that person in the ledger.
    PersonToken
}
secret_bytes! {
    /// The pseudonym of a person's contract with one payer. Whoever holds it, and the salt of a
    /// payload, can read what was sealed for that payer.
    ContractToken
}
secret_bytes! {
    /// What the payloads of one contract are sealed under, each with its own salt.
    SealingSecret
}

impl PersonToken {
    /// The token that an evaluation under the federation's person key gives.
    #[must_use]
    pub fn from_output(output: &OprfOutput) -> Self {
        Self(*derive_secret(Context::PersonToken, &[output.as_bytes()]))
    }

    /// What the ledger keeps the renewal clock of one slot under. Two slots of one person have
    /// keys that nobody can link without the token.
    #[must_use]
    pub fn slot_key(&self, slot: Slot) -> SlotKey {
        let slot_key = derive(Context::SlotKey, &[&self.0, slot.as_str().as_bytes()]);
        SlotKey::from_bytes(*slot_key.as_bytes())
    }
}

impl ContractToken {
    /// The token that an evaluation under the federation's contract key gives.
    #[must_use]
    pub fn from_output(output: &OprfOutput) -> Self {
        Self(*derive_secret(Context::ContractToken, &[output.as_bytes()]))
    }

    /// What the ledger keeps the coverage of one grouped code under.
    #[must_use]
    pub fn coverage_key(&self, grouped_code: GroupedCode) -> CoverageKey {
        let coverage_key = derive(
            Context::CoverageKey,
            &[&self.0, grouped_code.as_str().as_bytes()],
        );
        CoverageKey::from_bytes(*coverage_key.as_bytes())
    }

    /// What the payer's node finds this contract by. It names no person, and gives no way back to
    /// the token nor to a coverage key.
    #[must_use]
    pub fn contract_key(&self) -> ContractKey {
        let contract_key = derive(Context::ContractKey, &[&self.0]);
        ContractKey::from_bytes(*contract_key.as_bytes())
    }

    /// The secret that seals this contract's payloads. It gives no way back to the token.
    #[must_use]
    pub fn sealing_secret(&self) -> SealingSecret {
        SealingSecret(*derive_secret(Context::SealingSecret, &[&self.0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oprf::{JointSecret, Threshold, blind, combine};

    /// A token of fixed bytes, so that the values below can be checked by other programs.
    const TOKEN: [u8; 32] = [0x42; 32];

    /// What `input` gives under a fixed joint secret.
    fn output(input: &[u8]) -> OprfOutput {
        let secret = JointSecret::derive(&[1; 32], b"token tests").unwrap();
        let share = secret.sole_share();
        let (kept, element) = blind(input, &[2; 64]).unwrap();
        let answer = share.evaluate(&[element], &[3; 64]).unwrap();
        let answer = share.public().verify(&[element], answer).unwrap();
        let evaluated = combine(&secret.public(), Threshold::ONE, &[answer]).unwrap();
        kept.finalize(&evaluated[0])
    }

    #[test]
    fn tokens_and_what_is_derived_from_them_never_change() {
        let output = output(b"golden");
        let person = PersonToken::from_output(&output);
        let contract = ContractToken::from_output(&output);
        let of_person = PersonToken::from_bytes(TOKEN);
        let of_contract = ContractToken::from_bytes(TOKEN);
        let golden = [
            (
                "c64741ddd7076df13827ffd07e17f6257f3385cf901adeb36c61f9fba5be10f8",
                *person.as_bytes(),
            ),
            (
                "baa5219d552490b4498b4953243a044bd1f64ba2ae0f5800a3ddd8e673008ab2",
                *contract.as_bytes(),
            ),
            (
                "aa169edd0a0ae36eb9f604f24538cd11c320bda6d572348a267f504ddc7efa7c",
                *of_person.slot_key(Slot::Frame).as_bytes(),
            ),
            (
                "d3d898d4ebe3bdb5a1c3a282976f4afe59da75ae032188cb3416ee7851d18401",
                *of_contract.coverage_key("M01".parse().unwrap()).as_bytes(),
            ),
            (
                "a453a97660f20986b16cb32483520f0131f0bd217d9873fcdf1483f8dfd12bc0",
                *of_contract.contract_key().as_bytes(),
            ),
            (
                "7367537e22abc9efa5df8a47c4aa20a801839cc5b00c1682f7bb79b7a708d44c",
                *of_contract.sealing_secret().as_bytes(),
            ),
        ];
        for (want, got) in golden {
            assert_eq!(hex::encode(got), want);
        }
    }

    #[test]
    fn one_output_gives_unlike_person_and_contract_tokens() {
        let output = output(b"x");
        let person = PersonToken::from_output(&output);
        let contract = ContractToken::from_output(&output);
        assert_ne!(person.as_bytes(), contract.as_bytes());
    }

    #[test]
    fn two_slots_of_one_person_have_two_keys() {
        let token = PersonToken::from_bytes(TOKEN);
        assert_ne!(token.slot_key(Slot::Frame), token.slot_key(Slot::RightLens));
        let other = PersonToken::from_bytes([0x43; 32]);
        assert_ne!(token.slot_key(Slot::Frame), other.slot_key(Slot::Frame));
    }

    #[test]
    fn one_bit_makes_two_tokens_unequal() {
        let token = ContractToken::from_bytes(TOKEN);
        assert_eq!(token, token.clone());
        for position in 0..32 {
            let mut bytes = TOKEN;
            bytes[position] ^= 1;
            assert_ne!(token, ContractToken::from_bytes(bytes));
        }
    }

    #[test]
    fn debug_of_a_token_shows_no_byte_of_it() {
        let person = PersonToken::from_bytes(TOKEN);
        let contract = ContractToken::from_bytes(TOKEN);
        assert_eq!(format!("{person:?}"), "PersonToken(<secret>)");
        assert_eq!(format!("{contract:?}"), "ContractToken(<secret>)");
        let sealing = contract.sealing_secret();
        assert_eq!(format!("{sealing:?}"), "SealingSecret(<secret>)");
    }
}
