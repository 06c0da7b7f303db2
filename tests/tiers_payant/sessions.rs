//! A till with a device key: enrolled by its federation, it works with session keys that it
//! renews by itself, until the device is revoked.

use std::fs;
use std::path::{Path, PathBuf};

use client::auditor::{Auditor, HttpSource};
use client::device::{expiry, renewed};
use client::profile::{Profile, Settings};
use client::system;
use proto::attestation::{Grant, GrantClass, SESSION_MS_MAX};
use proto::entry::Kind;
use proto::identity::Person;
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use tests::binary::vitrail;
use tests::federation::{accepted, fresh_key, grant};
use tests::process::write_secret;
use tests::workload::fresh_slots;
use tests::world::World;

/// The folder of a shop whose device the federation enrols with the command.
fn enrolled(world: &World, device: &SecretKey) -> PathBuf {
    let [shop, opticians] = ["shop", "opticians"].map(|name| world.folder.path().join(name));
    for (folder, name, key) in [
        (&shop, "device.pem", device),
        (&opticians, "key.pem", &world.federation.opticians),
    ] {
        fs::create_dir(folder).unwrap();
        fs::copy(
            world.federation.node_dir().join("roster.txt"),
            folder.join("roster.txt"),
        )
        .unwrap();
        write_secret(&folder.join(name), &key.to_pem().unwrap());
    }
    let until = system::now().day().plus(300).to_iso();
    let till = device.public().to_base64();
    let (code, answer) = run(
        world,
        &opticians,
        &[
            "grant",
            "--class",
            "device",
            "--till",
            &till,
            "--finess",
            "750000001",
            "--until",
            &until,
        ],
    );
    assert_eq!(code, Some(0), "{answer}");
    let profile = format!(
        "device_key = \"device.pem\"\ndevice_entry = {}\nroster = \"roster.txt\"\nstate = \"state\"\n",
        answer["index"]
    );
    fs::write(shop.join("vitrail.toml"), profile).unwrap();
    shop
}

fn run(world: &World, folder: &Path, arguments: &[&str]) -> (Option<i32>, serde_json::Value) {
    let output = vitrail()
        .current_dir(folder)
        .args(arguments)
        .args([
            "-o",
            "json",
            "--address",
            &format!("cnam={}", world.node.addresses.grpc),
        ])
        .output()
        .unwrap();
    (
        output.status.code(),
        serde_json::from_slice(&output.stdout).unwrap(),
    )
}

/// The key of the session that the shop works with now.
async fn session_key(
    world: &World,
    shop: &Path,
) -> Result<(SecretKey, PathBuf), client::device::DeviceError> {
    let mut settings = Settings::default();
    let address = world.node.addresses.grpc.to_string();
    settings.addresses.insert("cnam".to_owned(), address);
    let profile = Profile::load(Some(&shop.join("vitrail.toml")), settings).unwrap();
    let profile = renewed(profile).await?;
    Ok((
        profile.secret().unwrap(),
        profile.settings().key.clone().unwrap(),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_works_with_sessions_until_its_device_is_revoked() {
    let world = World::new(0).await;
    let device = fresh_key();
    let shop = enrolled(&world, &device);
    let (code, answer) = run(&world, &shop, &["session"]);
    assert_eq!(code, Some(0), "{answer}");
    let (first, path) = session_key(&world, &shop).await.unwrap();
    assert_eq!(
        answer["public_key"],
        first.public().to_base64(),
        "it is renewed once, not twice"
    );

    // A session claims and looks up; its device may do neither.
    let session = world.federation.session(&world.node, &first);
    let slots = fresh_slots(1);
    let claim = world.ground.claim(&first, &slots);
    let answer = session
        .home()
        .append(&claim.entry, Some((&claim.payload, &claim.salt)));
    let AppendAnswer::Accepted(claimed) = answer.await.unwrap() else {
        panic!("the claim was refused");
    };
    session.lookup(&slots, &[]).await.unwrap();
    let of_device = world.federation.session(&world.node, &device);
    assert!(of_device.lookup(&slots, &[]).await.is_err());
    let person = person();
    session.person_token(&person).await.unwrap();
    assert!(of_device.person_token(&person).await.is_err());

    // An hour before its end it is replaced by itself, and the next one releases what it claimed.
    let soon = system::now().get() + 3_600_000;
    fs::rename(&path, path.with_file_name(format!("session-{soon}.pem"))).unwrap();
    let (second, path) = session_key(&world, &shop).await.unwrap();
    assert!(second.public() != first.public());
    assert!(expiry(&path).unwrap().get() > system::now().get() + SESSION_MS_MAX - 600_000);
    let session = world.federation.session(&world.node, &second);
    let released = client::pos::release(&session, claimed.proved.index, &[])
        .await
        .unwrap();
    accepted(&released);

    // The quota is the device's, however many sessions it has had: 20 elements an hour.
    let mut spent = 1;
    while session.person_token(&person).await.is_ok() {
        spent += 1;
        assert!(spent <= 20, "two sessions have two quotas");
    }
    assert_eq!(spent, 20);

    let opticians = world
        .federation
        .session(&world.node, &world.federation.opticians);
    accepted(
        &client::federation::revoke(&opticians, device.public())
            .await
            .unwrap(),
    );
    assert!(session.lookup(&slots, &[]).await.is_err());
    fs::remove_file(&path).unwrap();
    assert!(session_key(&world, &shop).await.is_err());

    let grants = audited_grants(&world).await;
    assert_eq!(grants, 3, "the device and its two sessions");
}

fn person() -> Person {
    Person {
        nir: "295109912611193".parse().unwrap(),
        birth_date: "19951012".parse().unwrap(),
        birth_rank: "1".parse().unwrap(),
    }
}

/// Audits the whole log; gives how many grants it has.
async fn audited_grants(world: &World) -> u64 {
    let source = HttpSource::new(&format!("http://{}", world.node.addresses.http)).unwrap();
    let audit = Auditor::new(source, world.federation.roster.clone());
    let audit = audit.audit(&mut |_| {}).await.unwrap();
    audit.counts[&Kind::Grant]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_cannot_grant_itself_more_than_its_federation_gave() {
    let world = World::new(0).await;
    let [device, session] = [fresh_key(), fresh_key()];
    let opticians = world
        .federation
        .session(&world.node, &world.federation.opticians);
    let enrolment = Grant {
        class: GrantClass::Device,
        ..grant(&device)
    };
    accepted(
        &client::federation::grant(&opticians, enrolment)
            .await
            .unwrap(),
    );
    let of_device = world.federation.session(&world.node, &device);
    let good = Grant {
        expires_at: proto::ids::UnixMillis::new(system::now().get() + 3_600_000),
        class: GrantClass::Session {
            device: device.public(),
        },
        ..grant(&session)
    };
    for bad in [
        Grant {
            hourly_quota: good.hourly_quota + 1,
            ..good
        },
        Grant {
            class: GrantClass::Till,
            ..good
        },
        Grant {
            finess: "750000002".parse().unwrap(),
            ..good
        },
    ] {
        let refused = client::federation::grant(&of_device, bad).await.unwrap();
        assert!(matches!(refused, client::issue::Issued::Refused(_)));
    }
    accepted(&client::federation::grant(&of_device, good).await.unwrap());
}
