//! What is sold: LPP codes, the grouped codes insurers may see, slots, and the catalogue.
//!
//! An individual [`LppCode`] names one maker's product. The [`Catalogue`] maps it to a
//! [`GroupedCode`], the only thing an AMC learns, and that to a [`Slot`], the only thing the
//! ledger keeps a renewal clock for: "any frame in 24 months" has no answer under single codes.

mod catalogue;
mod code;
mod slot;

pub use catalogue::{
    CATALOGUE_AMOUNT_MAX, CATALOGUE_BYTES_MAX, CATALOGUE_LINES_MAX, CATALOGUE_VERSION_BYTES_MAX,
    CODE_PAIRS_MAX, Catalogue, CatalogueError, CatalogueHeader, CatalogueLine, CataloguePath,
    CataloguePathError, CatalogueVersion, CatalogueVersionError, CodePair, CodePairError,
    CodePairs, LABEL_CHARS_MAX, Label, LabelError, LineError, LppRefusal,
};
pub use code::{LPP_CODE_BYTES, LppCode, LppCodeError};
pub use slot::{GroupedCode, GroupedCodeError, Side, Slot, SlotError, UnknownSlot};
