//! Many appends over one stream, as their caller sees it: each waits for the answer of its number.
//!
//! A call costs both ends about as much as the checks of its entry. So appends of one connection
//! that are under way together share a stream, their *lane*; a lone one is a call of its own. Here
//! is no socket and no task: whoever opens a lane carries its two ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures_channel::oneshot;
use tonic::{Code, Status, Streaming};

use super::v1;
use super::v1::numbered_answer::Answer;

/// Most appends of one stream that a node works on at a time; what comes beyond waits in the stream.
/// An insurer's import has as many on their way.
pub const LANE_APPENDS_MAX: usize = 64;

/// The appends of one connection. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Appends {
    under_way: Arc<AtomicUsize>,
    lane: Arc<Mutex<Option<Lane>>>,
}

impl Appends {
    /// An append gets under way, until the place is dropped.
    #[must_use]
    pub fn enter(&self) -> Place {
        let under_way = self.under_way.clone();
        let is_alone = under_way.fetch_add(1, Ordering::Relaxed) == 0;
        Place {
            under_way,
            is_alone,
        }
    }

    /// The lane that they share. If there is none that runs, `open` is given the two ends of a new
    /// one: what is to be sent, and where the answers go.
    pub fn lane(&self, open: impl FnOnce(UnboundedReceiver<v1::NumberedAppend>, Answers)) -> Lane {
        let mut lane = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = lane.as_ref().filter(|it| !it.has_ended()) {
            return running.clone();
        }
        let (requests, outbound) = mpsc::unbounded();
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        open(outbound, Answers(waiting.clone()));
        lane.insert(Lane { requests, waiting }).clone()
    }
}

/// An append that is under way.
#[derive(Debug)]
pub struct Place {
    under_way: Arc<AtomicUsize>,
    is_alone: bool,
}

impl Place {
    /// Whether no other append of the connection was under way when this one came.
    #[must_use]
    pub const fn is_alone(&self) -> bool {
        self.is_alone
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

type Answered = Result<v1::AppendResponse, Status>;

/// Who waits on a lane, by number; and why it has ended, if it has.
#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    answers: HashMap<u64, oneshot::Sender<Answered>>,
    ended: Option<Status>,
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream that appends share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Lane {
    requests: UnboundedSender<v1::NumberedAppend>,
    waiting: Arc<Mutex<Waiting>>,
}

impl Lane {
    /// Sends an append and waits for its answer.
    ///
    /// # Errors
    /// The status that a call of its own would have ended with, or with which the stream ended.
    pub async fn append(&self, append: v1::AppendRequest) -> Answered {
        let (number, answered) = self.register()?;
        let waits = Waits { lane: self, number };
        let sent = self.requests.unbounded_send(v1::NumberedAppend {
            number,
            append: Some(append),
        });
        let answer = match sent {
            Ok(()) => answered.await.unwrap_or_else(|_| Err(broken_off())),
            Err(_) => Err(broken_off()),
        };
        drop(waits);
        answer
    }

    fn register(&self) -> Result<(u64, oneshot::Receiver<Answered>), Status> {
        let (answer, answered) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        if let Some(ended) = &waiting.ended {
            return Err(ended.clone());
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.answers.insert(number, answer);
        Ok((number, answered))
    }

    fn has_ended(&self) -> bool {
        lock(&self.waiting).ended.is_some()
    }
}

/// A caller that waits; one that gives up waits no more.
struct Waits<'a> {
    lane: &'a Lane,
    number: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        lock(&self.lane.waiting).answers.remove(&self.number);
    }
}

/// Where the answers of a lane go. Dropped, it ends the lane.
#[derive(Debug)]
pub struct Answers(Arc<Mutex<Waiting>>);

impl Answers {
    /// Hands out the answers of a stream until it ends; then the lane has ended too, and whoever
    /// still waits asks again.
    pub async fn hand_out(self, mut answers: Streaming<v1::NumberedAnswer>) {
        while let Ok(Some(answer)) = answers.message().await {
            self.hand_over(answer);
        }
    }

    /// Ends the lane before it began, with what the stream was refused for.
    pub fn refuse(self, status: &Status) {
        self.end(status);
    }

    fn hand_over(&self, answer: v1::NumberedAnswer) {
        // Who gave up waiting needs no answer.
        if let Some(waits) = lock(&self.0).answers.remove(&answer.number) {
            let _ = waits.send(read(answer));
        }
    }

    fn end(&self, status: &Status) {
        let mut waiting = lock(&self.0);
        waiting.ended.get_or_insert_with(|| status.clone());
        for (_, waits) in waiting.answers.drain() {
            let _ = waits.send(Err(status.clone()));
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.end(&broken_off());
    }
}

/// What a caller is told whose stream ended before its answer: like a connection that was lost.
fn broken_off() -> Status {
    Status::unavailable("the stream ended before the answer")
}

fn read(answer: v1::NumberedAnswer) -> Answered {
    match answer.answer {
        Some(Answer::Append(append)) => Ok(append),
        Some(Answer::Failure(failure)) => Err(Status::with_details(
            Code::from_i32(failure.code),
            failure.message,
            failure.details.into(),
        )),
        None => Err(Status::internal("the answer is empty")),
    }
}

/// What became of the append with a number, as it goes back over the stream.
#[must_use]
pub fn numbered(number: u64, answered: Answered) -> v1::NumberedAnswer {
    let answer = match answered {
        Ok(append) => Answer::Append(append),
        Err(status) => Answer::Failure(v1::CallFailure {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: status.details().to_vec(),
        }),
    };
    v1::NumberedAnswer {
        number,
        answer: Some(answer),
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Where the other end of a lane is kept: what comes out of it, and where answers go.
    type End = (UnboundedReceiver<v1::NumberedAppend>, Answers);

    fn opened(appends: &Appends) -> (Lane, Option<End>) {
        let mut end = None;
        let lane = appends.lane(|outbound, answers| end = Some((outbound, answers)));
        (lane, end)
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn request(entry: u8) -> v1::AppendRequest {
        v1::AppendRequest {
            entry: vec![entry],
            payload: None,
        }
    }

    fn refused(code: Code) -> Answered {
        Err(Status::with_details(code, "why", vec![7].into()))
    }

    fn code(answered: Poll<Answered>) -> Option<Code> {
        match answered {
            Poll::Ready(Err(status)) => Some(status.code()),
            Poll::Ready(Ok(_)) => Some(Code::Ok),
            Poll::Pending => None,
        }
    }

    #[test]
    fn an_append_is_alone_until_another_is_under_way() {
        let appends = Appends::default();
        let first = appends.enter();
        let second = appends.clone().enter();
        assert!(first.is_alone() && !second.is_alone());
        drop((first, second));
        assert!(appends.enter().is_alone());
    }

    #[test]
    fn each_gets_the_answer_of_its_number_whatever_the_order() {
        let (lane, end) = opened(&Appends::default());
        let (mut outbound, answers) = end.unwrap();
        let mut first = pin!(lane.append(request(1)));
        let mut second = pin!(lane.append(request(2)));
        assert_eq!(code(poll(first.as_mut())), None);
        assert_eq!(code(poll(second.as_mut())), None);
        let sent = [(); 2].map(|()| outbound.try_recv().unwrap());
        assert_eq!(sent[1].append, Some(request(2)));
        assert_ne!(sent[0].number, sent[1].number);

        answers.hand_over(numbered(sent[1].number, refused(Code::NotFound)));
        answers.hand_over(numbered(99, refused(Code::Internal)));
        assert_eq!(code(poll(first.as_mut())), None);
        let Poll::Ready(Err(status)) = poll(second) else {
            unreachable!("it has its answer");
        };
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!((status.message(), status.details()), ("why", &[7][..]));
        answers.hand_over(numbered(sent[0].number, Ok(v1::AppendResponse::default())));
        assert_eq!(code(poll(first)), Some(Code::Ok));
    }

    #[test]
    fn who_gives_up_is_forgotten() {
        let (lane, end) = opened(&Appends::default());
        let (mut outbound, answers) = end.unwrap();
        {
            let mut given_up = pin!(lane.append(request(1)));
            assert_eq!(code(poll(given_up.as_mut())), None);
        }
        assert!(lock(&lane.waiting).answers.is_empty());
        answers.hand_over(numbered(
            outbound.try_recv().unwrap().number,
            refused(Code::Internal),
        ));
    }

    #[test]
    fn a_stream_that_ends_tells_all_who_wait_and_the_next_append_opens_another() {
        let appends = Appends::default();
        let (lane, end) = opened(&appends);
        let mut waits = pin!(lane.append(request(1)));
        assert_eq!(code(poll(waits.as_mut())), None);
        assert!(opened(&appends).1.is_none(), "it is shared while it runs");
        drop(end);
        assert_eq!(code(poll(waits)), Some(Code::Unavailable));
        let late = pin!(lane.append(request(2)));
        assert_eq!(code(poll(late)), Some(Code::Unavailable));
        assert!(opened(&appends).1.is_some());
    }

    #[test]
    fn a_stream_that_is_refused_tells_why() {
        let (lane, end) = opened(&Appends::default());
        let mut waits = pin!(lane.append(request(1)));
        assert_eq!(code(poll(waits.as_mut())), None);
        let status = Status::permission_denied("no");
        end.unwrap().1.refuse(&status);
        assert_eq!(code(poll(waits)), Some(Code::PermissionDenied));
    }
}
