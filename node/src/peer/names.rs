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
    LazyLock::new(|| Names::new(PATIENCE, |name| Ok(name.to_socket_addrs()?.collect())));

/// Connects to a host, or to an address, and a port.
///
/// # Errors
/// What the system says. It takes as long as that takes: who calls has a deadline.
pub(crate) async fn dial(address: &str) -> io::Result<TcpStream> {
    let tcp = match address.parse::<SocketAddr>() {
        Ok(address) => TcpStream::connect(address).await?,
        Err(_) => TcpStream::connect(&NAMES.addresses(address).await?[..]).await?,
    };
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Every name that was asked for; those of rosters, so they are few.
struct Names {
    patience: Duration,
    look_up: Arc<LookUp>,
    known: Mutex<BTreeMap<String, watch::Sender<Known>>>,
}

/// What is known of a name.
#[derive(Debug, Default)]
struct Known {
    /// Where it led when that was last found out.
    addresses: Vec<SocketAddr>,
    /// Whether a lookup is under way.
    is_looking: bool,
    /// How the last lookup failed, if it did.
    failed: Option<io::ErrorKind>,
}

impl Names {
    fn new(
        patience: Duration,
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            patience,
            look_up: Arc::new(look_up),
            known: Mutex::default(),
        }
    }

    /// Where a name leads; where it led, if that is not found out in a moment.
    async fn addresses(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let mut known = self.looked_up(name)?;
        let patience = match known.borrow().addresses.is_empty() {
            true => Duration::MAX,
            false => self.patience,
        };
        drop(timeout(patience, known.wait_for(|known| !known.is_looking)).await);
        let known = known.borrow();
        match known.addresses.is_empty() {
            true => Err(known.failed.unwrap_or(io::ErrorKind::NotFound).into()),
            false => Ok(known.addresses.clone()),
        }
    }

    /// What is known of a name, whose lookup begins now if none is under way.
    fn looked_up(&self, name: &str) -> io::Result<watch::Receiver<Known>> {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(name.to_owned()).or_default();
        let receiver = known.subscribe();
        if !known.send_if_modified(|it| !mem::replace(&mut it.is_looking, true)) {
            return Ok(receiver);
        }
        let (look_up, sender, name) = (self.look_up.clone(), known.clone(), name.to_owned());
        let look_up = move || {
            let found = look_up(&name);
            sender.send_modify(|known| known.learn(found));
        };
        if let Err(error) = thread::Builder::new().name("lookup".into()).spawn(look_up) {
            known.send_modify(|known| known.is_looking = false);
            return Err(error);
        }
        Ok(receiver)
    }
}

impl Known {
    /// A lookup ended. One that found nothing leaves what was found before.
    fn learn(&mut self, found: io::Result<Vec<SocketAddr>>) {
        self.is_looking = false;
        self.failed = found.as_ref().err().map(io::Error::kind);
        if let Ok(addresses) = found
            && !addresses.is_empty()
        {
            self.addresses = addresses;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    type Answer = io::Result<Vec<SocketAddr>>;

    /// What takes longer hangs.
    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(10);

    /// Names whose lookups end when the test says how.
    fn names(patience: Duration) -> (Names, Sender<Answer>) {
        let (answer, answers) = channel();
        let answers = Mutex::new(answers);
        let look_up = move |_: &str| answers.lock().unwrap().recv().unwrap();
        (Names::new(patience, look_up), answer)
    }

    /// Where the one name of these tests leads.
    async fn found(names: &Names) -> Answer {
        timeout(LONG, names.addresses("alpha:1")).await.unwrap()
    }

    fn at(port: u16) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([127, 0, 0, 1], port))]
    }

    #[tokio::test]
    async fn a_name_leads_where_the_newest_lookup_says() {
        let (names, answer) = names(LONG);
        for port in [1, 2] {
            answer.send(Ok(at(port))).unwrap();
            assert_eq!(found(&names).await.unwrap(), at(port));
        }
    }

    #[tokio::test]
    async fn where_a_name_led_is_kept_while_the_resolver_is_silent() {
        let (names, answer) = names(SHORT);
        answer.send(Ok(at(1))).unwrap();
        assert_eq!(found(&names).await.unwrap(), at(1));
        for _ in 0..3 {
            assert_eq!(found(&names).await.unwrap(), at(1));
        }
        let threads = Arc::strong_count(&names.look_up) - 1;
        assert!(threads <= 2, "one at a time, and one that may just end");
        answer.send(Ok(at(2))).unwrap();
        let moved = async { while found(&names).await.unwrap() == at(1) {} };
        timeout(LONG, moved).await.unwrap();
    }

    #[tokio::test]
    async fn where_a_name_led_is_kept_when_a_lookup_finds_nothing() {
        let (names, answer) = names(LONG);
        let nothing = [Err(io::ErrorKind::TimedOut.into()), Ok(vec![])];
        for found_now in [Ok(at(1))].into_iter().chain(nothing) {
            answer.send(found_now).unwrap();
            assert_eq!(found(&names).await.unwrap(), at(1));
        }
    }

    #[tokio::test]
    async fn a_name_that_never_led_anywhere_is_an_error_and_is_looked_up_again() {
        let (names, answer) = names(LONG);
        answer.send(Err(io::ErrorKind::TimedOut.into())).unwrap();
        let failed = found(&names).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        answer.send(Ok(vec![])).unwrap();
        let nowhere = found(&names).await.unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
        answer.send(Ok(at(1))).unwrap();
        assert_eq!(found(&names).await.unwrap(), at(1));
    }

    #[tokio::test]
    async fn a_silent_name_holds_up_no_other() {
        let names = Names::new(LONG, |name: &str| match name {
            "alpha:1" => Ok(at(1)),
            _ => loop {
                thread::park();
            },
        });
        let silent = timeout(SHORT, names.addresses("cnam:1")).await;
        assert!(silent.is_err(), "it is still looked up");
        assert_eq!(found(&names).await.unwrap(), at(1));
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
