//! What an operator's monitoring sees: alerts that have runbooks and scenes, and queries that a real
//! Prometheus answers from a real node.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use proto::wire::AppendAnswer;
use serde_json::Value;
use tests::process::NodeProcess;
use tests::prometheus::{Prometheus, is_there};
use tests::workload::fresh_slots;
use tests::world::World;

/// How long a few scrapes and evaluations, one a second, may take on however busy a machine.
const SCRAPED_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// Panels that say nothing about a node at which all is well, and that has nothing to tell.
const SILENT: [&str; 3] = [
    "Refusals a minute, by reason",
    "Calls a second, by code",
    "Last backup",
];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn text(path: &str) -> String {
    fs::read_to_string(deploy().join(path)).unwrap()
}

/// What follows a word at the beginning of a line.
fn values<'a>(text: &'a str, word: &str) -> BTreeSet<&'a str> {
    let lines = text
        .lines()
        .map(|line| line.trim().trim_start_matches("- "));
    lines.filter_map(|line| line.strip_prefix(word)).collect()
}

#[test]
fn each_alert_has_a_runbook_and_a_scene_and_no_runbook_is_of_none() {
    let (rules, scenes) = (
        text("prometheus/vitrail.rules.yml"),
        text("prometheus/vitrail.test.yml"),
    );
    let alerts = values(&rules, "alert: ");
    assert!(alerts.len() > 15, "{alerts:?}");
    assert_eq!(values(&scenes, "alertname: "), alerts);
    let runbooks = fs::read_dir(deploy().join("runbooks")).unwrap();
    let runbooks: Vec<_> = runbooks.map(|it| it.unwrap().file_name()).collect();
    let names = runbooks.iter().map(|it| it.to_str().unwrap());
    let names: BTreeSet<_> = names.map(|it| it.strip_suffix(".md").unwrap()).collect();
    assert_eq!(names, alerts);
    for alert in &alerts {
        let runbook = text(&format!("runbooks/{alert}.md"));
        assert!(runbook.starts_with(&format!("# {alert}\n")), "{alert}");
        for part in ["**Felt:**", "**Look", "**Over**"] {
            assert!(runbook.contains(part), "{alert} has no {part}");
        }
        assert!(rules.contains(&format!("/runbooks/{alert}.md")), "{alert}");
    }
}

#[test]
fn promtool_finds_the_rules_sound_and_each_scene_as_it_is_written() {
    if !is_there("promtool", "the rules and their scenes") {
        return;
    }
    for words in [
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "vitrail.test.yml"],
    ] {
        let checked = Command::new("promtool")
            .args(words)
            .current_dir(deploy().join("prometheus"))
            .output()
            .unwrap();
        let said = [checked.stdout, checked.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(checked.status.success(), "{words:?}\n{said}");
    }
}

/// A panel of the dashboard: its title, and its queries as Grafana would send them.
struct Panel {
    title: String,
    queries: Vec<String>,
}

fn panels() -> Vec<Panel> {
    let dashboard: Value = serde_json::from_str(&text("grafana/vitrail.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let drawn = panels.filter(|panel| panel["type"] != "row");
    drawn
        .map(|panel| {
            let targets = panel["targets"].as_array().unwrap().iter();
            let queries = targets.map(|target| sent(target["expr"].as_str().unwrap()));
            Panel {
                title: panel["title"].as_str().unwrap().to_owned(),
                queries: queries.collect(),
            }
        })
        .collect()
}

/// Grafana puts its variables in: every node, and four scrapes.
fn sent(expression: &str) -> String {
    let sent = expression
        .replace("$instance", ".*")
        .replace("$__rate_interval", "4s");
    assert!(!sent.contains('$'), "{sent}");
    sent
}

/// The names of metrics in an expression.
fn metrics(expression: &str) -> BTreeSet<String> {
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expression.split(|c| !is_of_a_name(c));
    let names = words.filter(|word| word.starts_with("vitrail_"));
    names.map(str::to_owned).collect()
}

async fn claim(world: &World) {
    let claim = world.ground.claim(&world.tills[0], &fresh_slots(1));
    let payload = Some((&claim.payload, &claim.salt));
    let answer = world.sessions()[0]
        .home()
        .append(&claim.entry, payload)
        .await;
    assert!(matches!(answer.unwrap(), AppendAnswer::Accepted(_)));
}

/// Waits until an expression gives something.
fn wait_for(prometheus: &Prometheus, expression: &str) {
    let until = Instant::now() + SCRAPED_MAX;
    while prometheus.query(expression).unwrap().is_empty() {
        assert!(Instant::now() < until, "nothing for {expression}");
        std::thread::sleep(POLL);
    }
}

/// Every metric that is asked for is on the page.
fn are_on_the_page(node: &NodeProcess, expressions: &[String]) {
    let page = String::from_utf8(node.page("/metrics").unwrap()).unwrap();
    let names = page.lines().filter(|line| !line.starts_with('#'));
    let names: BTreeSet<_> = names
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    for expression in expressions {
        for metric in metrics(expression) {
            assert!(names.contains(metric.as_str()), "{metric} is not a metric");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_dashboard_and_rules_is_answered_from_a_real_node() {
    let mut world = World::new(1).await;
    let rules = deploy().join("prometheus/vitrail.rules.yml");
    let rules = rules.canonicalize().unwrap();
    let Some(prometheus) = Prometheus::start(&[world.node.addresses.http], &rules) else {
        return;
    };
    // A rate takes two scrapes between which something happened.
    let claims = "sum(rate(vitrail_appends_total{kind=\"claim\"}[4s])) > 0";
    let until = Instant::now() + SCRAPED_MAX;
    while prometheus.query(claims).unwrap().is_empty() {
        assert!(Instant::now() < until, "the node is not scraped");
        claim(&world).await;
        std::thread::sleep(POLL);
    }
    claim(&world).await;
    let mut expressions = Vec::new();
    for panel in panels() {
        for query in panel.queries {
            let found = prometheus.query(&query);
            let found = found.unwrap_or_else(|error| panic!("{query}: {error}"));
            let is_silent = SILENT.contains(&panel.title.as_str());
            assert!(is_silent || !found.is_empty(), "{}: {query}", panel.title);
            expressions.push(query);
        }
    }
    wait_for(&prometheus, "ALERTS{alertname=\"VitrailBackupOld\"}");
    let evaluated = prometheus.rules();
    assert!(evaluated.len() > 15);
    for rule in evaluated {
        assert_eq!((rule.health.as_str(), rule.last_error.as_str()), ("ok", ""));
        // A node that never was backed up is all that is to be told.
        let state = match rule.name.as_str() {
            "VitrailBackupOld" => "pending",
            _ => "inactive",
        };
        assert!(
            rule.state == state || rule.name == "VitrailDiskFilling",
            "{rule:?}"
        );
        expressions.push(rule.query);
    }
    are_on_the_page(&world.node, &expressions);
    world.node.kill();
    wait_for(&prometheus, "ALERTS{alertname=\"VitrailNodeDown\"}");
}
