//! What the commands of the catalogue answer.

use std::fmt::Write as _;
use std::path::PathBuf;

use client::lookup::NamedCatalogue;
use proto::hash::Hash;
use schemars::JsonSchema;
use serde::Serialize;

use super::{ProblemReport, Report, to_json};

/// What `catalogue import` answers.
#[derive(Debug, Serialize, JsonSchema)]
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
    /// What is to be looked at of products that were imported.
    pub(in crate::command) remarks: Vec<RemarkReport>,
    pub(in crate::command) skipped: Vec<ProblemReport>,
}

/// Something about an imported product.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct RemarkReport {
    pub(in crate::command) line: u64,
    pub(in crate::command) remark: String,
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
        for RemarkReport { line, remark } in &self.remarks {
            let _ = writeln!(text, "line {line}: {remark}");
        }
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

/// What `catalogue fetch` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct FetchReport {
    pub(in crate::command) version: String,
    pub(in crate::command) valid_from: String,
    pub(in crate::command) products: usize,
    /// The entry that names it.
    pub(in crate::command) entry: u64,
    pub(in crate::command) hash: String,
    pub(in crate::command) out: PathBuf,
}

impl Report for FetchReport {
    fn text(&self) -> String {
        let Self {
            version,
            valid_from,
            products,
            entry,
            hash,
            out,
        } = self;
        format!(
            "catalogue {version}, valid from {valid_from}, {products} products, named by entry \
             {entry}\nhash {hash}\nwritten to {}\n",
            out.display()
        )
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

/// What `catalogue status` answers: yes when the own file is the one in force.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct StatusReport {
    in_force: bool,
    /// The entry that names the one in force.
    entry: u64,
    valid_from: String,
    hash: String,
    own_hash: String,
}

impl StatusReport {
    pub(in crate::command) fn new(named: &NamedCatalogue, own: Hash) -> Self {
        let NamedCatalogue { index, notice } = named;
        Self {
            in_force: notice.hash == own,
            entry: index.get(),
            valid_from: notice.valid_from.to_iso(),
            hash: notice.hash.to_base64(),
            own_hash: own.to_base64(),
        }
    }
}

impl Report for StatusReport {
    fn text(&self) -> String {
        let Self {
            in_force,
            entry,
            valid_from,
            hash,
            own_hash,
        } = self;
        let own = if *in_force {
            "the own file is this one"
        } else {
            "the own file is another one"
        };
        format!("in force since {valid_from} by entry {entry}: {hash}\n{own}: {own_hash}\n")
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.in_force
    }

    fn problem(&self) -> Option<(String, Option<&'static str>)> {
        let message = "the catalogue file is not the one in force in the ledger".to_owned();
        let hint = "fetch the one in force: vitrail catalogue fetch";
        (!self.in_force).then_some((message, Some(hint)))
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proto::attestation::CatalogueNotice;
    use proto::ids::LeafIndex;

    use super::*;

    #[test]
    fn a_status_is_yes_for_the_file_in_force_alone() {
        let hash = |byte| Hash::from_bytes([byte; 32]);
        let named = NamedCatalogue {
            index: LeafIndex::new(7),
            notice: CatalogueNotice {
                hash: hash(1),
                valid_from: "2020-07-01".parse().unwrap(),
            },
        };
        let own = StatusReport::new(&named, hash(1));
        assert!(own.is_yes() && own.problem().is_none());
        let other = StatusReport::new(&named, hash(0));
        assert!(!other.is_yes() && other.problem().is_some());
        assert_snapshot!(other.json(), @r#"{"in_force":false,"entry":7,"valid_from":"2020-07-01","hash":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","own_hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#);
        assert_snapshot!(other.text(), @"
        in force since 2020-07-01 by entry 7: AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
        the own file is another one: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
        ");
    }

    #[test]
    fn a_fetched_catalogue_is_told_with_the_entry_that_names_it() {
        let report = FetchReport {
            version: "LPP-577".to_owned(),
            valid_from: "2020-07-01".to_owned(),
            products: 270,
            entry: 7,
            hash: "AQEB=".to_owned(),
            out: "catalogue.txt".into(),
        };
        assert_snapshot!(report.json(), @r#"{"version":"LPP-577","valid_from":"2020-07-01","products":270,"entry":7,"hash":"AQEB=","out":"catalogue.txt"}"#);
        assert_snapshot!(report.text(), @"
        catalogue LPP-577, valid from 2020-07-01, 270 products, named by entry 7
        hash AQEB=
        written to catalogue.txt
        ");
    }

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
            remarks: vec![RemarkReport {
                line: 7,
                remark: "its place contradicts its label".to_owned(),
            }],
            skipped: vec![ProblemReport {
                line: 3,
                problem: "the record is not shaped like the others".to_owned(),
            }],
        };
        assert_snapshot!(report.json(), @r#"{"version":"LPP-577","valid_from":"2020-07-01","products":270,"derived":2,"incompatible_pairs":5,"compatible_pairs":1,"foreign_pairs":30,"hash":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","out":"catalogue.txt","remarks":[{"line":7,"remark":"its place contradicts its label"}],"skipped":[{"line":3,"problem":"the record is not shaped like the others"}]}"#);
        assert_snapshot!(report.text(), @"
        catalogue LPP-577, valid from 2020-07-01, 270 products, 5 incompatible and 1 compatible pairs
        hash AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
        written to catalogue.txt
        line 7: its place contradicts its label
        skipped line 3: the record is not shaped like the others
        ");
        assert_eq!(
            report.warnings(),
            ["2 products have no grouped code in the file; theirs follows from their labels"]
        );
    }
}
