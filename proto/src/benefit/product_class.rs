//! Classes A and B, and how complex a lens is: both told by the grouped code.

use crate::lpp::GroupedCode;

/// The class of a product (social security code, L. 165-1; list of products, title II, chapter 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProductClass {
    /// Sold at a limited price, paid in full by a responsible contract ("100 % Santé").
    A,
    /// Sold at a free price.
    B,
}

/// How complex a lens is (social security code, R. 871-2, 3°, a, c and f).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Complexity {
    /// The lenses of a.
    Simple,
    /// The lenses of c.
    Complex,
    /// The lenses of f.
    VeryComplex,
}

/// The class of a grouped code; `None` for contact lenses, tints and the general codes, which
/// belong to no class.
#[must_use]
pub fn class_of(code: GroupedCode) -> Option<ProductClass> {
    match code.as_str() {
        "M01" | "M02" | "MS1" | "S01" | "SV2" | "V01" | "V02" | "V03" | "V04" => {
            Some(ProductClass::A)
        }
        "M03" | "M04" | "MS2" | "SV1" => Some(ProductClass::B),
        lens if lens.starts_with("VU") || lens.starts_with("VM") => Some(ProductClass::B),
        _ => None,
    }
}

/// How complex the lens of a grouped code is; `None` for what is no lens.
///
/// The grouped codes follow the list of R. 871-2: VU1 to VU3 are its a, VU4 to VU7 and VM1 to VM3
/// its c, VM4 to VM7 its f; of class A V01 is a, V02 and V03 are c, V04 is f. No unifocal lens is
/// very complex there, whatever its label in the list of grouped codes says.
pub(super) fn complexity_of(code: GroupedCode) -> Option<Complexity> {
    match code.as_str() {
        "V01" | "VU1" | "VU2" | "VU3" => Some(Complexity::Simple),
        "V02" | "V03" | "VU4" | "VU5" | "VU6" | "VU7" | "VM1" | "VM2" | "VM3" => {
            Some(Complexity::Complex)
        }
        "V04" | "VM4" | "VM5" | "VM6" | "VM7" => Some(Complexity::VeryComplex),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lens_has_a_class_and_a_complexity_and_nothing_else_has_one() {
        for code in GroupedCode::all() {
            assert_eq!(complexity_of(code).is_some(), code.is_lens(), "{code}");
            assert!(!code.is_lens() || class_of(code).is_some(), "{code}");
        }
    }

    #[test]
    fn a_class_in_the_label_is_the_class() {
        for code in GroupedCode::all() {
            let said = match code.label() {
                label if label.contains("classe A") => Some(ProductClass::A),
                label if label.contains("classe B") => Some(ProductClass::B),
                _ => None,
            };
            assert_eq!(class_of(code), said, "{code}");
        }
    }
}
