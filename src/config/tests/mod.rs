use std::io::Write;
use std::time::Duration;

use super::*;
use crate::domain::names::BranchName;
use crate::domain::pull_request::{DeployMode, PullRules, Subject};

mod discovery;
mod engine;
mod forge;
mod proxy;
mod traefik;

const SMALL: &str = r#"
[proxy]
domain = "qa.example"
https = "127.0.0.1:8443"
[[repo]]
name = "shop"
url = "/srv/git/shop.git"
secret = "s"
"#;

fn settings(text: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Settings::from_parts(Some(file.path()), &environment)
}

fn branch(name: &str) -> BranchName {
    BranchName::parse(name).unwrap()
}

#[test]
fn what_is_not_said_has_its_default_and_the_environment_wins_over_the_file() {
    let read =
        settings(SMALL, &[("DREY__HTTP__LISTEN", "127.0.0.1:9999"), ("DREY__LIMITS__BUILDS", "7")]).unwrap();
    assert_eq!(read.http.listen.port(), 9999);
    assert_eq!(read.limits.builds, 7);
    assert_eq!(read.engine.subnets, "10.213.0.0/16");
    assert_eq!(read.repositories[0].defaults.merge_grace.as_secs(), 600);
    assert_eq!(read.repositories[0].defaults.poll_every.as_secs(), 60);
    assert!(read.repositories[0].keeps(&branch("release/1/2")) && !read.repositories[0].keeps(&branch("x")));
}

#[test]
fn archives_are_kept_for_ninety_days_unless_it_is_said_otherwise() {
    let archive = |text: &str| settings(&format!("{SMALL}\n[archive]\n{text}"), &[]).map(|read| read.archive);
    let days = |days: u64| Some(Duration::from_secs(days * 86_400));
    let default = Archive {
        keep: days(90),
        max_size: Some(50_000_000_000),
        max_volume: 50_000_000_000,
        direct: true,
        images: false,
        image_budget: 0,
    };
    assert_eq!(archive("").unwrap(), default);
    let given = archive(
        "keep = \"7d\"\nmax_size = \"2GiB\"\nmax_volume = \"1GB\"\nimages = true\ndirect = false\nimage_budget = \"10GB\"",
    )
    .unwrap();
    let read = Archive {
        keep: days(7),
        max_size: Some(2 << 30),
        max_volume: 1_000_000_000,
        direct: false,
        images: true,
        image_budget: 10_000_000_000,
    };
    assert_eq!(given, read);
    let given = archive("keep = \"forever\"\nmax_size = \"unlimited\"").unwrap();
    assert_eq!((given.keep, given.max_size), (None, None));
    let given =
        settings(SMALL, &[("DREY__ARCHIVE__KEEP", "30d"), ("DREY__ARCHIVE__IMAGES", "true")]).unwrap();
    assert_eq!((given.archive.keep, given.archive.images), (days(30), true));
}

#[test]
fn an_archive_that_could_not_live_is_a_fault() {
    let text =
        "[archive]\nkeep = \"0s\"\nmax_size = 0\nimages = \"yes\"\nimage_budget = \"much\"\nkeeep = 1\n";
    assert_eq!(
        faults(&format!("{SMALL}\n{text}")),
        ["archive.keep", "archive.max_size", "archive.images", "archive.image_budget", "archive.keeep"]
    );
    assert_eq!(
        faults(&format!("{SMALL}\n[archive]\nkeep = \"for ever\"\nmax_size = -1\n")),
        ["archive.keep", "archive.max_size"]
    );
}

#[test]
fn polling_has_a_default_an_own_value_and_a_floor() {
    let every = |defaults: &str, own: &str| {
        let text = format!("{SMALL}\n{own}\n[defaults]\n{defaults}\n");
        settings(&text, &[]).unwrap().repositories[0].defaults.poll_every.as_secs()
    };
    assert_eq!(every("poll_every = \"5m\"", ""), 300);
    assert_eq!(every("poll_every = \"5m\"", "poll_every = \"2s\""), 2);
    assert_eq!(every("", "poll_every = \"0s\""), 0);
    assert_eq!(faults(&format!("{SMALL}\npoll_every = \"100ms\"\n")), ["repo[0].poll_every"]);
}

#[test]
fn the_sample_of_the_guide_is_read() {
    let text = include_str!("../../../packaging/drey.example.toml");
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "from a file\n\n").unwrap();
    let text = text.replace("/etc/drey/shop.secret", &secret.to_string_lossy());
    let read = settings(&text, &[]).unwrap();
    assert_eq!(read.repositories[0].secret.as_ref().unwrap().reveal(), "from a file");
}

#[test]
fn every_fault_is_told_at_once_with_its_key() {
    let text = r#"
surprise = 1
[http]
listen = "nowhere"
[proxy]
domain = "-bad-"
[engine]
subnets = "10.0.0.0/33"
[limits]
memory = "2 gigs"
[[repo]]
name = "Not Good"
url = "ext::sh -c id"
branches = ["["]
merge_grace = "soon"
secret = "a"
secret_env = "B"
"#;
    let errors = settings(text, &[]).unwrap_err();
    let keys: Vec<&str> = errors.0.iter().map(|fault| fault.key.as_str()).collect();
    for key in [
        "surprise",
        "http.listen",
        "proxy.domain",
        "proxy.https",
        "engine.subnets",
        "limits.memory",
        "repo[0].name",
        "repo[0].url",
        "repo[0].branches",
        "repo[0].merge_grace",
        "repo[0].secret",
    ] {
        assert!(keys.contains(&key), "{key} is missing in\n{errors}");
    }
    assert!(errors.0.iter().all(|fault| fault.origin.is_some()));
}

/// Keys of the faults, in order.
fn faults(text: &str) -> Vec<String> {
    let faults = settings(text, &[]).map_or_else(|errors| errors.0, |_fine| Vec::new());
    faults.into_iter().map(|fault| fault.key).collect()
}

#[test]
fn one_mistake_is_one_fault() {
    assert_eq!(faults(&SMALL.replace("127.0.0.1:8443", "443")), ["proxy.https"]);
    assert_eq!(faults(&SMALL.replace("https = \"127.0.0.1:8443\"", "http = 80")), ["proxy.http"]);
    assert_eq!(faults(&SMALL.replace("qa.example", "-bad-")), ["proxy.domain"]);
    let engine = |lines: &str| faults(&format!("{SMALL}\n[engine]\n{lines}\n"));
    assert_eq!(engine("wall_in = [\"10.0.0.0/8\"]"), ["engine.wall_in"], "it holds networks of environments");
    assert_eq!(engine("deny = [\"office\"]\nfirewall = \"maybe\"\nhost_ports = [0]").len(), 3);
    assert_eq!(engine("wall_in = [\"172.17.0.0/16\"]\ndeny = [\"10.0.0.0/8\"]\nhost_ports = [53]"), [""; 0]);
    let registry = "[[registry]]\nhost = 1\nuser = \"u\"\npassword_file = \"/nonexistent\"\n";
    assert_eq!(faults(&format!("{SMALL}{registry}")), ["registry[0].host", "registry[0].password_file"]);
    assert_eq!(faults("proxy = 1"), ["proxy"]);
    let broken = SMALL.replace("/srv/git/shop.git\"", "x\"\n[[repo]]\nname = \"A\"\nurl = \"x\"");
    assert_eq!(faults(&broken), ["repo[0].url", "repo[1].name", "repo[1].url"]);
}

#[test]
fn ssh_urls_have_no_passwords() {
    let with = |url: &str| settings(&SMALL.replace("/srv/git/shop.git", url), &[]);
    for url in ["ssh://git:hunter22@host/x.git", "ssh://git%3Ahunter22@host/x", "git:hunter22@host:x.git"] {
        let error = with(url).unwrap_err().to_string();
        assert!(error.contains("repo[0].url") && error.contains("~/.ssh"), "{error}");
        assert!(!error.contains("hunter22"), "{error}");
    }
    for url in [
        "ssh://git@host:22/x.git",
        "ssh://host/a@b:c",
        "git@host:a/b@c:d",
        "https://user:token@host/x",
        "/a:b@c",
    ] {
        assert!(with(url).is_ok(), "{url}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.toml");
    std::fs::write(&file, "data_dir = \n").unwrap();
    let error = Settings::from_parts(Some(&file), &[]).unwrap_err();
    assert_eq!(error.0.len(), 1);
    assert!(error.to_string().starts_with(&format!("{}: ", file.display())), "{error}");
    let error = Settings::from_parts(None, &[]).unwrap_err();
    assert_eq!(error.0.len(), 1);
    assert!(error.to_string().contains("/etc/drey/drey.toml"), "{error}");
}

#[test]
fn a_relative_data_folder_lies_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("drey.toml");
    std::fs::write(&file, format!("data_dir = \"state\"\n{SMALL}")).unwrap();
    let read = Settings::from_parts(Some(&file), &[]).unwrap();
    assert_eq!(read.data_dir, folder.path().join("state"));
}

#[test]
fn a_fault_from_the_environment_names_its_variable() {
    let errors = settings(SMALL, &[("DREY__HTTP__LISTEN", "x")]).unwrap_err();
    assert_eq!(errors.0[0].origin.as_deref(), Some("DREY__HTTP__LISTEN"));
}

#[test]
fn main_is_no_environment_unless_it_is_named() {
    let read = settings(SMALL, &[]).unwrap();
    assert!(read.repositories[0].wants(&branch("main")).is_err());
    assert!(read.repositories[0].wants(&branch("a/b/c")).is_ok());
    let named = SMALL.replace("secret = ", "branches = [\"main\", \"*\"]\nignore = [\"wip\"]\nsecret = ");
    let read = settings(&named, &[]).unwrap();
    assert!(read.repositories[0].wants(&branch("main")).is_ok());
    assert!(read.repositories[0].wants(&branch("a/b")).is_err(), "* stays within a part");
    assert!(read.repositories[0].wants(&branch("wip")).is_err());
}

#[test]
fn a_secret_is_shown_nowhere() {
    let read = settings(&SMALL.replace("\"s\"", "\"hush-hush\""), &[]).unwrap();
    assert!(!format!("{read:?}").contains("hush-hush"));
}

#[test]
fn only_known_transports_are_taken() {
    for good in ["/srv/x.git", "https://git.example/x", "ssh://git@host/x", "git@host:team/x.git"] {
        assert!(settings(&SMALL.replace("/srv/git/shop.git", good), &[]).is_ok(), "{good}");
    }
    for bad in ["ext::sh -c id", "--upload-pack=id", "file:///etc", "http://x/y", "x", "-o@host:x", "a@b::c"]
    {
        assert!(settings(&SMALL.replace("/srv/git/shop.git", bad), &[]).is_err(), "{bad}");
    }
}

#[test]
fn a_running_daemon_takes_up_what_it_can_and_names_the_rest() {
    let old = settings("[proxy]\ndomain = \"qa.example\"\nhttp = \"0.0.0.0:80\"\n", &[]).unwrap();
    let new = settings(
        "data_dir = \"/elsewhere\"\n[http]\nlisten = \"127.0.0.1:1\"\npublic_url = \"https://drey.example\"\n[proxy]\n\
         domain = \"other.example\"\nhttp = \"0.0.0.0:81\"\n[engine]\nhost = \"tcp://engine:2375\"\nregistries = [\"a\"]\n\
         [limits]\nbuilds = 7\n[archive]\nkeep = \"1d\"\ndirect = false\n[log]\nformat = \"json\"\nlevel = \"debug\"\n\
         [[repo]]\nname = \"shop\"\nurl = \"/srv/git/shop.git\"\n",
        &[],
    )
    .unwrap();
    let (taken, later) = new.clone().taken_up(&old);
    assert_eq!(
        later,
        [
            "data_dir",
            "http.listen",
            "proxy.domain",
            "proxy.http",
            "engine.host",
            "archive.direct",
            "log.format"
        ]
    );
    assert_eq!((&taken.data_dir, &taken.proxy.domain), (&old.data_dir, &old.proxy.domain));
    assert_eq!((taken.engine.host, taken.archive.direct), (old.engine.host, true));
    assert_eq!((taken.limits.builds, taken.log.level), (7, LogLevel::Debug));
    assert_eq!((taken.archive.keep, taken.repositories.len()), (new.archive.keep, 1));
    assert_eq!(
        (taken.http.public_url, taken.engine.registries),
        (new.http.public_url, new.engine.registries)
    );
}

#[test]
fn the_log_knows_its_words() {
    let faults = settings("[proxy]\ndomain = \"qa.example\"\nhttp = \"0.0.0.0:80\"\n[log]\nlevel = \"loud\"\nformat = \"xml\"\n", &[])
        .unwrap_err()
        .0;
    assert_eq!(
        faults.iter().map(|fault| fault.key.as_str()).collect::<Vec<_>>(),
        ["log.format", "log.level"]
    );
}

#[test]
fn watermarks_rise_and_zero_is_never() {
    let disk = |text: &str| settings(&format!("{SMALL}\n[disk]\n{text}"), &[]).map(|read| read.disk);
    let marks = |warn, stop, evict| Watermarks { warn, stop, evict };
    assert_eq!(disk("").unwrap(), marks(Some(80), Some(90), Some(95)));
    assert_eq!(disk("warn = 0\nstop = 50\nevict = 0").unwrap(), marks(None, Some(50), None));
    assert_eq!(disk("stop = 80\nevict = 80").unwrap(), marks(Some(80), Some(80), Some(80)));
    for (text, key) in [("warn = 91", "disk.stop"), ("stop = 101", "disk.stop"), ("evict = -1", "disk.evict")]
    {
        let errors = disk(text).unwrap_err().to_string();
        assert!(errors.contains(key), "{text}: {errors}");
    }
}

#[test]
fn what_goes_has_its_age_and_its_size() {
    let gc = |text: &str| settings(&format!("{SMALL}\n[gc]\n{text}"), &[]).map(|read| read.gc);
    let default = gc("").unwrap();
    assert_eq!((default.every.as_secs(), default.build_cache), (3600, Some(20_000_000_000)));
    let read = gc("build_cache = \"unlimited\"\nlogs_keep = \"forever\"\nlogs_size = \"1GB\"").unwrap();
    assert_eq!((read.build_cache, read.logs_keep, read.logs_size), (None, None, Some(1_000_000_000)));
    let errors = gc("every = \"1s\"\ndeliveries_keep = \"1d\"\nsurprise = 1").unwrap_err().to_string();
    for key in ["gc.every", "gc.deliveries_keep", "gc.surprise"] {
        assert!(errors.contains(key), "{errors}");
    }
}
