//! One simulation: hosts, network and time of a federation, driven step by step.

use std::cell::{Cell, RefCell};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use turmoil::Sim;

use super::faults::{FAULTS_UNTIL, Fault, Planned, plan};
use super::federation::{MEMBERS, PORT, address, config, write_folders};
use super::tills::{self, TILLS, World};
use super::watch::{Violation, Watch};
use super::{machine, network};
use crate::server::SimulatedNode;

/// How far time goes in a step, in which no host hears of another.
const STEP: Duration = Duration::from_millis(10);
/// How long a message takes, at least and at most.
const LATENCY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(12));
/// Segments of a connection that wait to be read. Beyond it the network drops the connection.
const SEGMENTS_MAX: usize = 4096;
/// How long a founding may take, and how long it goes on once all have votes.
const FOUNDING_MAX: Duration = Duration::from_secs(60);
const FOUNDING_REST: Duration = Duration::from_secs(1);
/// How long after the founding a run begins.
const LATER: Duration = Duration::from_secs(3600);
/// How long a federation may take to come to rest after the last fault: lines that lost something
/// are noticed after ten seconds, and whoever was behind then catches up.
const REST_MAX: Duration = Duration::from_secs(40);

/// A simulation on its way.
struct Running {
    sim: Sim<'static>,
    world: Rc<World>,
    began: Duration,
    folders: PathBuf,
    is_up: [bool; MEMBERS.len()],
    /// Who crashes as soon as it has signed something.
    is_armed: [bool; MEMBERS.len()],
}

/// Founds the federation in a folder, and gives each member a vote.
///
/// # Errors
/// [`Violation`].
pub(super) fn found(ground: &Path) -> Result<String, Violation> {
    machine::begin(0);
    write_folders(ground);
    let mut running = Running::new(0, ground, Duration::ZERO);
    let world = running.world.clone();
    running.client(MEMBERS.len(), tills::lay(world));
    while (0..MEMBERS.len()).any(|place| running.watch(|it| it.votes(place)) < MEMBERS.len()) {
        running.step()?;
        if running.sim.elapsed() > FOUNDING_MAX {
            return Err(Violation::Unrest("not all have a vote".to_owned()));
        }
    }
    running.go_on(FOUNDING_REST)?;
    running
        .watch(|it| it.are_equal())
        .map_err(Violation::Unrest)?;
    Ok(running.trace())
}

/// Runs the plan of a seed over the folders of a founded federation; what happened.
///
/// # Errors
/// [`Violation`], and what happened until then.
pub(super) fn run(seed: u64, folders: &Path) -> (String, Result<(), Violation>) {
    machine::begin(seed);
    machine::set_elapsed(LATER);
    let mut running = Running::new(seed, folders, LATER);
    for place in 0..TILLS.len() {
        let till = tills::till(place, running.world.clone(), seed ^ (place as u64 + 1));
        running.client(MEMBERS.len() + place, till);
    }
    let ended = running.carry_out(&plan(seed)).and_then(|()| running.rest());
    (running.trace(), ended)
}

impl Running {
    fn new(seed: u64, folders: &Path, began: Duration) -> Self {
        let world = Rc::new(World {
            watch: RefCell::new(Watch::default()),
            is_healed: Cell::new(false),
        });
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .tick_duration(STEP)
            .simulation_duration(Duration::from_secs(3600))
            .min_message_latency(LATENCY.0)
            .max_message_latency(LATENCY.1)
            .tcp_capacity(SEGMENTS_MAX)
            .build();
        for place in 0..MEMBERS.len() {
            let (config, world) = (config(folders, place), world.clone());
            sim.host(address(place), move || {
                let (config, world) = (config.clone(), world.clone());
                async move {
                    let incoming = network::listen(PORT).await?;
                    let watch = &world.watch;
                    let told = |size| watch.borrow_mut().remembers(place, size);
                    let node = SimulatedNode::start(&config, incoming, told).await?;
                    let engine = node.engine.as_ref();
                    watch.borrow_mut().serves(place, &node.sequencer, engine);
                    std::future::pending().await
                }
            });
        }
        Self {
            sim,
            world,
            began,
            folders: folders.to_owned(),
            is_up: [true; MEMBERS.len()],
            is_armed: [false; MEMBERS.len()],
        }
    }

    fn client(&mut self, place: usize, client: impl Future<Output = turmoil::Result> + 'static) {
        self.sim.client(address(place), client);
    }

    fn watch<T>(&self, ask: impl FnOnce(&Watch) -> T) -> T {
        ask(&self.world.watch.borrow())
    }

    fn trace(&self) -> String {
        self.watch(|it| it.trace.text().to_owned())
    }

    /// One step, and a look at everything after it; whether all clients are done.
    fn step(&mut self) -> Result<bool, Violation> {
        machine::set_elapsed(self.began + self.sim.elapsed());
        let done = self
            .sim
            .step()
            .map_err(|error| Violation::Failed(error.to_string()))?;
        let mut watch = self.world.watch.borrow_mut();
        watch.now = self.sim.elapsed();
        watch.trace.network(self.sim.elapsed(), &self.sim);
        watch.look()?;
        drop(watch);
        // As whoever runs the node would do when it says so.
        for node in 0..MEMBERS.len() {
            if self.watch(|it| it.is_restored(node)) {
                self.crash(node);
                self.is_up[node] = true;
                self.sim.bounce(address(node));
            }
        }
        Ok(done)
    }

    fn go_on(&mut self, long: Duration) -> Result<(), Violation> {
        let until = self.sim.elapsed() + long;
        while self.sim.elapsed() < until {
            self.step()?;
        }
        Ok(())
    }

    fn tell(&self, what: std::fmt::Arguments<'_>) {
        let now = self.sim.elapsed();
        self.world.watch.borrow_mut().trace.tell(now, what);
    }

    /// The faults of a plan, each from its beginning to its end.
    fn carry_out(&mut self, plan: &[Planned]) -> Result<(), Violation> {
        let (mut begun, mut ending) = (plan.iter().peekable(), Vec::<&Planned>::new());
        while self.sim.elapsed() < FAULTS_UNTIL {
            let now = self.sim.elapsed();
            while let Some(next) = begun.next_if(|next| next.begins <= now) {
                self.begin(&next.fault);
                ending.push(next);
            }
            for ended in ending.extract_if(.., |it| it.ends <= now) {
                self.end(&ended.fault);
            }
            self.step()?;
            for node in 0..MEMBERS.len() {
                if self.is_armed[node] && self.watch(|it| it.has_signed_ahead(node)) {
                    self.is_armed[node] = false;
                    self.crash(node);
                }
            }
        }
        Ok(())
    }

    fn crash(&mut self, node: usize) {
        if std::mem::replace(&mut self.is_up[node], false) {
            self.world.watch.borrow_mut().crashed(node);
            self.sim.crash(address(node));
        }
    }

    fn begin(&mut self, fault: &Fault) {
        self.tell(format_args!("{fault:?}"));
        match *fault {
            Fault::Crash { node, is_cut_off } => {
                let others = (0..MEMBERS.len()).filter(|other| *other != node);
                // Nobody is told that the connections end, as by a power cut.
                let lines: Vec<_> = others.filter(|_| is_cut_off).collect();
                for other in &lines {
                    self.sim.partition(address(node), address(*other));
                }
                self.crash(node);
                for other in lines {
                    self.sim.repair(address(node), address(other));
                }
            }
            Fault::CrashSigned { node } => self.is_armed[node] = true,
            Fault::Wipe { node } => {
                self.crash(node);
                let data = self.folders.join(MEMBERS[node]).join("data");
                fs::remove_dir_all(&data).unwrap();
                fs::create_dir(&data).unwrap();
                self.world.watch.borrow_mut().wiped(node);
            }
            Fault::Held { node, others } => {
                for other in others.of(node) {
                    self.sim.hold(address(node), address(other));
                }
            }
            Fault::Lost { from, others } => {
                for other in others.of(from) {
                    self.sim.partition_oneway(address(from), address(other));
                }
            }
            Fault::Slow { node, others, by } => {
                for other in others.of(node) {
                    self.sim.set_link_latency(address(node), address(other), by);
                }
            }
        }
    }

    fn end(&mut self, fault: &Fault) {
        self.tell(format_args!("no longer {fault:?}"));
        match *fault {
            Fault::Crash { node, .. } | Fault::CrashSigned { node } | Fault::Wipe { node } => {
                self.is_armed[node] = false;
                if !std::mem::replace(&mut self.is_up[node], true) {
                    self.sim.bounce(address(node));
                }
            }
            Fault::Held { node, others } => {
                for other in others.of(node) {
                    self.sim.release(address(node), address(other));
                }
            }
            Fault::Lost { from, others } => {
                for other in others.of(from) {
                    self.sim.repair_oneway(address(from), address(other));
                }
            }
            Fault::Slow { node, others, .. } => {
                for other in others.of(node) {
                    self.usual_latency(node, other);
                }
            }
        }
    }

    fn usual_latency(&self, one: usize, other: usize) {
        let (one, other) = (address(one), address(other));
        self.sim.set_link_latency(one, other, LATENCY.0);
        self.sim.set_link_max_message_latency(one, other, LATENCY.1);
    }

    fn mend(&mut self) {
        self.tell(format_args!("everything is mended"));
        for one in 0..MEMBERS.len() {
            for other in 0..one {
                self.sim.release(address(one), address(other));
                self.sim.repair(address(one), address(other));
                self.usual_latency(one, other);
            }
            if !std::mem::replace(&mut self.is_up[one], true) {
                self.sim.bounce(address(one));
            }
        }
        self.world.is_healed.set(true);
    }

    /// Everything is mended; then all writes are answered, and all nodes have the same.
    fn rest(&mut self) -> Result<(), Violation> {
        self.mend();
        let until = self.sim.elapsed() + REST_MAX;
        loop {
            let is_answered = self.step()?;
            let equal = self.watch(Watch::are_equal);
            match equal {
                Ok(()) if is_answered => break,
                Err(who) if self.sim.elapsed() >= until => return Err(Violation::Unrest(who)),
                Ok(()) if self.sim.elapsed() >= until => {
                    return Err(Violation::Unrest("a till has no answer".to_owned()));
                }
                _ => {}
            }
        }
        for member in MEMBERS {
            for kept in ["refused", "evidence"] {
                if self.folders.join(member).join("data").join(kept).exists() {
                    return Err(Violation::Accused(member, kept));
                }
            }
        }
        let size = self.watch(Watch::size);
        self.tell(format_args!("all have the same {size} entries"));
        Ok(())
    }
}
