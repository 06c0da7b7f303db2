//! Four members with a vote: founded by one, with joint keys that all made together, each with a
//! node of its own. Every step is what an operator does, with the same commands.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::checkpoint::Checkpoint;
use proto::ids::MemberName;
use proto::roster::{Address, Roster, RosterParts, SignedRoster, Standing};
use proto::signing::SecretKey;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::DemoError;
use super::cast::{self, Cast};
use super::program::{Program, UNTIL_STDIN_ENDS};
use crate::ceremony;
use crate::config::{KEY_FILE, ROSTER_FILE};
use crate::init::{self, Founding};
use crate::join::{Joining, join};
use crate::peer::Peer;
use crate::protection::Sealing;
use crate::rebuild::Rebuilt;
use crate::secret_file;
use crate::server::Addresses;
use crate::status::{self, FederationStatus, Seat};

/// How many members make a token together: any two, so that tokens are made while others are away.
const THRESHOLD: &str = "2";
/// How often the nodes are asked how they are.
const POLL: Duration = Duration::from_millis(100);
/// How long a node may take to serve, and the federation to become what is waited for, on however
/// busy a machine.
const SETTLED_MAX: Duration = Duration::from_secs(60);
/// How long the nodes have for their orderly end, which they take in two seconds at most when
/// nobody calls them any more.
const END_MAX: Duration = Duration::from_secs(5);

/// One member's node.
struct House {
    dir: PathBuf,
    log: PathBuf,
    addresses: Addresses,
    program: Option<Program>,
}

/// The four members and their nodes, each a process of its own.
pub struct Federation {
    dir: PathBuf,
    houses: BTreeMap<&'static str, House>,
    /// The key of the founder, as whom the nodes are asked how they are.
    secret: SecretKey,
    founder: MemberName,
    roster: Roster,
    /// The hash of what was said in the key ceremony, in base64.
    transcript: String,
}

/// What `ceremony run` prints, as far as the demo reads it.
#[derive(Deserialize)]
struct Proposed {
    proposal: PathBuf,
    transcript_hash: String,
}

impl Federation {
    /// Founds the ledger, has everybody make the joint keys, starts the nodes and gives each a
    /// vote.
    pub async fn found(dir: &Path, cast: &mut Cast) -> Result<Self, DemoError> {
        let houses = build(dir)?;
        let founding = founding(cast, &houses)?;
        let house = &houses[cast::CNAM];
        let first = init::init(&house.dir, &founding)?.roster;
        let secret = secret_file::read(&house.dir.join(KEY_FILE))?;
        let secret = SecretKey::from_pem(&secret)?;
        cast.take_on(cast::CNAM, secret.clone());
        let mut federation = Self {
            dir: dir.to_owned(),
            houses,
            secret,
            founder: founding.name,
            roster: first,
            transcript: String::new(),
        };
        for name in cast::MEMBERS.into_iter().filter(|it| *it != cast::CNAM) {
            federation.set_up(name)?;
        }
        let dealt = federation.deal().await?;
        federation.start(cast::CNAM, false).await?;
        federation.put_in_force(&dealt).await?;
        // A node takes up the shares of a ceremony when it starts.
        federation.end(cast::CNAM).await?;
        federation.start(cast::CNAM, false).await?;
        for name in cast::MEMBERS.into_iter().filter(|it| *it != cast::CNAM) {
            federation.start(name, true).await?;
        }
        federation.all_seated().await?;
        let voting = with_votes(&federation.roster, &federation.founder, &federation.secret)?;
        federation.put_in_force(&voting).await?;
        federation.all_vote().await?;
        Ok(federation)
    }

    /// The roster in force.
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Where the roster in force lies, signed.
    pub fn roster_file(&self) -> PathBuf {
        self.dir.join(ROSTER_FILE)
    }

    /// The hash of what was said in the key ceremony, in base64.
    pub fn transcript(&self) -> &str {
        &self.transcript
    }

    /// Where each member's node is reached.
    pub fn addresses(&self) -> BTreeMap<&'static str, Addresses> {
        let houses = self.houses.iter();
        houses.map(|(name, it)| (*name, it.addresses)).collect()
    }

    /// The folder of a member that the first roster has as following, with its key.
    fn set_up(&self, name: &'static str) -> Result<(), DemoError> {
        let joining = Joining {
            name: name.parse()?,
            roster: self.houses[cast::CNAM].dir.join(ROSTER_FILE),
            key: cast::key_file(&self.dir, name),
            sealing: Sealing::default(),
            asking: None,
        };
        join(&self.houses[name].dir, &joining)?;
        Ok(())
    }

    /// All members make the joint keys together; gives the roster that comes out.
    async fn deal(&mut self) -> Result<SignedRoster, DemoError> {
        let everybody = cast::MEMBERS.map(|name| ["--participant", name]);
        let terms = [&["--threshold", THRESHOLD], everybody.as_flattened()].concat();
        let mut at_work = Vec::new();
        for name in cast::MEMBERS {
            at_work.push((name, self.take_part(name, &terms)?));
        }
        let mut proposed = None;
        for (name, program) in at_work {
            proposed = Some(self.report::<Proposed>(name, program).await?);
        }
        let Proposed {
            proposal,
            transcript_hash,
        } = proposed.ok_or(DemoError::Miscast)?;
        self.transcript = transcript_hash;
        Ok(SignedRoster::parse(&fs::read(proposal)?).map_err(Box::new)?)
    }

    fn take_part(&self, name: &'static str, terms: &[&str]) -> Result<Program, DemoError> {
        let words = ["ceremony", "run", "-o", "json"];
        self.command(name, &[words.as_slice(), terms].concat())
    }

    /// Puts a roster in force at the founder's node, and keeps it as the one to verify with.
    async fn put_in_force(&mut self, next: &SignedRoster) -> Result<(), DemoError> {
        let address: Address = self.houses[cast::CNAM].addresses.grpc.to_string().parse()?;
        let (name, secret) = (&self.founder, &self.secret);
        let published = ceremony::publish(next, &self.roster, name, secret, &address);
        published.await.map_err(Box::new)?;
        self.roster = next.verify_successor(&self.roster).map_err(Box::new)?;
        client::files::replace(&self.roster_file(), next.to_text().as_bytes())?;
        Ok(())
    }

    /// Starts a member's node and returns once it answers.
    pub async fn start(&mut self, name: &'static str, learns: bool) -> Result<(), DemoError> {
        let own = self.peer(name)?;
        let house = self.houses.get_mut(name).ok_or(DemoError::Miscast)?;
        let admin = house.addresses.admin.to_string();
        let mut words: Vec<&OsStr> = ["run", UNTIL_STDIN_ENDS, "--admin", &admin, "--dir"]
            .map(OsStr::new)
            .to_vec();
        words.push(house.dir.as_os_str());
        if learns {
            words.push("--learn".as_ref());
        }
        let program = house.program.insert(Program::node(&words, &house.log)?);
        let until = Instant::now() + SETTLED_MAX;
        while own.status().await.is_err() {
            if program.has_ended()? {
                let (member, log) = (name, house.log.clone());
                return Err(DemoError::Ended { member, log });
            }
            in_time("a node that serves", until, || name.to_owned())?;
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Ends a member's node as `kill -9` does: nothing is finished, nothing is flushed.
    pub fn kill(&mut self, name: &str) {
        if let Some(house) = self.houses.get_mut(name) {
            house.program = None;
        }
    }

    /// Ends a member's node in order.
    async fn end(&mut self, name: &str) -> Result<(), DemoError> {
        let house = self.houses.get_mut(name);
        if let Some(mut program) = house.and_then(|house| house.program.take()) {
            program.tell_to_end();
            program.ended().await?;
        }
        Ok(())
    }

    /// Ends all nodes in order; what takes too long is killed.
    pub async fn end_all(mut self) {
        let mut programs: Vec<_> = self.houses.values_mut().collect();
        let mut programs: Vec<_> = programs
            .iter_mut()
            .filter_map(|house| house.program.take())
            .collect();
        for program in &mut programs {
            program.tell_to_end();
        }
        let until = Instant::now() + END_MAX;
        for program in programs {
            // Dropped, and so killed, when it does not end.
            let _ = tokio::time::timeout_at(until, program.ended()).await;
        }
    }

    /// Kills a member's node and takes its whole folder from it: ledger, key and key share.
    pub fn wipe(&mut self, name: &'static str) -> Result<(), DemoError> {
        self.kill(name);
        fs::remove_dir_all(&self.houses[name].dir)?;
        Ok(())
    }

    /// Gives a wiped member its folder again: its key from where it keeps a second one, its key
    /// share from two others, the ledger from all. The others' nodes go on meanwhile.
    pub async fn rebuild(&self, name: &'static str) -> Result<Rebuilt, DemoError> {
        self.set_up(name)?;
        self.repair_share(name).await?;
        let program = self.command(name, &["rebuild", "-o", "json"])?;
        self.report(name, program).await
    }

    /// Two members that have a share help this one to its own. Their nodes hold their addresses, so
    /// the ceremony is held at others.
    async fn repair_share(&self, name: &'static str) -> Result<(), DemoError> {
        let helpers = cast::MEMBERS.into_iter().filter(|it| *it != name).take(2);
        let taking_part: Vec<_> = helpers.chain([name]).collect();
        let at = free_addresses::<3>()?.map(|address| address.to_string());
        let peers: Vec<_> = taking_part.iter().zip(&at).collect();
        let peers: Vec<_> = peers.iter().map(|(it, at)| format!("{it}={at}")).collect();
        let roster = self.roster_file();
        let roster = roster.to_string_lossy();
        let mut terms = vec!["--repair", name, "--in-force", &roster];
        for (other, peer) in taking_part.iter().zip(&peers) {
            terms.extend(["--participant", other, "--peer", peer]);
        }
        let mut at_work = Vec::new();
        for (member, own) in taking_part.into_iter().zip(&at) {
            let terms = [terms.as_slice(), &["--grpc", own]].concat();
            at_work.push((member, self.take_part(member, &terms)?));
        }
        for (member, program) in at_work {
            self.report::<Proposed>(member, program).await?;
        }
        Ok(())
    }

    /// Starts a command of a member's operator.
    fn command(&self, name: &'static str, words: &[&str]) -> Result<Program, DemoError> {
        let house = self.houses.get(name).ok_or(DemoError::Miscast)?;
        let mut words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        words.extend([UNTIL_STDIN_ENDS.as_ref(), OsStr::new("--dir")]);
        words.push(house.dir.as_os_str());
        Ok(Program::command(&words, &house.log)?)
    }

    /// What a command printed, once it has ended well.
    async fn report<T: DeserializeOwned>(
        &self,
        name: &'static str,
        program: Program,
    ) -> Result<T, DemoError> {
        let (status, printed) = program.ended().await?;
        if !status.success() {
            let (member, log) = (name, self.houses[name].log.clone());
            return Err(DemoError::Ended { member, log });
        }
        let unreadable = |_| DemoError::Unreadable { member: name };
        serde_json::from_slice(&printed).map_err(unreadable)
    }

    fn peer(&self, name: &str) -> Result<Peer, DemoError> {
        let house = self.houses.get(name).ok_or(DemoError::Miscast)?;
        let member = self.roster.member(&name.parse()?);
        let member = member.ok_or(DemoError::Miscast)?;
        let address = house.addresses.grpc.to_string().parse()?;
        let (name, key) = (member.name.clone(), member.public_key);
        Ok(Peer::open(name, key, &address, &self.secret)?)
    }

    /// How the federation is, as soon as it is as it should be.
    pub async fn settled(
        &self,
        what: &'static str,
        is_settled: impl Fn(&FederationStatus) -> bool,
    ) -> Result<FederationStatus, DemoError> {
        let address: Address = self.houses[cast::CNAM].addresses.grpc.to_string().parse()?;
        let until = Instant::now() + SETTLED_MAX;
        loop {
            let asked = status::ask(&self.founder, &address, &self.roster, &self.secret);
            let how = match asked.await {
                Ok(status) if is_settled(&status) => return Ok(status),
                Ok(status) => in_short(&status),
                Err(error) => error.to_string(),
            };
            in_time(what, until, || how)?;
            sleep(POLL).await;
        }
    }

    /// The member whose node leads, once every node that runs has the whole ledger.
    pub async fn leader(&self) -> Result<&'static str, DemoError> {
        let status = self.settled("a leader", is_level).await?;
        let leader = status.leader.as_deref();
        let mut members = cast::MEMBERS.into_iter();
        members
            .find(|name| Some(*name) == leader)
            .ok_or(DemoError::Miscast)
    }

    /// Every member's node votes and has the whole ledger. One that lost its disk votes in a new
    /// seat by then, and the one that it had before is gone.
    pub async fn all_vote(&self) -> Result<(), DemoError> {
        let (what, until) = ("four members that vote", Instant::now() + SETTLED_MAX);
        loop {
            let leader = self.settled(what, is_seated).await?.leader;
            let leader = self.peer(leader.as_deref().unwrap_or_default())?;
            let seats = leader.status().await.map_or(0, |status| status.seats.len());
            if seats == cast::MEMBERS.len() {
                return Ok(());
            }
            in_time(what, until, || format!("{seats} seats"))?;
            sleep(POLL).await;
        }
    }

    /// Every node knows all four seats: it follows the leader from before there are four votes, and
    /// so counts the votes that the leader was elected with.
    async fn all_seated(&self) -> Result<(), DemoError> {
        let until = Instant::now() + SETTLED_MAX;
        for name in cast::MEMBERS {
            let own = self.peer(name)?;
            loop {
                let seats = own.status().await.map_or(0, |status| status.seats.len());
                if seats == cast::MEMBERS.len() {
                    break;
                }
                let how = || format!("{name} knows {seats} of them");
                in_time("four seats in the ordering engine", until, how)?;
                sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// The newest state, which every member has cosigned and its node must show.
    pub async fn state_of_all(&self) -> Result<Checkpoint, DemoError> {
        let whole = self.settled("a state that everybody has cosigned", is_whole);
        whole.await?;
        let mut newest: Option<Checkpoint> = None;
        for name in cast::MEMBERS {
            let until = Instant::now() + SETTLED_MAX;
            let shown = loop {
                if let Ok(status) = self.peer(name)?.status().await {
                    break status.checkpoint.claimed().clone();
                }
                in_time("a node that answers", until, || name.to_owned())?;
                sleep(POLL).await;
            };
            if newest.as_ref().is_some_and(|newest| *newest != shown) {
                return Err(DemoError::OtherRoots { member: name });
            }
            newest = Some(shown);
        }
        newest.ok_or(DemoError::Miscast)
    }
}

/// Every member votes and has the whole ledger, and somebody leads.
fn is_seated(status: &FederationStatus) -> bool {
    let mut members = status.members.iter();
    members.all(|it| it.seat == Seat::Votes && it.behind == Some(0)) && status.leader.is_some()
}

/// The same, and every member has cosigned the newest state.
fn is_whole(status: &FederationStatus) -> bool {
    is_seated(status) && status.members.iter().all(|it| !it.missing)
}

/// Somebody leads, and every node that answers has the whole ledger.
pub fn is_level(status: &FederationStatus) -> bool {
    let mut answering = status.members.iter().filter_map(|it| it.behind);
    let leads = |leader: &str| {
        let mut members = status.members.iter();
        members.any(|it| it.name == leader && it.condition.is_some())
    };
    answering.all(|behind| behind == 0) && status.leader.as_deref().is_some_and(leads)
}

fn in_time(
    what: &'static str,
    until: Instant,
    how: impl FnOnce() -> String,
) -> Result<(), DemoError> {
    let within_s = SETTLED_MAX.as_secs();
    match Instant::now() < until {
        true => Ok(()),
        false => Err(DemoError::Unsettled {
            what,
            within_s,
            how: how(),
        }),
    }
}

/// How the federation is, for who must find out why it is not otherwise.
fn in_short(status: &FederationStatus) -> String {
    let leader = status.leader.as_deref().unwrap_or("nobody");
    let mut text = format!("{leader} leads at {}", status.size);
    for member in &status.members {
        let condition = member.condition.as_deref().unwrap_or("silent");
        let behind = member.behind.unwrap_or_default();
        let (name, seat, cosigned) = (&member.name, member.seat, member.cosigned);
        let cosigned = cosigned.unwrap_or_default();
        text.push_str(&format!(
            "; {name} {condition}, seat {seat:?}, {behind} behind, cosigned {cosigned}"
        ));
    }
    text
}

/// Where each node will lie and be reached.
fn build(dir: &Path) -> Result<BTreeMap<&'static str, House>, DemoError> {
    let logs = dir.join("logs");
    fs::create_dir_all(&logs)?;
    let free = free_addresses::<{ 3 * cast::MEMBERS.len() }>()?;
    let houses = cast::MEMBERS.into_iter().zip(free.as_chunks::<3>().0);
    let house = |(name, [grpc, http, admin]): (&'static str, &[SocketAddr; 3])| {
        let addresses = Addresses {
            grpc: *grpc,
            http: *http,
            admin: *admin,
        };
        let house = House {
            dir: dir.join(name),
            log: logs.join(format!("{name}.log")),
            addresses,
            program: None,
        };
        (name, house)
    };
    Ok(houses.map(house).collect())
}

/// Ports that are free now: the roster names them before a node listens.
fn free_addresses<const N: usize>() -> io::Result<[SocketAddr; N]> {
    let mut held = Vec::new();
    for _ in 0..N {
        held.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    }
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for (address, listener) in addresses.iter_mut().zip(&held) {
        *address = listener.local_addr()?;
    }
    Ok(addresses)
}

fn founding(cast: &Cast, houses: &BTreeMap<&'static str, House>) -> Result<Founding, DemoError> {
    let at = |name: &str| Some(houses.get(name)?.addresses);
    let Addresses { grpc, http, .. } = at(cast::CNAM).ok_or(DemoError::Miscast)?;
    Ok(Founding {
        origin: cast::ORIGIN.parse()?,
        name: cast::CNAM.parse()?,
        role: proto::roster::Role::Amo,
        payer: Some(cast::REGIME.parse()?),
        grpc: grpc.to_string().parse()?,
        http: http.to_string().parse()?,
        sealing: Sealing::default(),
        others: cast.following(at)?,
        incident_keys: cast.incident_keys()?,
    })
}

/// The next roster, in which every member votes, signed by the founder: the quorum of a roster in
/// which nobody else does.
fn with_votes(
    roster: &Roster,
    founder: &MemberName,
    secret: &SecretKey,
) -> Result<SignedRoster, DemoError> {
    let mut members = roster.members().to_vec();
    for member in &mut members {
        member.standing = Standing::Voting;
    }
    let next = Roster::new(RosterParts {
        origin: roster.origin().clone(),
        epoch: roster.epoch().next().unwrap_or_default(),
        previous: Some(roster.hash()),
        threshold: roster.threshold(),
        joint: *roster.joint(),
        ceremony: roster.ceremony(),
        members,
        shares: roster.shares().to_vec(),
        incident_keys: roster.incident_keys().to_vec(),
    })?;
    let line = next.sign(founder, secret);
    Ok(SignedRoster::new(next, vec![line])?)
}
