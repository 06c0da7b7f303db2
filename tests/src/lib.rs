//! What several test programs share. Nothing imports this package.

pub mod source;
