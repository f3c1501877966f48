//! Tidying with a real mirror.

use std::time::{Duration, SystemTime};

use super::*;
use crate::adapters::git::{Tidied, tidy};

/// Enough commits that each way of counting finds too much.
const MANY: usize = 700;

/// A mirror with many loose objects, all of them old; the branch `gone` is forgotten, `kept` has another ref.
async fn untidy() -> (World, CommitSha, CommitSha) {
    let world = World::new().await;
    for branch in ["kept", "gone"] {
        world.run(&["checkout", "-q", "-b", branch, "main"]).await;
        world.commit("only", branch).await;
    }
    world.run(&["checkout", "-q", "main"]).await;
    let (kept, gone) = (world.tip("kept").await, world.tip("gone").await);
    world.tip("main").await;
    let repository = mirror::open(&mirror::path(&mirrors(&world), &world.remote.repo)).unwrap();
    let id = git2::Oid::from_str(kept.as_str()).unwrap();
    repository.reference("refs/drey/archives/kept-1", id, false, "archived").unwrap();
    for branch in ["kept", "gone"] {
        world.git.forget(&world.remote.repo, &BranchName::parse(branch).unwrap()).await.unwrap();
    }
    for number in 0..MANY {
        let blob = repository.blob(format!("blob {number}").as_bytes()).unwrap();
        if number < 4 {
            repository.reference(&format!("refs/test/{number}"), blob, false, "kept").unwrap();
        }
    }
    let mut folders = vec![mirror::path(&mirrors(&world), &world.remote.repo).join("objects")];
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                fs::File::open(entry.path()).unwrap().set_modified(long_ago).unwrap();
            }
        }
    }
    (world, kept, gone)
}

fn mirrors(world: &World) -> PathBuf {
    world.folder.path().join("mirrors")
}

fn files(world: &World) -> usize {
    let objects = mirror::path(&mirrors(world), &world.remote.repo).join("objects");
    let folders = fs::read_dir(objects).unwrap().flatten();
    folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap()).count()
}

/// So many loose objects that the counted folder surely has too many.
fn overfill(world: &World) {
    let folder = mirror::path(&mirrors(world), &world.remote.repo).join("objects/17");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..20 {
        fs::write(folder.join(format!("tmp_obj_{number}")), "").unwrap();
    }
}

#[tokio::test]
async fn a_tidied_mirror_has_few_files_and_all_that_a_ref_leads_to() {
    let (world, kept, gone) = untidy().await;
    let repo = world.remote.repo.clone();
    overfill(&world);
    assert!(files(&world) > MANY);
    assert_eq!(world.git.tidy(&repo).await.unwrap(), Tidied::Done);
    assert!(files(&world) < 60, "{} files", files(&world));
    assert_eq!(world.git.tidy(&repo).await.unwrap(), Tidied::NotNow, "once a day");

    let repository = mirror::open(&mirror::path(&mirrors(&world), &repo)).unwrap();
    assert!(mirror::commit(&repository, &kept).is_ok(), "an archive's ref keeps its commit");
    assert!(mirror::commit(&repository, &gone).is_err(), "what was over for long is gone");
    let main = world.tip("main").await;
    assert!(world.write(&main, LIMITS).await.is_ok());
    world.commit("more", "1").await;
    assert_eq!(world.tip("main").await.as_str(), world.run(&["rev-parse", "main"]).await);
}

#[tokio::test]
async fn a_mirror_that_is_tidy_or_not_there_is_left_alone() {
    let world = World::new().await;
    assert_eq!(world.git.tidy(&world.remote.repo).await.unwrap(), Tidied::NotNow);
    world.tip("main").await;
    let before = files(&world);
    assert_eq!(world.git.tidy(&world.remote.repo).await.unwrap(), Tidied::NotNow);
    assert_eq!(files(&world), before);
}

#[tokio::test]
async fn tidying_gives_way_to_a_fetch_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new().await;
    world.tip("main").await;
    // Stands for the jail: git takes its time when it tidies, and leaves its traces.
    let drey = folder.path().join("drey");
    let mirror = mirror::path(&mirrors(&world), &world.remote.repo);
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *' gc '*) ;; *) while [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\" ;; esac\n\
         touch '{0}/packed-refs.lock' '{0}/objects/pack/.tmp-1-pack-x.pack' '{0}/begun'\nexec sleep 60\n",
        mirror.display()
    );
    fs::write(&drey, script).unwrap();
    fs::set_permissions(&drey, Permissions::from_mode(0o755)).unwrap();
    let slow = GitAdapter::new(GitSettings { drey: Some(drey), ..(*world.git.settings).clone() });
    overfill(&world);
    let fetch = async {
        while !mirror.join("begun").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let began = std::time::Instant::now();
        let tip = slow.fetch(&world.remote, &BranchName::parse("main").unwrap()).await.unwrap();
        (tip, began.elapsed())
    };
    let (tidied, (tip, took)) = tokio::join!(slow.tidy(&world.remote.repo), fetch);
    assert_eq!(tidied.unwrap(), Tidied::GaveWay);
    assert!(tip.is_some() && took < Duration::from_secs(5), "{took:?}");
    assert!(!mirror.join("packed-refs.lock").exists());
    assert!(!mirror.join("objects/pack/.tmp-1-pack-x.pack").exists());
    assert!(slow.turn_of(&world.remote.repo).is_due(tidy::EVERY), "the next round tries again");
}
