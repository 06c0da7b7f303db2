//! Many appends over one stream, at the node that answers them.
//!
//! Each is let in, answered and counted as if it were a call of its own; the stream saves the rest
//! of what a call costs. A stream that its caller breaks off takes its unanswered appends with it,
//! as a call that is given up does.

use std::future::Future;
use std::sync::Arc;

use proto::signing::PublicKey;
use proto::wire::lane::{LANE_APPENDS_MAX, numbered};
use proto::wire::{WireError, v1};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Status};

use super::gate::GateLayer;
use super::status::{CallError, DEADLINE_MAX};
use crate::admission::Method;

/// The answers of one stream, in the order in which they are decided.
pub(super) type LaneAnswers = ReceiverStream<Result<v1::NumberedAnswer, Status>>;

type Outbound = mpsc::Sender<Result<v1::NumberedAnswer, Status>>;

/// One stream of appends: whose it is, and under which rules each of them is let in.
pub(super) struct Lane {
    pub(super) gate: GateLayer,
    pub(super) method: Method,
    pub(super) key: PublicKey,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Lane {
    /// Answers what comes over the stream, at most [`LANE_APPENDS_MAX`] at a time, until its caller
    /// ends it or the node stops; what is under way then is still answered.
    pub(super) fn answer_each<A, F>(
        self,
        appends: impl Stream<Item = Result<v1::NumberedAppend, Status>> + Send + Unpin + 'static,
        append: A,
    ) -> LaneAnswers
    where
        A: Fn(v1::AppendRequest) -> F + Send + Sync + 'static,
        F: Future<Output = Result<v1::AppendResponse, Status>> + Send + 'static,
    {
        let (stopping, it) = (self.stopping.clone(), Arc::new((self, append)));
        answer_each(appends, stopping, move |message| {
            let it = it.clone();
            async move { it.0.answer(message, &it.1).await }
        })
    }

    /// Lets one append in, answers and counts it as a call of its own.
    async fn answer<F>(
        &self,
        message: v1::NumberedAppend,
        append: impl Fn(v1::AppendRequest) -> F,
    ) -> v1::NumberedAnswer
    where
        F: Future<Output = Result<v1::AppendResponse, Status>>,
    {
        let timer = self.gate.timed(self.method.0);
        let answered = match self.let_in(message.append) {
            Err(error) => Err(error.into()),
            Ok(request) => {
                let answered = timeout(DEADLINE_MAX, append(request)).await;
                answered.unwrap_or_else(|_| Err(Status::cancelled("")))
            }
        };
        timer.end(answered.as_ref().map_or_else(Status::code, |_| Code::Ok));
        numbered(message.number, answered)
    }

    /// A key may be revoked while its stream is open: it is looked up for each append.
    fn let_in(&self, append: Option<v1::AppendRequest>) -> Result<v1::AppendRequest, CallError> {
        self.gate.admit(self.method.1, &self.key)?;
        Ok(append.ok_or(WireError::Missing { field: "append" })?)
    }
}

fn answer_each<A, F>(
    appends: impl Stream<Item = Result<v1::NumberedAppend, Status>> + Send + Unpin + 'static,
    stopping: watch::Receiver<bool>,
    answer: A,
) -> LaneAnswers
where
    A: Fn(v1::NumberedAppend) -> F + Send + 'static,
    F: Future<Output = v1::NumberedAnswer> + Send + 'static,
{
    let (outbound, answers) = mpsc::channel(LANE_APPENDS_MAX);
    tokio::spawn(async move {
        tokio::select! {
            () = run(appends, stopping, answer, &outbound) => {}
            // Nobody waits for the answers any more: what is under way is given up.
            () = outbound.closed() => {}
        }
    });
    ReceiverStream::new(answers)
}

async fn run<A, F>(
    mut appends: impl Stream<Item = Result<v1::NumberedAppend, Status>> + Unpin,
    mut stopping: watch::Receiver<bool>,
    answer: A,
    outbound: &Outbound,
) where
    A: Fn(v1::NumberedAppend) -> F,
    F: Future<Output = v1::NumberedAnswer> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(LANE_APPENDS_MAX));
    let mut under_way = JoinSet::new();
    let mut unreadable = None;
    while let Ok(place) = places.clone().acquire_owned().await {
        let next = tokio::select! {
            biased; // a node that stops takes nothing more, however much waits in the stream
            _ = stopping.wait_for(|stopping| *stopping) => None,
            next = appends.next() => next,
        };
        let message = match next {
            Some(Ok(message)) => message,
            Some(Err(status)) => {
                unreadable = Some(status);
                break;
            }
            None => break,
        };
        while under_way.try_join_next().is_some() {}
        // In a box: a task is moved several times, and this is most of what is in it.
        let (answered, outbound) = (Box::pin(answer(message)), outbound.clone());
        under_way.spawn(async move {
            // Fails when nobody waits any more.
            let _ = outbound.send(Ok(answered.await)).await;
            drop(place);
        });
    }
    while under_way.join_next().await.is_some() {}
    if let Some(status) = unreadable {
        let _ = outbound.send(Err(status)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::sync::Notify;
    use tokio::time::{sleep, timeout};
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::*;

    type Inbound = mpsc::UnboundedSender<Result<v1::NumberedAppend, Status>>;

    /// A stream whose appends are answered once `may_end` says so, one for each permit.
    struct Scene {
        inbound: Inbound,
        answers: LaneAnswers,
        stop: watch::Sender<bool>,
        under_way: Arc<AtomicUsize>,
        may_end: Arc<Semaphore>,
        given_up: Arc<Notify>,
    }

    /// Tells that an append was given up before its answer.
    struct Given(Arc<Notify>, Arc<AtomicUsize>);

    impl Drop for Given {
        fn drop(&mut self) {
            self.1.fetch_sub(1, Ordering::SeqCst);
            self.0.notify_one();
        }
    }

    fn scene() -> Scene {
        let (inbound, appends) = mpsc::unbounded_channel();
        let (stop, stopping) = watch::channel(false);
        let under_way = Arc::new(AtomicUsize::new(0));
        let (may_end, given_up) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
        let (counted, ends, gives_up) = (under_way.clone(), may_end.clone(), given_up.clone());
        let answers = answer_each(
            UnboundedReceiverStream::new(appends),
            stopping,
            move |message: v1::NumberedAppend| {
                counted.fetch_add(1, Ordering::SeqCst);
                let given = Given(gives_up.clone(), counted.clone());
                let ends = ends.clone();
                async move {
                    ends.acquire().await.unwrap().forget();
                    drop(given);
                    numbered(message.number, Err(Status::not_found("")))
                }
            },
        );
        Scene {
            inbound,
            answers,
            stop,
            under_way,
            may_end,
            given_up,
        }
    }

    fn append(number: u64) -> Result<v1::NumberedAppend, Status> {
        let append = Some(v1::AppendRequest::default());
        Ok(v1::NumberedAppend { number, append })
    }

    async fn settled() {
        sleep(Duration::from_secs(1)).await; // of paused time: until nobody can go on
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_taken_at_a_time_and_the_next_when_one_is_answered() {
        let mut scene = scene();
        let more = LANE_APPENDS_MAX + 6;
        (0..more as u64).for_each(|number| scene.inbound.send(append(number)).unwrap());
        settled().await;
        assert_eq!(scene.under_way.load(Ordering::SeqCst), LANE_APPENDS_MAX);
        scene.may_end.add_permits(more);
        drop(scene.inbound);
        let mut answered = Vec::new();
        while let Some(answer) = scene.answers.next().await {
            answered.push(answer.unwrap().number);
        }
        answered.sort_unstable();
        assert_eq!(answered, (0..more as u64).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_stops_takes_no_more_and_answers_what_is_under_way() {
        let mut scene = scene();
        scene.inbound.send(append(1)).unwrap();
        settled().await;
        scene.stop.send_replace(true);
        (2..40).for_each(|number| scene.inbound.send(append(number)).unwrap());
        scene.may_end.add_permits(40);
        assert_eq!(scene.answers.next().await.unwrap().unwrap().number, 1);
        assert!(scene.answers.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_any_more_is_given_up() {
        let scene = scene();
        scene.inbound.send(append(1)).unwrap();
        settled().await;
        drop(scene.answers);
        let given_up = timeout(Duration::from_secs(60), scene.given_up.notified());
        given_up.await.unwrap();
        assert_eq!(scene.under_way.load(Ordering::SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_ends_the_stream_after_what_is_under_way() {
        let mut scene = scene();
        scene.inbound.send(append(1)).unwrap();
        scene.inbound.send(Err(Status::internal("broken"))).unwrap();
        settled().await;
        scene.may_end.add_permits(1);
        assert_eq!(scene.answers.next().await.unwrap().unwrap().number, 1);
        let told = scene.answers.next().await.unwrap().unwrap_err();
        assert_eq!(told.code(), Code::Internal);
        assert!(scene.answers.next().await.is_none());
    }
}
