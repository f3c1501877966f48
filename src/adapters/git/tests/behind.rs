//! How far commits are behind a branch.

use super::*;
use crate::ports::Ancestry;

#[tokio::test]
async fn commits_of_the_target_that_the_branch_does_not_have_are_counted() {
    let world = World::new().await;
    let (repo, main) = (&world.remote.repo, BranchName::parse("main").unwrap());
    world.run(&["checkout", "-q", "-b", "work"]).await;
    world.commit("a", "1").await;
    let commit = world.tip("work").await;
    world.fetch("work").await.unwrap();
    assert_eq!(world.git.behind(repo, &commit, &main).await.unwrap(), None, "main was never fetched");
    world.fetch("main").await.unwrap();
    assert_eq!(world.git.behind(repo, &commit, &main).await.unwrap(), Some(0));
    world.run(&["checkout", "-q", "main"]).await;
    for number in ["1", "2", "3"] {
        world.commit("b", number).await;
    }
    world.fetch("main").await.unwrap();
    for _remembered in 0..2 {
        assert_eq!(world.git.behind(repo, &commit, &main).await.unwrap(), Some(3));
    }
}
