//! Where the names of members' nodes lead, and where they led before: members that have met do not
//! lose each other because a resolver is silent, as it may be while a machine of the federation dies.
//!
//! A name is looked up for each connection. When that takes longer than a moment, or fails, the
//! connection is tried where the name led the last time; whether the right node is there is for TLS to
//! say. A lookup cannot be called off (`getaddrinfo` gives up after half a minute, or more), so each name
//! has one at a time, on a thread that the end of the process does not wait for.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a lookup may take where it is known where the name led: a third of what a vote may take.
const PATIENCE: Duration = Duration::from_millis(100);

/// One for the process, whose connections to a member's node are several.
static NAMES: LazyLock<Names> =
    LazyLock::new(|| Names::new(|address| Ok(address.to_socket_addrs()?.collect())));

/// Connects to a host, or to an address, and a port.
///
/// # Errors
/// What the system says. It takes as long as that takes: who calls has a deadline.
pub(crate) async fn dial(address: &str) -> io::Result<TcpStream> {
    let tcp = match address.parse::<SocketAddr>() {
        Ok(address) => TcpStream::connect(address).await?,
        Err(_) => TcpStream::connect(&NAMES.lead(address).await?[..]).await?,
    };
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Every name that was asked for; those of rosters, so they are few.
struct Names {
    look_up: Arc<LookUp>,
    known: Mutex<BTreeMap<String, watch::Sender<Known>>>,
}

/// What is known of a name.
#[derive(Debug, Default)]
struct Known {
    /// Where it led when that was last found out.
    leads: Vec<SocketAddr>,
    is_looked_up: bool,
    /// How the last lookup failed, if it did.
    failed: Option<io::ErrorKind>,
}

impl Names {
    fn new(look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self {
            look_up: Arc::new(look_up),
            known: Mutex::default(),
        }
    }

    /// Where a name leads; where it led, if that is not found out in a moment.
    async fn lead(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let mut known = self.looked_up(name)?;
        let is_new = known.borrow().leads.is_empty();
        let ended = known.wait_for(|known| !known.is_looked_up);
        match is_new {
            true => drop(ended.await),
            false => drop(timeout(PATIENCE, ended).await),
        }
        let known = known.borrow();
        match known.leads.is_empty() {
            true => Err(known.failed.unwrap_or(io::ErrorKind::NotFound).into()),
            false => Ok(known.leads.clone()),
        }
    }

    /// What is known of a name, whose lookup begins now if none is under way.
    fn looked_up(&self, name: &str) -> io::Result<watch::Receiver<Known>> {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(name.to_owned()).or_default();
        let receiver = known.subscribe();
        if !known.send_if_modified(|it| !mem::replace(&mut it.is_looked_up, true)) {
            return Ok(receiver);
        }
        let (look_up, sender, name) = (self.look_up.clone(), known.clone(), name.to_owned());
        let look_up = move || {
            let found = look_up(&name);
            sender.send_modify(|known| known.learn(found));
        };
        if let Err(error) = thread::Builder::new().name("name".into()).spawn(look_up) {
            known.send_modify(|known| known.is_looked_up = false);
            return Err(error);
        }
        Ok(receiver)
    }
}

impl Known {
    /// A lookup ended. One that found nothing leaves what was found before.
    fn learn(&mut self, found: io::Result<Vec<SocketAddr>>) {
        self.is_looked_up = false;
        self.failed = found.as_ref().err().map(io::Error::kind);
        if let Ok(leads) = found
            && !leads.is_empty()
        {
            self.leads = leads;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    type Answer = io::Result<Vec<SocketAddr>>;

    /// Names whose lookups end when the test says how, and each of which is told when it begins.
    fn names() -> (Names, Sender<Answer>, Receiver<String>) {
        let (answer, answers) = channel();
        let (begun, begins) = channel();
        let both = Mutex::new((answers, begun));
        let names = Names::new(move |name: &str| {
            let both = both.lock().unwrap();
            both.1.send(name.to_owned()).unwrap();
            both.0.recv().unwrap()
        });
        (names, answer, begins)
    }

    fn at(port: u16) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([127, 0, 0, 1], port))]
    }

    #[tokio::test]
    async fn a_name_leads_where_the_newest_lookup_says() {
        let (names, answer, _begins) = names();
        for port in [1, 2] {
            answer.send(Ok(at(port))).unwrap();
            assert_eq!(names.lead("alpha:1").await.unwrap(), at(port));
        }
    }

    #[tokio::test]
    async fn where_a_name_led_is_kept_while_the_resolver_is_silent_or_knows_nothing() {
        let (names, answer, begins) = names();
        answer.send(Ok(at(1))).unwrap();
        assert_eq!(names.lead("alpha:1").await.unwrap(), at(1));
        for _ in 0..3 {
            assert_eq!(names.lead("alpha:1").await.unwrap(), at(1));
        }
        assert_eq!(begins.try_iter().count(), 2, "one lookup at a time");

        answer.send(Err(io::ErrorKind::TimedOut.into())).unwrap();
        answer.send(Ok(vec![])).unwrap();
        for _ in 0..2 {
            assert_eq!(names.lead("alpha:1").await.unwrap(), at(1));
        }
        answer.send(Ok(at(2))).unwrap();
        let moved = async { while names.lead("alpha:1").await.unwrap() == at(1) {} };
        timeout(Duration::from_secs(10), moved).await.unwrap();
    }

    #[tokio::test]
    async fn a_name_that_never_led_anywhere_is_an_error_and_is_looked_up_again() {
        let (names, answer, _begins) = names();
        answer.send(Err(io::ErrorKind::TimedOut.into())).unwrap();
        let failed = names.lead("alpha:1").await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        answer.send(Ok(vec![])).unwrap();
        let nowhere = names.lead("alpha:1").await.unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
        answer.send(Ok(at(1))).unwrap();
        assert_eq!(names.lead("alpha:1").await.unwrap(), at(1));
    }

    #[tokio::test]
    async fn a_silent_name_holds_up_no_other() {
        let names = Names::new(|name: &str| match name {
            "alpha:1" => Ok(at(1)),
            _ => loop {
                thread::park();
            },
        });
        let names = Arc::new(names);
        let silent = tokio::spawn({
            let names = names.clone();
            async move { names.lead("cnam:1").await }
        });
        assert_eq!(names.lead("alpha:1").await.unwrap(), at(1));
        assert!(!silent.is_finished());
    }

    #[tokio::test]
    async fn names_and_addresses_are_dialled() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let tcp = dial(&format!("{host}:{port}")).await.unwrap();
            assert!(tcp.nodelay().unwrap(), "{host}");
        }
    }
}
