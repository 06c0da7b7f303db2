//! A real Chromium that tries pages, by the programs in `tests/pages`.

use std::ffi::{OsStr, OsString};
use std::process::Command;

use crate::judge::{in_repository, is_installed, succeeds};

const PURPOSE: &str = "the pages in a browser";
/// Where Debian puts it.
const CHROMIUM: &str = "/usr/bin/chromium";

/// A browser that tries the pages; with `VITRAIL_TEST_IMAGES` it puts pictures into that folder.
#[derive(Debug)]
pub struct Browser {
    images: Option<OsString>,
}

impl Browser {
    /// `None`, and a word about what is skipped, where something of it is missing.
    #[must_use]
    pub fn find() -> Option<Self> {
        let installed = in_repository("tests/pages/node_modules/axe-core").exists();
        if !is_installed("node") || !installed {
            println!("skipped: {PURPOSE}: needs node, and npm ci in tests/pages");
            return None;
        }
        if !is_installed(CHROMIUM) {
            println!("skipped: {PURPOSE}: needs {CHROMIUM} (package chromium)");
            return None;
        }
        let images = std::env::var_os("VITRAIL_TEST_IMAGES");
        Some(Self { images })
    }

    /// Lets a program try a page.
    ///
    /// # Panics
    /// With all that it said, when the page does not pass.
    pub fn run<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S]) {
        let mut node = Command::new("node");
        node.arg(in_repository("tests/pages").join(program));
        node.arg(CHROMIUM).args(arguments);
        succeeds(node.args(&self.images));
    }
}
