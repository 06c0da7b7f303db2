//! A full disk: writes stop with a clear state, and lookups with them, since they cannot be
//! recorded; other reads go on, and writes resume by themselves.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use client::connection::CallError;
use client::lookup::LookupError;
use proto::wire::AppendAnswer;
use proto::wire::v1::ledger_service_client::LedgerServiceClient;
use proto::wire::write;
use tests::binary::scratch_folder;
use tests::raw::{Identity, channel};
use tests::workload::fresh_slots;
use tests::world::World;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

/// Left free by the filler: below the node's watermark of 64 MiB, and not nothing.
const LEFT_BYTES: u64 = 24 * 1024 * 1024;

/// How soon writes must resume: the node looks every second.
const RESUME_MAX: Duration = Duration::from_secs(20);

/// A small disk in memory. Unmounted when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256m", "none"])
            .arg(at)
            .output();
        match mount {
            Ok(done) if done.status.success() => Some(Self(at.to_owned())),
            _ => None,
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

/// Fills the disk until less than the watermark is left.
fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("filler");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .unwrap();
    while file.write_all(&[1; 1 << 20]).is_ok() {}
    let length = file.metadata().unwrap().len();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(length - LEFT_BYTES)
        .unwrap();
    path
}

/// The code and reason of an append that is not taken; `None` when it is.
async fn append(world: &World) -> Option<(Code, String)> {
    let claim = world.ground.claim(&world.tills[0], &fresh_slots(1));
    let channel = channel(
        world.node.addresses.grpc,
        Identity::Key(world.tills[0].clone()),
    );
    let mut request = Request::new(write::append(
        &claim.entry,
        Some((&claim.payload, &claim.salt)),
    ));
    request.set_timeout(Duration::from_secs(10));
    let status = LedgerServiceClient::new(channel)
        .append(request)
        .await
        .err()?;
    let reason = status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default();
    Some((status.code(), reason))
}

fn is_not_recorded<T>(answer: &Result<T, LookupError>) -> bool {
    matches!(
        answer,
        Err(LookupError::Call(CallError::WritesStopped { .. }))
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_writes_stop_and_reads_go_on() {
    let folder = scratch_folder();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        println!("skipped: full disk (needs root, to mount a small one)");
        return;
    };
    let mut world = World::in_folder(folder, 1, &[]).await;
    let till = world.sessions().remove(0);
    let slots = fresh_slots(1);
    let claim = world.ground.claim(&world.tills[0], &slots);
    let payload = Some((&claim.payload, &claim.salt));
    let answer = till.home().append(&claim.entry, payload).await.unwrap();
    let AppendAnswer::Accepted(receipt) = answer else {
        panic!("the claim was refused");
    };
    let index = receipt.proved.index;

    let filler = fill(&disk.0);
    tokio::time::sleep(Duration::from_millis(300)).await; // the free space is measured anew
    let stopped = Some((Code::Unavailable, "WRITES_STOPPED".to_owned()));
    assert_eq!(append(&world).await, stopped);
    let (status, page) = world.node.ask("/readyz?verbose").unwrap();
    let page = String::from_utf8_lossy(&page).into_owned();
    assert!(
        status.contains(" 503 ") && page.contains("[-]"),
        "{status}\n{page}"
    );
    assert!(
        is_not_recorded(&till.lookup(&slots, &world.ground.coverage_keys).await),
        "a look that cannot be recorded is answered"
    );
    till.verified_entry(index).await.expect("reads go on");

    // A node that is started on a disk as full as this serves reads as well.
    world.node.kill();
    world.node = world.federation.start(&[]);
    let till = world.sessions().remove(0);
    assert_eq!(append(&world).await, stopped);
    assert!(is_not_recorded(&till.lookup(&slots, &[]).await));
    till.verified_entry(index)
        .await
        .expect("reads go on after a restart");

    fs::remove_file(filler).unwrap();
    let freed = Instant::now();
    while let Some(refused) = append(&world).await {
        assert_eq!(Some(refused), stopped);
        if freed.elapsed() > RESUME_MAX {
            let log = fs::read_to_string(world.node.log()).unwrap();
            panic!("writes do not resume; the node logged:\n{log}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(world.node.page("/readyz").is_ok());
    let found = till.lookup(&slots, &world.ground.coverage_keys).await;
    let found = found.expect("lookups go on with the writes");
    assert!(found.slots[0].is_some() && found.coverages.iter().all(Option::is_some));
}
