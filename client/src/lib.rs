//! To be written.

pub mod catalogue_file;
