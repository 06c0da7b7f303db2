//! A simulating agent from its routes in, without a socket: who gets in, what each card is told, and
//! that a key is for one effect.

use std::fs;

use axum::Router;
use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use proto::receipt::ReceiptFile;
use proto::refusal::Reason;
use proto::roster::SignedRoster;
use serde_json::{Value, json};
use tower::ServiceExt as _;

mod page;

use super::simulated::cards::{self, Told};
use super::*;
use crate::profile::Settings;

const PAGE: &str = "https://caisse.example";

/// A simulating agent and who may ask it.
struct Desk {
    folder: tempfile::TempDir,
    agent: Agent,
    router: Router,
    token: String,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

async fn agent(folder: &Path, conformance: Option<PathBuf>) -> Agent {
    let parts = AgentParts {
        profile: Profile::new(Settings::default()),
        listen: SocketAddr::new(AGENT_LISTEN.ip(), 0),
        folder: folder.to_owned(),
        queue: folder.join("queue"),
        origins: vec![PAGE.to_owned()],
        mode: Mode::Simulated { conformance },
        new_token: false,
        log: Arc::new(|_| {}),
    };
    Agent::bind(parts).await.unwrap()
}

impl Desk {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("report.json");
        let agent = agent(folder.path(), Some(report)).await;
        let token = fs::read_to_string(agent.token_file().unwrap()).unwrap();
        let router = routes::router(agent.shop.clone());
        Self {
            folder,
            agent,
            router,
            token,
        }
    }

    /// The same folder with another agent, as after a stop.
    async fn again(self) -> Self {
        let Self {
            folder,
            agent: stopped,
            router,
            token,
        } = self;
        drop((stopped, router));
        let agent = agent(folder.path(), None).await;
        let router = routes::router(agent.shop.clone());
        Self {
            folder,
            agent,
            router,
            token,
        }
    }

    fn request(&self, method: &str, path: &str) -> Builder {
        let host = format!("127.0.0.1:{}", self.agent.address().port());
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", host)
    }

    fn paired(&self, method: &str, path: &str) -> Builder {
        let bearer = format!("Bearer {}", self.token);
        self.request(method, path).header("authorization", bearer)
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn read(&self, path: &str) -> Reply {
        let request = self.paired("GET", path).body(Body::empty()).unwrap();
        self.send(request).await
    }

    async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Reply {
        let mut request = self
            .paired("POST", path)
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", format!("\"key-of-{key:0>12}\""));
        }
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// Claims, and delivers twice under one key.
    async fn delivers(&self, number: u16, wanted: [u16; 2]) {
        let claimed = self.claim(number, &format!("claim-{number}")).await;
        let body = json!({ "claim": claimed.json()["index"], "card": card(number) });
        self.twice("/v1/deliver", number, &body, wanted).await;
    }

    /// Claims, and releases twice under one key.
    async fn releases(&self, number: u16, wanted: [u16; 2]) {
        let claimed = self.claim(number, &format!("claim-{number}")).await;
        let body = json!({ "entry": claimed.json()["index"] });
        self.twice("/v1/release", number, &body, wanted).await;
    }

    async fn twice(&self, path: &str, number: u16, body: &Value, wanted: [u16; 2]) {
        let key = format!("key-{number}");
        for status in wanted {
            let said = self.post(path, Some(&key), body).await;
            assert_eq!(said.status, status, "{path} {number}");
        }
    }

    async fn claim(&self, card: u16, key: &str) -> Reply {
        let body = json!({ "sale": sale(card) });
        self.post("/v1/claim", Some(key), &body).await
    }
}

fn card(number: u16) -> Value {
    let payer = json!({ "payer_number": "75000001", "member_number": "ADH1" });
    json!({ "nir": cards::nir(number), "birth_date": "19500101", "complementary": [payer] })
}

fn sale(number: u16) -> Value {
    let frame = json!({ "code": "2264861", "price_cents": 14_000 });
    let lens = json!({ "code": "2200335", "side": "right", "price_cents": 12_000 });
    json!({ "card": card(number), "items": [frame, lens] })
}

#[tokio::test]
async fn only_who_shows_host_origin_and_token_gets_in() {
    let desk = Desk::new().await;
    let get = |request: Builder| request.body(Body::empty()).unwrap();
    let status = "/v1/status";
    assert_eq!(desk.read(status).await.status, 200);
    let none = desk.send(get(desk.request("GET", status))).await;
    assert_eq!(
        (none.status, none.json()["code"].as_str()),
        (401, Some("not-paired"))
    );
    for wrong in ["Bearer ", "Bearer AAAA", "Basic AAAA", "bearer"] {
        let wrong = desk.request("GET", status).header("authorization", wrong);
        assert_eq!(desk.send(get(wrong)).await.status, 401);
    }
    let bearer = format!("Bearer {}", desk.token);
    let port = desk.agent.address().port();
    let hosts = [
        (format!("localhost:{port}"), 200),
        (format!("127.0.0.1:{port}"), 200),
        (format!("evil.example:{port}"), 421),
        ("127.0.0.1".to_owned(), 421),
        (format!("127.0.0.1:{port}.evil.example"), 421),
        (String::new(), 421),
    ];
    for (host, want) in hosts {
        let request = Request::builder().uri(status).header("host", host.clone());
        let request = request.header("authorization", &bearer);
        assert_eq!(desk.send(get(request)).await.status, want, "{host}");
    }
    let unnamed = Request::builder()
        .uri(status)
        .header("authorization", &bearer);
    assert_eq!(desk.send(get(unnamed)).await.status, 421);
    for (origin, want) in [(PAGE, 200), ("https://evil.example", 403), ("null", 403)] {
        let reply = desk
            .send(get(desk.paired("GET", status).header("origin", origin)))
            .await;
        assert_eq!(reply.status, want, "{origin}");
        let allowed = (want == 200).then_some(PAGE);
        assert_eq!(reply.header("access-control-allow-origin"), allowed);
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn a_preflight_is_answered_for_listed_pages_alone() {
    let desk = Desk::new().await;
    for (origin, want) in [(PAGE, 204), ("https://evil.example", 403)] {
        let request = desk
            .request("OPTIONS", "/v1/claim")
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        let reply = desk.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, want);
        let headers = reply.header("access-control-allow-headers");
        assert_eq!(headers.is_some(), want == 204);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_a_problem_with_its_code() {
    let desk = Desk::new().await;
    let post = |kind: &str, body: String| {
        let request = desk
            .paired("POST", "/v1/check")
            .header("content-type", kind);
        desk.send(request.body(Body::from(body)).unwrap())
    };
    let long = format!("{{\"sale\":\"{}\"}}", "x".repeat(BODY_BYTES_MAX));
    let unkeyed = desk
        .post("/v1/claim", None, &json!({ "sale": sale(900) }))
        .await;
    let stranger = json!({ "nir": "295109912611193", "birth_date": "19951012" });
    let other_card = json!({ "sale": { "card": stranger, "items": [] } });
    let other_card = desk.post("/v1/check", None, &other_card).await;
    for (reply, status, code) in [
        (
            post("text/plain", "{}".to_owned()).await,
            415,
            "body-not-json",
        ),
        (post("application/json", long).await, 413, "body-too-long"),
        (
            post("application/json", "{".to_owned()).await,
            400,
            "body-malformed",
        ),
        (unkeyed, 400, "idempotency-key-missing"),
        (other_card, 422, "not-a-test-card"),
        (desk.read("/v1/nothing").await, 404, "not-found"),
        (
            desk.read("/v1/receipts/claim-9.receipt").await,
            404,
            "not-found",
        ),
        (
            desk.read("/v1/receipts?limit=0").await,
            400,
            "field-invalid",
        ),
        (desk.read("/v1/claim").await, 405, "method-not-allowed"),
    ] {
        assert_eq!(
            (reply.status, reply.json()["code"].as_str()),
            (status, Some(code))
        );
        assert_eq!(
            reply.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(reply.json()["simulated"], true);
    }
}

/// The code with which a card's story ends, and where.
async fn refusal(desk: &Desk, reason: Reason) -> (Option<Told>, Value) {
    let number = reason as u16;
    let checked = desk
        .post("/v1/check", None, &json!({ "sale": sale(number) }))
        .await
        .json();
    let told_of_items = checked["refusal"]["code"].clone();
    let told_of_line = checked["quote"]["lines"][0]["refusal"]["code"].clone();
    let key = format!("claim{number}");
    let claimed = desk.claim(number, &key).await.json();
    if claimed["outcome"] == "refused" {
        let at = match (told_of_items.is_string(), told_of_line.is_string()) {
            (true, _) => Told::Items,
            (false, true) => Told::Check,
            (false, false) => Told::Claim,
        };
        assert_eq!(checked["covered"], matches!(at, Told::Claim));
        return (Some(at), claimed["refusal"]["code"].clone());
    }
    let claim = claimed["index"].clone();
    let body = json!({ "claim": claim, "card": card(number) });
    let delivered = desk
        .post("/v1/deliver", Some(&format!("deliver{number}")), &body)
        .await
        .json();
    if delivered["outcome"] == "refused" {
        return (Some(Told::Delivery), delivered["refusal"]["code"].clone());
    }
    let body = json!({ "entry": delivered["index"] });
    let released = desk
        .post("/v1/release", Some(&format!("release{number}")), &body)
        .await
        .json();
    match released["outcome"] == "refused" {
        true => (Some(Told::Release), released["refusal"]["code"].clone()),
        false => (None, Value::Null),
    }
}

#[tokio::test]
async fn every_reason_of_the_closed_list_has_a_card_that_meets_it() {
    let desk = Desk::new().await;
    for reason in Reason::ALL {
        let (at, code) = refusal(&desk, *reason).await;
        assert_eq!(at, Some(cards::told(*reason)), "{}", reason.code());
        assert_eq!(code, reason.code());
    }
}

#[tokio::test]
async fn amounts_are_reckoned_and_a_life_goes_by_the_ledgers_rules() {
    let desk = Desk::new().await;
    let checked = desk
        .post("/v1/check", None, &json!({ "sale": sale(cards::COVERED) }))
        .await
        .json();
    let quote = &checked["quote"];
    // 60 per cent of 0.05 twice, and 50.00 twice; prices 140.00 and 120.00.
    assert_eq!(
        [
            &quote["amo_cents"],
            &quote["amc_cents"],
            &quote["rest_cents"]
        ],
        [6, 10_000, 15_994]
    );
    assert_eq!(
        (&checked["covered"], &checked["simulated"]),
        (&json!(true), &json!(true))
    );
    let claimed = desk.claim(cards::COVERED, "one").await.json();
    assert_eq!(claimed["outcome"], "accepted");
    let again = desk.claim(cards::COVERED, "two").await.json();
    assert_eq!(again["refusal"]["code"], "SLOT_RESERVED");
    let index = claimed["index"].as_u64().unwrap();
    let body = json!({ "claim": index, "card": card(cards::COVERED) });
    let delivered = desk.post("/v1/deliver", Some("three"), &body).await.json();
    assert_eq!(delivered["outcome"], "accepted", "{delivered}");
    let twice = desk.post("/v1/deliver", Some("four"), &body).await.json();
    assert_eq!(twice["refusal"]["code"], "ALREADY_DELIVERED");
    let body = json!({ "entry": delivered["index"] });
    let returned = desk.post("/v1/release", Some("five"), &body).await.json();
    assert_eq!(returned["outcome"], "accepted");
    assert_eq!(
        desk.claim(cards::COVERED, "six").await.json()["outcome"],
        "accepted"
    );
    let of_nobody = json!({ "claim": 1_000_000, "card": card(cards::COVERED) });
    let unknown = desk.post("/v1/deliver", Some("seven"), &of_nobody).await;
    assert_eq!(
        (unknown.status, unknown.json()["code"].as_str()),
        (422, Some("entry-unknown"))
    );
}

#[tokio::test]
async fn receipts_and_refusals_verify_with_the_roster_that_lies_beside_them() {
    let desk = Desk::new().await;
    desk.claim(cards::COVERED, "one").await;
    desk.claim(cards::RESERVED, "two").await;
    desk.claim(cards::HELD, "three").await;
    let roster = fs::read(desk.folder.path().join("simulated/roster.txt")).unwrap();
    let roster = SignedRoster::parse(&roster)
        .unwrap()
        .verify_genesis()
        .unwrap();
    let page = desk.read("/v1/receipts?limit=2").await.json();
    let next = page["next"].as_str().unwrap();
    let rest = desk
        .read(&format!("/v1/receipts?after={next}"))
        .await
        .json();
    let all = [&page["receipts"], &rest["receipts"]];
    let names = all.iter().flat_map(|page| page.as_array().unwrap());
    let names: Vec<&str> = names.map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3);
    for name in names {
        let text = desk.read(&format!("/v1/receipts/{name}")).await.text;
        ReceiptFile::verify(&text, &roster, &mut |_| {}).unwrap();
    }
}

#[tokio::test]
async fn a_key_is_for_one_effect_and_a_lost_answer_is_found_again() {
    let desk = Desk::new().await;
    let lost = desk.claim(cards::LOST, "lost").await;
    assert_eq!(
        (lost.status, lost.json()["code"].as_str()),
        (504, Some("outcome-unknown"))
    );
    let found = desk.claim(cards::LOST, "lost").await;
    assert_eq!(
        (found.status, &found.json()["outcome"]),
        (200, &json!("accepted"))
    );
    assert_eq!(found.header("idempotent-replayed"), None);
    let replayed = desk.claim(cards::LOST, "lost").await;
    assert_eq!(
        (replayed.text.as_str(), replayed.status),
        (found.text.as_str(), 200)
    );
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    let other = desk.claim(cards::COVERED, "lost").await;
    assert_eq!(
        (other.status, other.json()["code"].as_str()),
        (422, Some("idempotency-key-reused"))
    );
    let desk = desk.again().await;
    let after = desk.claim(cards::LOST, "lost").await;
    assert_eq!(
        (after.text.as_str(), after.status),
        (found.text.as_str(), 200)
    );
}

#[tokio::test]
async fn a_claim_waits_when_nobody_can_be_reached_and_a_kept_quote_is_claimed_by_name() {
    let desk = Desk::new().await;
    let body = json!({ "sale": sale(cards::UNREACHABLE), "keep": true });
    let kept = desk.post("/v1/check", None, &body).await.json()["kept"].clone();
    let now = json!({ "quote": kept });
    let unreachable = desk.post("/v1/claim", Some("one"), &now).await;
    assert_eq!(
        (unreachable.status, unreachable.json()["code"].as_str()),
        (503, Some("unreachable"))
    );
    let later = json!({ "quote": kept, "queue": true });
    let queued = desk.post("/v1/claim", Some("two"), &later).await;
    assert_eq!(
        (queued.status, &queued.json()["outcome"]),
        (202, &json!("queued"))
    );
    let ask = queued.json()["queued"]["ask"].as_str().unwrap().to_owned();
    assert_eq!(queued.header("location"), Some(ask.as_str()));
    assert_eq!(desk.read(&ask).await.json()["state"], "waits");
    assert_eq!(desk.read("/v1/queue").await.json()["waiting"], 1);
    let unknown = json!({ "quote": "0".repeat(32) });
    let unknown = desk.post("/v1/claim", Some("three"), &unknown).await;
    assert_eq!(unknown.json()["code"], "quote-unknown");
}

#[tokio::test]
async fn a_vendors_integration_passes_the_kit() {
    let desk = Desk::new().await;
    desk.post("/v1/check", None, &json!({ "sale": sale(cards::COVERED) }))
        .await;
    desk.claim(cards::COVERED, "one").await;
    desk.claim(cards::RESERVED, "two").await;
    desk.claim(cards::LOST, "three").await;
    desk.claim(cards::LOST, "three").await;
    let body = json!({ "sale": sale(cards::UNREACHABLE), "queue": true });
    desk.post("/v1/claim", Some("four"), &body).await;
    desk.read("/v1/queue").await;
    let claim = desk.claim(cards::DELIVERED, "five").await.json()["index"].clone();
    let body = json!({ "claim": claim, "card": card(cards::DELIVERED) });
    let receipt = desk.post("/v1/deliver", Some("six"), &body).await.json()["receipt"].clone();
    let receipt = format!("/v1/receipts/{}", receipt.as_str().unwrap());
    assert_eq!(desk.read(&receipt).await.status, 200);
    assert_eq!(desk.read("/v1/conformance").await.json()["passed"], false);
    let claim = desk.claim(cards::RELEASED, "seven").await.json()["index"].clone();
    desk.post("/v1/release", Some("eight"), &json!({ "entry": claim }))
        .await;
    desk.delivers(cards::DELIVERY_LOST, [504, 200]).await;
    desk.releases(cards::RELEASE_LOST, [504, 200]).await;
    let report = desk.read("/v1/conformance").await.json();
    assert_eq!(report["passed"], true, "{report}");
    let file = fs::read_to_string(desk.folder.path().join("report.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&file).unwrap(), report);
}

#[tokio::test]
async fn nobody_is_reached_or_an_answer_gets_lost_at_each_thing_that_a_till_asks() {
    let desk = Desk::new().await;
    let body = json!({ "sale": sale(cards::CHECK_UNREACHABLE) });
    assert_eq!(desk.post("/v1/check", None, &body).await.status, 503);
    let claim = desk.claim(cards::CHECK_UNREACHABLE, "no-quote").await;
    assert_eq!(claim.status, 503);
    desk.delivers(cards::DELIVERY_UNREACHABLE, [503, 200]).await;
    desk.delivers(cards::DELIVERY_LOST, [504, 200]).await;
    desk.releases(cards::RELEASE_UNREACHABLE, [503, 200]).await;
    desk.releases(cards::RELEASE_LOST, [504, 200]).await;
}

#[tokio::test]
async fn nothing_that_the_agent_keeps_has_an_identity() {
    let desk = Desk::new().await;
    desk.claim(cards::COVERED, "one").await;
    let body = json!({ "sale": sale(cards::DELIVERED), "keep": true });
    desk.post("/v1/check", None, &body).await;
    let mut folders = vec![desk.folder.path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            // The kit's report names the test cards, which are of nobody.
            let is_report = path.ends_with("report.json");
            let found = ["100999999990", "19500101", "ADH1"]
                .iter()
                .any(|word| text.contains(word));
            assert!(is_report || !found, "{}", path.display());
        }
    }
    assert!(files >= 6);
}

#[tokio::test]
async fn an_agent_is_for_this_machine_alone_and_alone_in_its_folder() {
    let desk = Desk::new().await;
    let parts = |listen: &str, origin: &str| AgentParts {
        profile: Profile::new(Settings::default()),
        listen: listen.parse().unwrap(),
        folder: desk.folder.path().to_owned(),
        queue: desk.folder.path().join("queue"),
        origins: vec![origin.to_owned()],
        mode: Mode::Simulated { conformance: None },
        new_token: false,
        log: Arc::new(|_| {}),
    };
    for listen in ["0.0.0.0:0", "192.0.2.1:7490", "[::1]:0", "127.0.0.2:0"] {
        let refused = Agent::bind(parts(listen, PAGE)).await.err();
        assert!(matches!(refused, Some(AgentError::NotLoopback)), "{listen}");
    }
    for origin in [
        "*",
        "null",
        "https://a.example/",
        "ftp://a.example",
        "https://",
    ] {
        let refused = Agent::bind(parts("127.0.0.1:0", origin)).await.err();
        assert!(matches!(refused, Some(AgentError::Origin)), "{origin}");
    }
    let second = Agent::bind(parts("127.0.0.1:0", PAGE)).await.err();
    assert!(matches!(second, Some(AgentError::InUse { .. })));
}
