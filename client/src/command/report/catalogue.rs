//! What the commands of the catalogue answer.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::{ProblemReport, Report, to_json};

/// What `catalogue import` answers.
#[derive(Debug, Serialize)]
pub(in crate::command) struct ImportReport {
    pub(in crate::command) version: String,
    pub(in crate::command) valid_from: String,
    pub(in crate::command) products: usize,
    /// Products whose grouped code follows from their label.
    pub(in crate::command) derived: usize,
    pub(in crate::command) incompatible_pairs: usize,
    pub(in crate::command) compatible_pairs: usize,
    /// Pairs with a code that is no product of the catalogue.
    pub(in crate::command) foreign_pairs: usize,
    pub(in crate::command) hash: String,
    pub(in crate::command) out: PathBuf,
    pub(in crate::command) skipped: Vec<ProblemReport>,
}

impl Report for ImportReport {
    fn text(&self) -> String {
        let Self {
            version,
            valid_from,
            products,
            incompatible_pairs,
            compatible_pairs,
            hash,
            ..
        } = self;
        let mut text = format!(
            "catalogue {version}, valid from {valid_from}, {products} products, \
             {incompatible_pairs} incompatible and {compatible_pairs} compatible pairs\n\
             hash {hash}\nwritten to {}\n",
            self.out.display()
        );
        for ProblemReport { line, problem } in &self.skipped {
            let _ = writeln!(text, "skipped line {line}: {problem}");
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn warnings(&self) -> Vec<String> {
        let derived = (self.derived > 0).then(|| {
            format!(
                "{} products have no grouped code in the file; theirs follows from their labels",
                self.derived
            )
        });
        derived.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn an_import_tells_what_was_left_out_and_what_was_derived() {
        let report = ImportReport {
            version: "LPP-577".to_owned(),
            valid_from: "2020-07-01".to_owned(),
            products: 270,
            derived: 2,
            incompatible_pairs: 5,
            compatible_pairs: 1,
            foreign_pairs: 30,
            hash: "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned(),
            out: "catalogue.txt".into(),
            skipped: vec![ProblemReport {
                line: 3,
                problem: "the record is not shaped like the others".to_owned(),
            }],
        };
        assert_snapshot!(report.json(), @r#"{"version":"LPP-577","valid_from":"2020-07-01","products":270,"derived":2,"incompatible_pairs":5,"compatible_pairs":1,"foreign_pairs":30,"hash":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","out":"catalogue.txt","skipped":[{"line":3,"problem":"the record is not shaped like the others"}]}"#);
        assert_snapshot!(report.text(), @"
        catalogue LPP-577, valid from 2020-07-01, 270 products, 5 incompatible and 1 compatible pairs
        hash AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
        written to catalogue.txt
        skipped line 3: the record is not shaped like the others
        ");
        assert_eq!(
            report.warnings(),
            ["2 products have no grouped code in the file; theirs follows from their labels"]
        );
    }
}
