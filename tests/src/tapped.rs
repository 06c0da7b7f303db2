//! A federation that is listened to everywhere: each wire of each node, what is sent before it is
//! encrypted, what nodes hand to each other, files, blocks of the disk, memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use client::connection::{Observer, Outbound};
use client::session::{Session, SessionParts};
use proto::certificate::SERVER_NAME;
use proto::checkpoint::SignedCheckpoint;
use proto::ids::MemberName;
use proto::signing::SecretKey;
use proto::wire::v1::FollowRequest;
use proto::wire::v1::replication_service_client::ReplicationServiceClient;
use tempfile::TempDir;
use tokio::task::block_in_place;
use tonic::Request;

use crate::binary::scratch_folder;
use crate::bytes::{Needles, read_file, read_memory};
use crate::disk::Disk;
use crate::nodes::Nodes;
use crate::planted::Word;
use crate::process::files;
use crate::raw::{Identity, channel};
use crate::wiretap::Wiretap;

/// The members, each with a node. The first one votes.
pub const NAMES: [&str; 4] = ["cnam", "alpha", "beta", "opticians"];
/// How many of them make a token.
const THRESHOLD: u16 = 2;
/// Entries of a bundle.
const BUNDLE: u64 = 256;
/// Longest answer of a node that is asked for the log.
const DEADLINE: Duration = Duration::from_secs(10);

/// A kind of place in which something may be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// What is sent to a node, before it is encrypted.
    Sent,
    /// The bytes on the wire to a node's gRPC port, from tills and from other nodes.
    Wire,
    /// The bytes on the wire to a node's plain pages.
    Pages,
    /// What a node hands to another member, after it was decrypted.
    HandedOver,
    /// The files of a node's folder, its log among them.
    Files,
    /// The memory of a node's process.
    Memory,
    /// Every block of the disk of all nodes, freed ones and the journal included.
    Blocks,
}

/// What was found where.
#[derive(Debug, Clone)]
pub struct Found {
    /// Whose; of blocks, nobody's in particular.
    pub member: &'static str,
    /// Where.
    pub place: Place,
    /// The words for what was found.
    pub words: BTreeSet<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}: {:?}", self.place, self.member, self.words)
    }
}

/// Keeps what leaves for each member, before it is encrypted.
#[derive(Debug, Default)]
struct Recorder(Mutex<BTreeMap<String, Vec<u8>>>);

impl Recorder {
    fn sent_to(&self, member: &str) -> Vec<u8> {
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.get(member).cloned().unwrap_or_default()
    }
}

impl Observer for Recorder {
    fn leaves(&self, outbound: &Outbound<'_>) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let member = sent.entry(outbound.member.to_string()).or_default();
        member.extend_from_slice(outbound.request);
    }
}

/// Where the nodes' folders lie.
#[derive(Debug)]
enum Ground {
    Disk(Disk),
    Folder(TempDir),
}

impl Ground {
    /// A disk of its own where one can be mounted.
    fn new() -> Self {
        match Disk::new("searching the blocks of a disk") {
            Some(disk) => {
                disk.mount();
                Self::Disk(disk)
            }
            None => Self::Folder(scratch_folder()),
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Disk(disk) => disk.mount_point(),
            Self::Folder(folder) => folder.path().to_owned(),
        }
    }
}

/// A federation of four nodes whose every wire is tapped.
#[derive(Debug)]
pub struct Tapped {
    /// The nodes. They end before their disk goes.
    pub nodes: Nodes,
    grpc: BTreeMap<&'static str, Wiretap>,
    pages: BTreeMap<&'static str, Wiretap>,
    recorder: Arc<Recorder>,
    ground: Ground,
}

impl Tapped {
    /// Founds and starts it. All of the roster's addresses are those of taps, so the nodes reach
    /// each other over them too.
    ///
    /// # Panics
    /// When anything of it fails.
    pub async fn new() -> Self {
        let ground = Ground::new();
        let (mut grpc, mut listeners) = (BTreeMap::new(), BTreeMap::new());
        for name in NAMES {
            let (tap, listener) = Wiretap::new().await;
            grpc.insert(name, tap);
            listeners.insert(name, listener);
        }
        let count = u16::try_from(NAMES.len()).unwrap();
        let in_front = grpc.iter().map(|(name, tap)| (member(name), tap.address));
        let mut nodes = Nodes::found(&ground.path(), count, THRESHOLD, &in_front.collect());
        for (name, listener) in listeners {
            grpc[name].lead_to(listener, nodes.listens[&member(name)]);
        }
        nodes.start_all(&[]);
        let mut pages = BTreeMap::new();
        for name in NAMES {
            let node = nodes.running.get_mut(&member(name)).unwrap();
            let tap = Wiretap::to(node.addresses.http).await;
            // Who reads its pages does so over the tap.
            node.addresses.http = tap.address;
            pages.insert(name, tap);
        }
        Self {
            nodes,
            grpc,
            pages,
            recorder: Arc::default(),
            ground,
        }
    }

    /// A session of this key's owner, at home at the node of this member, over the taps.
    ///
    /// # Panics
    /// When the key cannot be used.
    #[must_use]
    pub fn session(&self, home: &str, key: &SecretKey) -> Session {
        Session::open(SessionParts {
            roster: self.nodes.federation.roster.clone(),
            secret: key.clone(),
            home: Some(member(home)),
            addresses: BTreeMap::new(),
            observer: Some(self.recorder.clone()),
        })
        .unwrap()
        .only_home()
    }

    /// The tap in front of a node's gRPC port.
    #[must_use]
    pub fn wire(&self, name: &str) -> &Wiretap {
        &self.grpc[name]
    }

    /// Reads every page that a node serves, the whole log among them.
    ///
    /// # Panics
    /// When a page is not there.
    pub fn read_pages(&self, name: &str) {
        let node = self.nodes.node(name);
        let note = node.page("/checkpoint").unwrap();
        let size = SignedCheckpoint::parse(&note).unwrap();
        let size = size.claimed().size.get();
        for level in ["entries", "0"] {
            for full in 0..size / BUNDLE {
                node.page(&format!("/tile/{level}/{full:03}")).unwrap();
            }
            if let part @ 1.. = size % BUNDLE {
                let last = size / BUNDLE;
                let path = format!("/tile/{level}/{last:03}.p/{part}");
                node.page(&path).unwrap();
            }
        }
        let facts = ["/roster", "/metrics", "/livez", "/readyz?verbose"];
        let views = ["/etat", "/etat?lang=en", "/etat.json", "/etat.css", "/recu"];
        for path in facts.into_iter().chain(views) {
            node.page(path).unwrap();
        }
    }

    /// All that a node hands to a member that follows: entries, payloads, salts.
    async fn handed_over(&self, name: &str) -> Vec<u8> {
        let key = &self.nodes.keys[&member("beta")];
        let channel = channel(self.grpc[name].address, Identity::Key(key.clone()));
        let mut client = ReplicationServiceClient::new(channel);
        let (mut size, mut bytes) = (0, Vec::new());
        loop {
            let mut request = Request::new(FollowRequest {
                size,
                cosigned_at: 0,
            });
            request.set_timeout(DEADLINE);
            let page = client.follow(request).await.unwrap().into_inner();
            if page.entries.is_empty() {
                return bytes;
            }
            size += page.entries.len() as u64;
            for one in page.entries {
                let sealed = one.payload.unwrap_or_default();
                bytes.extend([one.entry, sealed.parts, sealed.salt].concat());
            }
        }
    }

    /// What of the wanted is found, place by place. Memory that may not be read is left out.
    ///
    /// # Panics
    /// When a node does not hand over what it has, or a place cannot be read.
    pub async fn search(&self, needles: &Needles) -> Vec<Found> {
        let mut handed_over = Vec::new();
        for name in NAMES {
            handed_over.push((name, self.handed_over(name).await));
        }
        block_in_place(|| {
            thread::scope(|scope| {
                let search =
                    |node: &(&'static str, Vec<u8>)| self.search_node(node.0, &node.1, needles);
                let nodes = handed_over.iter();
                let searches: Vec<_> = nodes
                    .map(|node| scope.spawn(move || search(node)))
                    .collect();
                let found = searches.into_iter().map(|search| search.join().unwrap());
                found.collect::<Vec<_>>().concat()
            })
        })
    }

    fn search_node(&self, name: &'static str, handed_over: &[u8], needles: &Needles) -> Vec<Found> {
        let of = |bytes: &[u8]| words(needles, bytes);
        let node = self.nodes.node(name);
        let mut on_disk = in_files(needles, &self.nodes.folder(name));
        on_disk.extend(of(&fs::read(node.log()).unwrap()));
        let mut in_memory = BTreeSet::new();
        let mut window = |bytes: &[u8]| in_memory.extend(of(bytes));
        let read = read_memory(node.pid(), needles.longest(), &mut window);
        if let Err(error) = &read {
            println!("skipped: a node's memory may not be read ({error})");
        }
        let places = [
            (Place::HandedOver, of(handed_over)),
            (Place::Sent, of(&self.recorder.sent_to(name))),
            (Place::Wire, of(&self.grpc[name].heard())),
            (Place::Pages, of(&self.pages[name].heard())),
            (Place::Files, on_disk),
        ];
        let memory = read.is_ok().then_some((Place::Memory, in_memory));
        let found = places.into_iter().chain(memory);
        found
            .map(|(place, words)| Found {
                member: name,
                place,
                words,
            })
            .collect()
    }

    /// Ends all nodes, and searches every block of their disk. `None` where they have none of
    /// their own.
    ///
    /// # Panics
    /// When the disk cannot be read.
    #[must_use]
    pub fn search_blocks(self, needles: &Needles) -> Option<Found> {
        drop(self.nodes);
        let Ground::Disk(disk) = self.ground else {
            return None;
        };
        disk.unmount();
        let mut found = BTreeSet::new();
        let mut window = |bytes: &[u8]| found.extend(words(needles, bytes));
        read_file(&disk.image(), needles.longest(), &mut window).unwrap();
        Some(Found {
            member: "all",
            place: Place::Blocks,
            words: found,
        })
    }
}

/// The words for what of the wanted is in these bytes.
fn words(needles: &Needles, bytes: &[u8]) -> BTreeSet<String> {
    let found = needles.found_in(bytes);
    found.into_iter().map(str::to_owned).collect()
}

/// The words for what of the wanted is in the files under a folder.
///
/// # Panics
/// When a file cannot be read.
#[must_use]
pub fn in_files(needles: &Needles, dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files(dir) {
        found.extend(words(needles, &fs::read(&file).unwrap()));
    }
    found
}

/// What every TLS connection begins with: the server's name, in clear. A search that finds it on a
/// wire does look there.
#[must_use]
pub fn hello(word: &str) -> Word {
    let length = u8::try_from(SERVER_NAME.len()).unwrap();
    let name = [&[0, 0, length], SERVER_NAME.as_bytes()].concat();
    (word.to_owned(), name)
}

fn member(name: &str) -> MemberName {
    name.parse().unwrap()
}
