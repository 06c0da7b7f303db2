//! The counter page as it is served, and the routes that it was the first to need.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use proto::receipt::ReceiptFile;

use super::*;
use crate::connection::{Observer as _, Outbound};

/// The files of the page: all of it that a browser runs.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pages/comptoir");

fn scripts() -> Vec<(String, String)> {
    let mut scripts = Vec::new();
    for file in fs::read_dir(SCRIPTS).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".js") {
            scripts.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    scripts
}

/// The files that a script imports, or a page names.
fn named(text: &str, before: &str) -> BTreeSet<String> {
    let parts = text.split(before).skip(1);
    let names = parts.filter_map(|part| part.split_once('"'));
    names.map(|(name, _)| name.to_owned()).collect()
}

fn bare(request: Builder) -> Request<Body> {
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn the_page_is_served_to_anybody_under_its_own_address_with_its_own_policy() {
    let desk = Desk::new().await;
    let page = desk.send(bare(desk.request("GET", "/comptoir"))).await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; "));
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    let other = desk.read("/v1/queue").await;
    assert_eq!(
        other.header("content-security-policy"),
        Some("default-src 'none'; frame-ancestors 'none'")
    );
    let port = desk.agent.address().port();
    let under = |host: String| Request::builder().uri("/comptoir").header("host", host);
    let rebound = desk.send(bare(under(format!("evil.example:{port}")))).await;
    assert_eq!(rebound.status, 421);
    let elsewhere = desk.send(bare(under(format!("localhost:{port}")))).await;
    let own = format!("http://127.0.0.1:{port}/comptoir");
    assert_eq!(
        (elsewhere.status, elsewhere.header("location")),
        (307, Some(own.as_str()))
    );
    let near = desk.send(bare(desk.request("GET", "/comptoir/"))).await;
    assert_eq!(near.status, 401);
}

#[tokio::test]
async fn the_page_may_call_the_agent_and_a_page_of_the_other_name_may_not() {
    let desk = Desk::new().await;
    let port = desk.agent.address().port();
    for (origin, want) in [("127.0.0.1", 200), ("localhost", 403), ("[::1]", 403)] {
        let request = desk
            .paired("POST", "/v1/check")
            .header("origin", format!("http://{origin}:{port}"))
            .header("content-type", "application/json");
        let body = json!({ "sale": sale(cards::COVERED) });
        let request = request.body(Body::from(body.to_string())).unwrap();
        assert_eq!(desk.send(request).await.status, want, "{origin}");
    }
    let scheme = desk.paired("GET", "/v1/queue");
    let scheme = scheme.header("origin", format!("https://127.0.0.1:{port}"));
    assert_eq!(desk.send(bare(scheme)).await.status, 403);
}

#[tokio::test]
async fn every_file_that_the_page_names_is_served_and_none_stands_for_nothing() {
    let desk = Desk::new().await;
    let page = desk.send(bare(desk.request("GET", "/comptoir"))).await;
    let mut wanted = named(&page.text, "=\"/comptoir/");
    for (name, script) in scripts() {
        wanted.extend(named(&script, "from \"./"));
        let served = format!("/comptoir/{name}");
        let served = desk.send(bare(desk.request("GET", &served))).await;
        assert_eq!(served.text, script, "{name}");
        assert_eq!(
            served.header("content-type"),
            Some("text/javascript; charset=utf-8")
        );
    }
    for name in &wanted {
        let path = format!("/comptoir/{name}");
        let file = desk.send(bare(desk.request("GET", &path))).await;
        assert_eq!(file.status, 200, "{path}");
    }
    for (name, _) in scripts() {
        assert!(wanted.contains(&name), "nothing imports {name}");
    }
}

/// Text is text, nothing is evaluated, nothing is kept beyond the tab, and nobody else is asked.
#[test]
fn the_scripts_keep_to_what_the_page_promises() {
    const FORBIDDEN: [&str; 9] = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "eval(",
        "Function(",
        "localStorage",
        "document.cookie",
        "indexedDB",
        "http:",
    ];
    for (name, script) in scripts() {
        for word in FORBIDDEN {
            assert!(!script.contains(word), "{name}: {word}");
        }
    }
}

#[test]
fn the_page_has_a_sentence_for_each_problem() {
    let all = scripts();
    let (_, sentences) = all.iter().find(|(name, _)| name == "problems.js").unwrap();
    for code in ProblemCode::ALL {
        let code = code.as_str();
        let quoted = sentences.contains(&format!("\n  \"{code}\": ["));
        let bare = sentences.contains(&format!("\n  {code}: ["));
        assert!(quoted || bare, "problems.js lacks {code}");
    }
}

#[tokio::test]
async fn a_receipt_is_told_apart_by_ledger_place_and_leaf() {
    let desk = Desk::new().await;
    let claimed = desk.claim(cards::COVERED, "one").await.json();
    let name = claimed["receipt"].as_str().unwrap();
    let text = desk.read(&format!("/v1/receipts/{name}")).await.text;
    let Ok(ReceiptFile::Accepted(receipt)) = ReceiptFile::parse(&text) else {
        panic!("it was accepted");
    };
    let told = desk
        .read(&format!("/v1/receipts/{name}/fingerprint"))
        .await
        .json();
    let leaf = receipt.proved.entry.leaf_hash().to_base64();
    assert_eq!(
        (&told["leaf"], &told["simulated"]),
        (&json!(leaf), &json!(true))
    );
    assert_eq!(told["index"], claimed["index"]);
    let index = claimed["index"].as_u64().unwrap();
    let says = format!("vitrail entry v1\nvitrail.example/simulation\n{index}\n{leaf}\n");
    assert_eq!(told["text"], says);
    let refused = desk.claim(cards::RESERVED, "two").await.json();
    let refusal = refused["receipt"].as_str().unwrap();
    for nothing in [refusal, "claim-9.receipt", "..", ""] {
        let path = format!("/v1/receipts/{nothing}/fingerprint");
        assert_eq!(desk.read(&path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_latest_entries_say_what_may_still_be_done_with_them() {
    let desk = Desk::new().await;
    let claimed = desk.claim(cards::DELIVERED, "one").await.json();
    let other = desk.claim(cards::RELEASED, "two").await.json();
    let told = |entries: &Value| -> Vec<(String, u64, u64)> {
        let entries = entries["entries"].as_array().unwrap().iter();
        let count = |it: &Value| it.as_u64().unwrap();
        let kind = |it: &Value| it["kind"].as_str().unwrap().to_owned();
        entries
            .map(|it| (kind(it), count(&it["slots"]), count(&it["open"])))
            .collect()
    };
    let all = desk.read("/v1/entries").await.json();
    let claim = |open| ("claim".to_owned(), 2, open);
    assert_eq!(told(&all), [claim(2), claim(2)]);
    assert_eq!(all["entries"][0]["index"], other["index"]);
    assert!(all["entries"][0]["until"].is_string());
    // The frame is handed over, then comes back; the lens is given back before.
    let frame =
        json!({ "claim": claimed["index"], "card": card(cards::DELIVERED), "slots": ["frame"] });
    let delivered = desk.post("/v1/deliver", Some("three"), &frame).await.json();
    assert_eq!(delivered["outcome"], "accepted", "{delivered}");
    let lens = json!({ "entry": claimed["index"], "card": card(cards::DELIVERED), "slots": ["right-lens"] });
    let released = desk.post("/v1/release", Some("four"), &lens).await.json();
    assert_eq!(released["outcome"], "accepted", "{released}");
    let all = desk.read("/v1/entries").await.json();
    let delivery = |open| ("delivery".to_owned(), 1, open);
    let release = ("release".to_owned(), 1, 0);
    let before = [release.clone(), delivery(1), claim(2), claim(0)];
    assert_eq!(told(&all), before);
    assert_eq!(all["entries"][1]["claim"], claimed["index"]);
    let back = json!({ "entry": delivered["index"] });
    desk.post("/v1/release", Some("five"), &back).await;
    let all = desk.read("/v1/entries").await.json();
    let after = [release.clone(), release, delivery(0), claim(2), claim(0)];
    assert_eq!(told(&all), after);
    let ahead = crate::system::now().seconds().get() + 3600;
    let none = desk
        .read(&format!("/v1/entries?since={ahead}"))
        .await
        .json();
    assert_eq!((told(&none).len(), &none["more"]), (0, &json!(false)));
    let wrong = desk.read("/v1/entries?since=yesterday").await;
    assert_eq!(
        (wrong.status, wrong.json()["field"].as_str()),
        (400, Some("since"))
    );
}

#[tokio::test]
async fn a_simulation_sends_nothing_and_what_is_sent_is_told_by_number() {
    let desk = Desk::new().await;
    desk.claim(cards::COVERED, "one").await;
    let none = desk.read("/v1/outbound").await.json();
    let nothing = json!({ "messages": [], "last": 0, "forgotten": 0, "simulated": true });
    assert_eq!(none, nothing);
    let member = "cnam".parse().unwrap();
    for request in [b"one", b"two"] {
        let method = "vitrail.v1.LedgerService/Lookup";
        let outbound = Outbound {
            member: &member,
            method,
            request,
        };
        desk.agent.shop.outbound.leaves(&outbound);
    }
    let after = desk.read("/v1/outbound?after=1").await.json();
    assert_eq!(after["messages"].as_array().unwrap().len(), 1);
    assert_eq!(after["messages"][0]["bytes"], BASE64_STANDARD.encode("two"));
    let wrong = desk.read("/v1/outbound?after=-1").await;
    assert_eq!(wrong.status, 400);
}
