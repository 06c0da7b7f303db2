//! Whom a ledger that is behind asks for pages: one member after the other, and who has lied last.
//!
//! A page that is no good costs its reading and is not taken, so even a liar may be asked when
//! nobody else answers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use proto::ids::MemberName;

use crate::metrics::Lies;
use crate::peer::Peer;

/// Why no honest node sends a page: a closed list, each with its word in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageLie {
    /// It cannot be read, or its entries do not stand where they must.
    Form,
    /// It is of another ledger.
    OtherLedger,
    /// An entry or payload is not the one that was signed.
    Entry,
    /// An entry breaks a rule, and no quorum vouches for it.
    Rule,
    /// Its entries are not those of the log of its checkpoint.
    OtherLog,
    /// No quorum is shown to vouch for it.
    NotVouched,
}

impl PageLie {
    /// Each of them.
    pub const ALL: [Self; 6] = [
        Self::Form,
        Self::OtherLedger,
        Self::Entry,
        Self::Rule,
        Self::OtherLog,
        Self::NotVouched,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::OtherLedger => "other-ledger",
            Self::Entry => "entry",
            Self::Rule => "rule",
            Self::OtherLog => "other-log",
            Self::NotVouched => "not-vouched",
        }
    }
}

/// Members whose nodes have sent what no honest node sends, while this process runs. Clones are the
/// same list.
#[derive(Debug, Clone, Default)]
pub struct Liars {
    members: Arc<Mutex<BTreeSet<MemberName>>>,
    counted: Lies,
}

impl Liars {
    /// Nobody yet; what is found is counted there.
    #[must_use]
    pub fn new(counted: Lies) -> Self {
        let members = Arc::default();
        Self { members, counted }
    }

    fn has(&self, member: &MemberName) -> bool {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.contains(member)
    }

    fn add(&self, member: &MemberName, lie: PageLie) {
        self.counted.page_refused(lie);
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if members.insert(member.clone()) {
            tracing::error!(%member, "this member's node sends pages that cannot be: it is asked last");
        }
    }
}

/// The nodes that have pages, in the order in which they are asked.
#[derive(Debug)]
pub struct Sources {
    /// Those of liars come last.
    peers: Vec<Peer>,
    /// The place of the one that is asked now.
    at: usize,
    liars: Liars,
}

impl Sources {
    /// These nodes, in this order but for those of liars.
    #[must_use]
    pub fn new(peers: Vec<Peer>, liars: Liars) -> Self {
        let mut sources = Self {
            peers,
            at: 0,
            liars,
        };
        sources.sort();
        sources
    }

    /// The same nodes; whose pages are no good is counted there.
    #[must_use]
    pub fn counting(self, lies: Lies) -> Self {
        let liars = Liars::new(lies);
        Self { liars, ..self }
    }

    /// Other nodes, where it is still known who has lied.
    pub fn replace(&mut self, peers: Vec<Peer>) {
        *self = Self::new(peers, self.liars.clone());
    }

    /// The node that is asked now; `None` if there is none at all.
    #[must_use]
    pub fn current(&self) -> Option<&Peer> {
        self.peers.get(self.at)
    }

    /// Whether this member's node is one of them.
    #[must_use]
    pub fn has(&self, member: &MemberName) -> bool {
        self.peers.iter().any(|peer| peer.member() == member)
    }

    /// It gave what was asked for: it is asked again, and later the ones after it.
    pub fn answered(&mut self) {
        let lied = self.current().is_some_and(|it| self.liars.has(it.member()));
        if !lied && self.at > 0 {
            self.peers.rotate_left(self.at);
            self.at = 0;
            self.sort();
        }
    }

    /// It gave nothing: the next one is asked.
    pub fn failed(&mut self) {
        self.at = (self.at + 1) % self.peers.len().max(1);
    }

    /// It gave what no honest node gives: the next one is asked, and this one not until all others
    /// have failed.
    pub fn lied(&mut self, lie: PageLie) {
        if self.at >= self.peers.len() {
            return;
        }
        let liar = self.peers.remove(self.at);
        self.liars.add(liar.member(), lie);
        self.peers.push(liar);
        self.at %= self.peers.len();
    }

    fn sort(&mut self) {
        let liars = &self.liars;
        self.peers.sort_by_key(|peer| liars.has(peer.member()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::secret;

    fn sources(liars: &Liars) -> Sources {
        let open = |name: &str| {
            let address = "127.0.0.1:1".parse().unwrap();
            let (key, own) = (secret(name).public(), secret("amc"));
            Peer::open(name.parse().unwrap(), key, &address, &own).unwrap()
        };
        Sources::new(["a", "b", "c"].map(open).to_vec(), liars.clone())
    }

    fn asked(sources: &Sources) -> &str {
        sources.current().unwrap().member().as_str()
    }

    #[tokio::test]
    async fn who_fails_comes_after_the_others_and_who_answers_is_asked_again() {
        let mut sources = sources(&Liars::default());
        assert_eq!(asked(&sources), "a");
        sources.failed();
        assert_eq!(asked(&sources), "b");
        sources.answered();
        assert_eq!(asked(&sources), "b");
        sources.failed();
        sources.failed();
        assert_eq!(asked(&sources), "a");
        sources.failed();
        assert_eq!(asked(&sources), "b");
    }

    #[tokio::test]
    async fn who_lied_is_asked_when_all_others_have_failed_and_by_nobody_sooner() {
        let liars = Liars::default();
        let mut first = sources(&liars);
        first.lied(PageLie::Form);
        assert_eq!(asked(&first), "b");
        // Two honest ones that answer now and then: the liar is not asked again.
        for _ in 0..5 {
            first.failed();
            assert_ne!(asked(&first), "a");
            first.answered();
        }
        let mut later = sources(&liars);
        for name in ["b", "c", "a", "b"] {
            assert_eq!(asked(&later), name);
            later.failed();
        }
        // All have lied: they are asked in turn.
        let mut last = sources(&liars);
        for name in ["b", "c"] {
            assert_eq!(asked(&last), name);
            last.lied(PageLie::Form);
        }
        for name in ["a", "b", "c"] {
            assert_eq!(asked(&last), name);
            last.failed();
        }
    }
}
