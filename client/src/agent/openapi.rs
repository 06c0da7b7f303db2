//! The description of the interface, OpenAPI 3.1, made from the routes and their types.

use std::collections::{BTreeMap, BTreeSet};

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::problem::{PROBLEM_JSON, Problem, ProblemCode};
use super::routes;

/// Where the agent serves it.
pub(super) const OPENAPI_PATH: &str = "/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Vitrail agent",
        description = "Coverage checks, claims and receipts for till software on the same machine."
    ),
    paths(
        routes::check,
        routes::claim,
        routes::deliver,
        routes::release,
        routes::receipts,
        routes::receipt,
        routes::fingerprint,
        routes::entries,
        routes::queue,
        routes::queued,
        routes::status,
        routes::outbound,
        routes::conformance
    ),
    components(schemas(Problem)),
    modifiers(&Pairing, &Problems)
)]
struct Description;

/// How till software is let in.
struct Pairing;

impl Modify for Pairing {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let bearer =
            bearer.description(Some("The pairing token, made at the agent's first start."));
        if let Some(components) = description.components.as_mut() {
            components.add_security_scheme("pairing", SecurityScheme::Http(bearer.build()));
        }
    }
}

/// Every problem that any request may meet, at each of them.
struct Problems;

impl Modify for Problems {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        for item in description.paths.paths.values_mut() {
            for operation in operations(item) {
                let reads = operation.request_body.is_none();
                for (status, codes) in problems(reads) {
                    let codes: Vec<&str> = codes.into_iter().collect();
                    let schema = Ref::from_schema_name("Problem");
                    let content = ContentBuilder::new().schema(Some(schema)).build();
                    let response = ResponseBuilder::new()
                        .description(codes.join(", "))
                        .content(PROBLEM_JSON, content)
                        .build();
                    let responses = &mut operation.responses.responses;
                    responses.insert(status.to_string(), RefOr::T(response));
                }
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    item.get.iter_mut().chain(item.post.iter_mut())
}

/// The codes by their statuses; those about bodies and keys for requests that have them.
fn problems(reads: bool) -> BTreeMap<u16, BTreeSet<&'static str>> {
    let mut by_status = BTreeMap::new();
    for code in ProblemCode::ALL {
        let of_body = matches!(code.status(), 409 | 413 | 415 | 422 | 502 | 504);
        if !(reads && of_body) {
            let codes: &mut BTreeSet<_> = by_status.entry(code.status()).or_default();
            codes.insert(code.as_str());
        }
    }
    by_status
}

/// The description as JSON.
#[must_use]
pub fn openapi_json() -> String {
    let json = Description::openapi().to_pretty_json();
    // Strings, numbers and maps of them always have one.
    json.map(|json| format!("{json}\n")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::idempotency::KEY_CHARACTERS;
    use super::super::request::{CORRECTIONS_MAX, NETWORKS_MAX, PRICE_CENTS_MAX};
    use super::super::routes::RECEIPTS_PAGE_MAX;
    use super::*;
    use proto::attestation::CLAIM_LINES_MAX;
    use proto::lpp::Slot;

    fn description() -> Value {
        serde_json::from_str(&openapi_json()).unwrap()
    }

    #[test]
    fn the_page_has_the_description_that_the_code_gives() {
        let page = include_str!("../../../docs/agent-openapi.json");
        assert!(
            page == openapi_json(),
            "docs/agent-openapi.json is another: vitrail agent --print-openapi"
        );
        assert_eq!(description()["openapi"], "3.1.0");
    }

    #[test]
    fn the_limits_of_the_description_are_those_of_the_code() {
        let schemas = &description()["components"]["schemas"];
        let property = |of: &str, name: &str| schemas[of]["properties"][name].clone();
        let sale = |name| property("SaleRequest", name);
        assert_eq!(sale("items")["maxItems"], CLAIM_LINES_MAX);
        assert_eq!(sale("networks")["maxItems"], NETWORKS_MAX);
        assert_eq!(
            property("SoldItem", "price_cents")["maximum"],
            PRICE_CENTS_MAX
        );
        let deliver = |name| property("DeliverRequest", name);
        assert_eq!(deliver("prices")["maxItems"], CORRECTIONS_MAX);
        assert_eq!(deliver("slots")["maxItems"], Slot::ALL.len());
        let complementary = property("Card", "complementary");
        assert_eq!(complementary["maxItems"], crate::pos::PAYERS_MAX - 1);
        let limits = (
            KEY_CHARACTERS.start(),
            KEY_CHARACTERS.end(),
            RECEIPTS_PAGE_MAX,
        );
        assert_eq!(limits, (&16, &64, 200));
    }

    #[test]
    fn no_identity_is_asked_in_an_address_and_every_request_is_paired() {
        let description = description();
        for (path, item) in description["paths"].as_object().unwrap() {
            for word in ["nir", "birth", "member_number", "card"] {
                assert!(!path.contains(word), "{path}");
            }
            for operation in item.as_object().unwrap().values() {
                assert_eq!(
                    operation["security"][0]["pairing"],
                    Value::Array(Vec::new())
                );
                assert!(operation["responses"]["401"].is_object());
                let writes = operation["requestBody"].is_object() && path != "/v1/check";
                let parameters = operation["parameters"].as_array();
                let keyed = parameters.is_some_and(|all| {
                    all.iter()
                        .any(|one| one["name"] == "Idempotency-Key" && one["required"] == true)
                });
                assert_eq!(keyed, writes, "{path}");
            }
        }
    }
}
