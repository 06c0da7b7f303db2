//! The standard health service: each service of the schema, by name.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use proto::wire::v1::evaluator_service_server::SERVICE_NAME as EVALUATOR;
use proto::wire::v1::ledger_service_server::SERVICE_NAME as LEDGER;
use proto::wire::v1::log_service_server::SERVICE_NAME as LOG;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::sequencer::{Condition, Sequencer};

/// How soon a stop of writes shows.
const INTERVAL: Duration = Duration::from_millis(500);

/// The service, and the way to set what it says.
pub(super) fn service() -> (HealthReporter, HealthServer<HealthService>) {
    let reporter = HealthReporter::new();
    let service = HealthService::from_health_reporter(reporter.clone());
    (reporter, HealthServer::new(service))
}

/// Reports until the node is told to stop, and then that nothing is served. The ledger counts as
/// serving while it takes writes; log and evaluator only read.
pub(super) async fn report(
    reporter: HealthReporter,
    sequencer: Sequencer,
    told: impl Future<Output = ()>,
) {
    let mut told = pin!(told);
    for service in [LOG, EVALUATOR] {
        reporter
            .set_service_status(service, ServingStatus::Serving)
            .await;
    }
    loop {
        let status = match sequencer.condition() {
            Condition::Writing | Condition::Following => ServingStatus::Serving,
            Condition::Stopped(_) => ServingStatus::NotServing,
        };
        reporter.set_service_status(LEDGER, status).await;
        tokio::select! {
            () = &mut told => break,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
    for service in ["", LEDGER, LOG, EVALUATOR] {
        reporter
            .set_service_status(service, ServingStatus::NotServing)
            .await;
    }
}
