//! What nothing needs any more goes from the mirrors.

use std::collections::BTreeSet;

use super::*;
use crate::domain::time::Timestamp;

#[tokio::test]
async fn refs_of_other_branches_go_and_a_mirror_goes_as_a_whole() {
    let world = World::new().await;
    let repo = &world.remote.repo;
    let branch = |name: &str| BranchName::parse(name).unwrap();
    for name in ["one", "two", "three"] {
        world.run(&["branch", name, "main"]).await;
        world.tip(name).await;
    }
    world.tip("main").await;
    let needed = BTreeSet::from([branch("main"), branch("two"), branch("not there")]);
    assert_eq!(world.git.forget_others(repo, &needed).await.unwrap(), 2);
    assert_eq!(world.git.forget_others(repo, &needed).await.unwrap(), 0);
    let mirrors = world.folder.path().join("mirrors");
    let repository = mirror::open(&mirror::path(&mirrors, repo)).unwrap();
    assert!(mirror::tip(&repository, &branch("two")).is_ok());
    assert!(mirror::tip(&repository, &branch("one")).is_err());

    fs::create_dir(mirrors.join("no mirror")).unwrap();
    let found = world.git.mirrors().await.unwrap();
    assert_eq!(found.iter().map(|(repo, _)| repo).collect::<Vec<_>>(), [repo]);
    assert!(found[0].1 > Timestamp::from_millis(1_000_000_000_000), "used just now");
    for _ in 0..2 {
        world.git.remove_mirror(repo).await.unwrap();
    }
    assert!(world.git.mirrors().await.unwrap().is_empty());
    assert_eq!(world.git.forget_others(repo, &needed).await.unwrap(), 0);
    assert_eq!(
        world.fetch("two").await.unwrap(),
        Some(world.tip("main").await),
        "made anew when it is needed"
    );
}
