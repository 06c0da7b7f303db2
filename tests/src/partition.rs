//! Wires between the nodes of a federation that can be cut, each pair and each direction alone.
//!
//! A wire lies in front of each member's node, where the roster says that it is, and passes on
//! what comes. It learns from the system which process has dialled it, and so needs no rights and
//! nothing of the node. While a direction is cut what goes that way stays on the wire and arrives
//! when it heals, or never if somebody has lost patience by then: as with TCP, where what is lost
//! is sent again. What a test says to a node is never cut.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use proto::ids::MemberName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::nodes::{Nodes, names};

/// How much is passed on at once.
const PIECE_BYTES: usize = 16 * 1024;

/// From whose node to whose.
type Way = (MemberName, MemberName);

/// What a member that is cut off from all others still has of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// It hears them, and is not heard.
    Hearing,
    /// It is heard, and does not hear.
    BeingHeard,
}

/// Who is behind a connection, as the system says.
#[derive(Debug)]
struct Diallers {
    /// The folders of the nodes, which their processes were given.
    folders: BTreeMap<PathBuf, MemberName>,
    /// What is known of the processes that run.
    processes: Mutex<BTreeMap<PathBuf, MemberName>>,
}

/// The wires of one federation. They last as long as the runtime.
#[derive(Debug, Clone)]
pub struct Wires {
    members: Vec<MemberName>,
    cut: Arc<watch::Sender<BTreeSet<Way>>>,
}

impl Wires {
    /// Founds a federation of so many nodes, none of which runs yet, with a wire in front of each.
    ///
    /// # Panics
    /// When anything of it fails.
    pub async fn found(dir: &Path, count: u16, threshold: u16) -> (Self, Nodes) {
        let members = names(count);
        let mut listeners = BTreeMap::new();
        for member in &members {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listeners.insert(member.clone(), listener);
        }
        let address = |listener: &TcpListener| listener.local_addr().unwrap();
        let in_front = listeners
            .iter()
            .map(|(name, it)| (name.clone(), address(it)));
        let nodes = Nodes::found(dir, count, threshold, &in_front.collect());
        let folders = members
            .iter()
            .map(|it| (nodes.folder(it.as_str()), it.clone()));
        let diallers = Arc::new(Diallers {
            folders: folders.collect(),
            processes: Mutex::default(),
        });
        let wires = Self {
            members,
            cut: Arc::new(watch::Sender::new(BTreeSet::new())),
        };
        for (member, listener) in listeners {
            let node = nodes.listens[&member];
            tokio::spawn(wires.clone().lead(listener, member, node, diallers.clone()));
        }
        (wires, nodes)
    }

    async fn lead(
        self,
        listener: TcpListener,
        to: MemberName,
        node: SocketAddr,
        diallers: Arc<Diallers>,
    ) {
        let front = listener.local_addr().unwrap();
        while let Ok((near, dialler)) = listener.accept().await {
            let (wires, to, diallers) = (self.clone(), to.clone(), diallers.clone());
            tokio::spawn(async move {
                let who = spawn_blocking(move || diallers.who(dialler, front));
                let (Ok(from), Ok(far)) = (who.await, TcpStream::connect(node).await) else {
                    return;
                };
                for end in [&near, &far] {
                    end.set_nodelay(true).unwrap();
                }
                let there = from.clone().map(|from| (from, to.clone()));
                let back = from.map(|from| (to, from));
                let (from_near, to_near) = near.into_split();
                let (from_far, to_far) = far.into_split();
                tokio::spawn(wires.clone().pass(there, from_near, to_far));
                tokio::spawn(wires.pass(back, from_far, to_near));
            });
        }
    }

    /// Passes on until an end closes. What is cut waits, the close too.
    async fn pass(self, way: Option<Way>, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut cut = self.cut.subscribe();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let length = from.read(&mut piece).await.unwrap_or(0);
            if let Some(way) = &way {
                cut.wait_for(|cut| !cut.contains(way)).await.unwrap();
            }
            if length == 0 || to.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    }

    /// Cuts one member's node off from all others, beside what is cut already.
    pub fn isolate(&self, member: &MemberName, left: Left) {
        let others = self.members.iter().filter(|it| *it != member);
        let ways = others.flat_map(|other| {
            let out = (member.clone(), other.clone());
            let back = (other.clone(), member.clone());
            match left {
                Left::Nothing => vec![out, back],
                Left::Hearing => vec![out],
                Left::BeingHeard => vec![back],
            }
        });
        self.cut.send_modify(|cut| cut.extend(ways));
    }

    /// Cuts these members' nodes off from all others, and leaves them each other.
    pub fn split(&self, side: &[MemberName]) {
        let is_here = |member: &&MemberName| side.contains(member);
        let ways = side.iter().flat_map(|member| {
            let others = self.members.iter().filter(|it| !is_here(it));
            others.flat_map(|it| [(member.clone(), it.clone()), (it.clone(), member.clone())])
        });
        self.cut.send_modify(|cut| cut.extend(ways));
    }

    /// Nothing is cut any more.
    pub fn heal(&self) {
        self.cut.send_replace(BTreeSet::new());
    }
}

impl Diallers {
    /// The member whose node holds the other end of a connection; `None` when it is no node's.
    /// Nodes dial often while they are cut off, so what is known of processes is looked at first.
    fn who(&self, from: SocketAddr, to: SocketAddr) -> Option<MemberName> {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let socket = format!("socket:[{}]", inode(&table, from, to)?);
        let holder = |known: &BTreeMap<PathBuf, MemberName>| {
            let mut known = known.iter();
            let holder = known.find(|(process, _)| holds(process, &socket));
            holder.map(|(_, member)| member.clone())
        };
        let known = self.processes.lock().unwrap().clone();
        if let Some(member) = holder(&known) {
            return Some(member);
        }
        if holds(Path::new("/proc/self"), &socket) {
            return None;
        }
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let nodes = processes.filter_map(|it| {
            let member = self.folders.get(&folder(&it.path())?)?;
            Some((it.path(), member.clone()))
        });
        let nodes: BTreeMap<_, _> = nodes.collect();
        self.processes.lock().unwrap().clone_from(&nodes);
        holder(&nodes)
    }
}

/// The number of the socket at `from` that is connected to `to`, in the table of the system.
fn inode(table: &str, from: SocketAddr, to: SocketAddr) -> Option<&str> {
    let ends = format!(" {} {} ", address(from)?, address(to)?);
    let row = table.lines().find(|row| row.contains(&ends))?;
    row.split_whitespace().nth(9)
}

/// An address as the table has it: the bytes in the order of the machine, then the port.
fn address(of: SocketAddr) -> Option<String> {
    let SocketAddr::V4(of) = of else { return None };
    let ip = u32::from_ne_bytes(of.ip().octets());
    Some(format!("{ip:08X}:{:04X}", of.port()))
}

/// The folder that a process was given, if it was given one.
fn folder(process: &Path) -> Option<PathBuf> {
    let command = fs::read(process.join("cmdline")).ok()?;
    let mut words = command.split(|byte| *byte == 0);
    words.find(|word| *word == b"--dir")?;
    let folder = String::from_utf8(words.next()?.to_vec()).ok()?;
    Some(PathBuf::from(folder))
}

fn holds(process: &Path, socket: &str) -> bool {
    let Ok(open) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    let mut links = open
        .flatten()
        .filter_map(|it| fs::read_link(it.path()).ok());
    links.any(|link| link.as_os_str() == socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_both_its_ends() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_far, _) = listener.accept().unwrap();
        let (from, to) = (near.local_addr().unwrap(), near.peer_addr().unwrap());
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let here = inode(&table, from, to).unwrap();
        assert!(holds(Path::new("/proc/self"), &format!("socket:[{here}]")));
        let there = inode(&table, to, from).unwrap();
        assert_ne!(here, there);
        assert!(inode(&table, from, from).is_none());
    }
}
