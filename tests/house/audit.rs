//! What runs is not as confined as it must be.

use drey::domain::environment::Phase;
use drey::domain::observed::Observed;
use drey::domain::route::Answer;

use crate::harness::{document, eventually, in_house};

#[tokio::test]
async fn a_container_that_is_not_confined_stops_the_environment() {
    in_house(|house| async move {
        house.world.with(|inside| inside.privileges = true);
        house.commit('a', "main", &[], document());
        house.commit('b', "feature/x", &['a'], document());
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Failed).await;
        let failed = house.environment("feature/x").await.unwrap();
        assert_eq!((failed.serving, &failed.running_commit), (false, &None));
        let reason = failed.reason.clone().unwrap();
        assert!(reason.starts_with("audit: ") && reason.contains("web (PRIV): container drey-"), "{reason}");
        assert!(reason.ends_with("-web-1 is privileged"), "{reason}");
        let left = house.world.with(|inside| inside.projects[&failed.project].containers.clone());
        assert_eq!(left, []);

        // The next push comes up where all holds again.
        house.world.with(|inside| inside.privileges = false);
        house.commit('c', "feature/x", &['b'], document());
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Ready).await;
    })
    .await;
}

#[tokio::test]
async fn what_served_before_is_withdrawn_too_whether_updated_or_repaired() {
    in_house(|house| async move {
        house.begin().await;
        house.world.with(|inside| inside.privileges = true);
        house.commit('c', "feature/x", &['b'], document());
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Failed).await;
        assert!(!matches!(house.answer("feature-x").await, Some(Answer::Proxy(_))));
        house.world.with(|inside| inside.privileges = false);
        house.commit('d', "feature/x", &['c'], document());
        house.push("feature/x").await;
        house.reaches("feature/x", Phase::Ready).await;

        let house = house.restart().await;
        let environment = house.environment("feature/x").await.unwrap();
        house.world.with(|inside| inside.privileges = true);
        house.world.harm(&environment.project, |observed| *observed = Observed::default()).await;
        house.reaches("feature/x", Phase::Failed).await;
        eventually("nothing of it runs", || async {
            house.world.with(|inside| inside.projects[&environment.project].containers.is_empty())
        })
        .await;
        assert!(!house.environment("feature/x").await.unwrap().serving);
    })
    .await;
}
