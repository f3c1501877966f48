//! Git at the remote decides, whether its hook told of it or not.

use std::fs;

use serde_json::Value;

use crate::checker;
use crate::harness::World;
use crate::shop;

fn repository(world: &World) -> Value {
    let text = world.drey(&["repo", "show", "world", "--json"]).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn without_a_single_delivery_the_branches_end_where_git_says() {
    let world = World::configured("unheard", &shop(), "poll_every = \"2s\"\n");
    fs::remove_file(world.path("world.git/hooks/post-receive")).unwrap();
    let names = ["unheard-moved", "unheard-gone", "unheard-merged"];
    for name in names {
        world.push(name, &[("web/index.html", name)]);
    }
    for name in names {
        world.reaches(name, "ready");
        world.serves(name, name);
    }
    // Written anew: the new tip is no child of the old one.
    world.git(&["checkout", "-q", "unheard-moved"]);
    world.git(&["reset", "-q", "--hard", "main"]);
    world.push("unheard-moved", &[("web/index.html", "written anew")]);
    world.git(&["push", "-q", "origin", ":unheard-gone"]);
    world.git(&["checkout", "-q", "main"]);
    world.git(&["merge", "-q", "--no-ff", "-m", "merge", "unheard-merged"]);
    world.git(&["push", "-q", "origin", "main"]);
    world.reaches("unheard-moved", "ready");
    world.serves("unheard-moved", "written anew");
    assert_eq!(world.archived("unheard-merged"), "merged");
    assert_eq!(world.archived("unheard-gone"), "deleted");
    // At the commit at which it was deleted.
    world.git(&["push", "-q", "origin", "unheard-gone"]);
    world.reaches("unheard-gone", "ready");
    world.serves("unheard-gone", "unheard-gone");
    checker::is_whole(&world, "without a delivery", 20);
}

#[test]
fn a_remote_that_is_away_is_told_and_a_damaged_mirror_is_fetched_anew() {
    let world = World::configured("away", &shop(), "poll_every = \"2s\"\n");
    world.push("away-branch", &[("web/index.html", "before")]);
    world.reaches("away-branch", "ready");
    let (here, elsewhere) = (world.path("world.git"), world.path("elsewhere.git"));
    fs::rename(&here, &elsewhere).unwrap();
    world.eventually("it is told", 20, || {
        repository(&world)["poll_error"].as_str().is_some_and(|error| error.contains("is `url` right"))
    });
    assert!(world.drey(&["repo", "list"]).unwrap().contains("there is no repository"));
    world.serves("away-branch", "before");
    world.drey(&["env", "deploy", "world/away-branch"]).unwrap();
    world.eventually("the environment tells it too", 60, || {
        let environment = world.environment("away-branch").unwrap();
        environment["reason"].as_str().is_some_and(|reason| reason.contains("there is no repository"))
    });
    fs::remove_file(format!("{elsewhere}/hooks/post-receive")).unwrap();
    fs::rename(&elsewhere, &here).unwrap();
    // Each failure has doubled the pause before the next look.
    world.eventually("it answers again", 180, || repository(&world)["poll_error"].is_null());
    world.reaches("away-branch", "ready");

    // Every object of the mirror is cut off, as a machine that lost its power may leave them.
    let mut folders = vec![world.path("data/mirrors/world.git/objects")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.to_string_lossy().into_owned());
            } else {
                fs::remove_file(&path).unwrap();
                fs::write(&path, "").unwrap();
            }
        }
    }
    world.push("away-branch", &[("web/index.html", "after")]);
    world.reaches("away-branch", "ready");
    world.serves("away-branch", "after");
    checker::is_whole(&world, "with a new mirror", 20);
}
