//! A catalogue from the CNAM's hand to a till: named in the ledger, fetched, verified, replaced.

use std::fs;
use std::path::Path;

use proto::lpp::{Catalogue, CataloguePath};
use proto::signing::SecretKey;
use serde_json::Value;
use tests::binary::{scratch_folder, vitrail};
use tests::federation::{Federation, fresh_key};
use tests::process::{NodeProcess, write_secret};

const FIRST: &str = "vitrail-catalogue/v1\n\
    version;TEST-1\n\
    valid-from;2020-01-01\n\
    code;grouped;label;base;plv;age-max;end\n\
    2222124;M01;MONTURE ADULTE A;;30.00;;\n";

const SECOND: &str = "vitrail-catalogue/v2\n\
    version;TEST-2\n\
    valid-from;2020-07-01\n\
    code;grouped;label;base;plv;age-max;end\n\
    2222124;M01;MONTURE ADULTE A;;30.00;;\n\
    2263927;V01;VERRE NEUTRE A;;32.00;;\n\
    code;incompatible-with\n\
    2222124;2263927\n\
    code;compatible-with\n";

/// Somebody's folder, and the node that he asks.
struct User<'a> {
    folder: &'a Path,
    node: &'a NodeProcess,
}

impl<'a> User<'a> {
    fn new(
        folder: &'a Path,
        federation: &Federation,
        node: &'a NodeProcess,
        key: &SecretKey,
    ) -> Self {
        fs::create_dir_all(folder).unwrap();
        let roster = federation.node_dir().join("roster.txt");
        fs::copy(roster, folder.join("roster.txt")).unwrap();
        write_secret(&folder.join("key.pem"), &key.to_pem().unwrap());
        let card = "nir = \"2 95 10 99 126 111 93\"\nbirth_date = \"19951012\"\n";
        fs::write(folder.join("card.toml"), card).unwrap();
        Self { folder, node }
    }

    /// Runs `vitrail` and gives its exit code, its JSON, and what it said beside that.
    fn runs(&self, arguments: &[&str]) -> (i32, Value, String) {
        let mut command = vitrail();
        command.args(arguments).args(["-o", "json", "--address"]);
        command.arg(format!("cnam={}", self.node.addresses.grpc));
        let http = format!("http://{}", self.node.addresses.http);
        let output = command.env("VITRAIL_HTTP", http).current_dir(self.folder);
        let output = output.output().unwrap();
        let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), json, said)
    }

    fn has(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap()
    }

    fn publishes(&self, text: &str, pages: &Path) -> u64 {
        fs::write(self.folder.join("catalogue.txt"), text).unwrap();
        let pages = pages.to_str().unwrap();
        let (code, json, said) = self.runs(&["catalogue", "publish", "--pages", pages]);
        assert_eq!(code, 0, "{said}");
        json["index"].as_u64().unwrap()
    }
}

fn path(text: &str) -> CataloguePath {
    CataloguePath(Catalogue::hash_of_text(text.as_bytes()))
}

#[test]
fn a_till_learns_which_catalogue_is_in_force_and_takes_no_other() {
    let folder = scratch_folder();
    let federation = Federation::found(folder.path());
    let node = federation.start(&[]);
    let pages = federation.node_dir().join("catalogues");
    let (cnam_folder, till_folder) = (folder.path().join("cnam"), folder.path().join("till"));
    let cnam = User::new(&cnam_folder, &federation, &node, &federation.cnam);
    // A key that nobody granted: which catalogue is in force is no secret.
    let till = User::new(&till_folder, &federation, &node, &fresh_key());

    let (code, json, _) = till.runs(&["catalogue", "fetch"]);
    assert_eq!((code, &json["error"]["kind"]), (2, &"unavailable".into()));
    let first = cnam.publishes(FIRST, &pages);
    let (code, json, said) = till.runs(&["catalogue", "fetch"]);
    assert_eq!((code, &json["entry"]), (0, &first.into()), "{said}");
    assert_eq!(till.has("catalogue.txt"), FIRST);
    let (code, json, _) = till.runs(&["catalogue", "status"]);
    assert_eq!((code, &json["in_force"]), (0, &true.into()));

    // The next version: the till's file is an old one from now on, and it is told so.
    let second = cnam.publishes(SECOND, &pages);
    let (code, json, said) = till.runs(&["catalogue", "status"]);
    assert_eq!((code, &json["entry"]), (1, &second.into()));
    assert!(said.contains("hint: fetch the one in force"), "{said}");
    let items = ["--item", "2222124=30", "--item", "2263927/right=32"];
    let check = [&["check", "--card", "card.toml"], &items[..]].concat();
    let (code, json, said) = till.runs(&check);
    assert_eq!(code, 1, "{said}");
    assert_eq!(json["refusal"]["code"], "LPP_CODE_UNKNOWN");
    assert_eq!(json["catalogue_in_force"], false);
    assert!(said.contains("vitrail catalogue fetch"), "{said}");

    // A page that somebody changed is neither served nor taken, and the old file stays.
    let page = pages.join(path(SECOND).file_name());
    fs::write(&page, SECOND.replace("32.00", "92.00")).unwrap();
    let (code, _, said) = till.runs(&["catalogue", "fetch"]);
    assert_eq!(
        (code, till.has("catalogue.txt").as_str()),
        (2, FIRST),
        "{said}"
    );
    fs::write(&page, SECOND).unwrap();
    let served = node.page(&format!("/{}", path(SECOND))).unwrap();
    assert_eq!(served, SECOND.as_bytes());
    for absent in [path("").to_string(), "catalogue/..".to_owned()] {
        assert!(node.page(&format!("/{absent}")).is_err(), "{absent}");
    }

    let (code, json, said) = till.runs(&["catalogue", "fetch"]);
    assert_eq!((code, &json["entry"]), (0, &second.into()), "{said}");
    assert_eq!(till.has("catalogue.txt"), SECOND);
    let (code, json, _) = till.runs(&check);
    assert_eq!(code, 1);
    assert_eq!(json["refusal"]["code"], "ITEMS_INCOMPATIBLE");
    assert_eq!(json["refusal"]["items"], Value::from(vec![1, 2]));
    assert_eq!(json["catalogue_in_force"], true);

    // An older coverage names the version that it was computed with; that one can be had too.
    let entry = first.to_string();
    let (code, ..) = till.runs(&["catalogue", "fetch", "--entry", &entry, "--out", "old.txt"]);
    assert_eq!((code, till.has("old.txt").as_str()), (0, FIRST));
    let (code, ..) = till.runs(&["catalogue", "fetch", "--entry", "0", "--out", "none.txt"]);
    assert_eq!((code, till.folder.join("none.txt").exists()), (2, false));
}
