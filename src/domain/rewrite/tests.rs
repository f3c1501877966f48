use insta::assert_snapshot;

use super::*;
use crate::domain::names::{EnvironmentId, InstanceId, Slug};

struct Given {
    project: ProjectName,
    labels: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    facts: BTreeMap<String, ImageFacts>,
    subnets: BTreeMap<String, String>,
    authorities: BTreeMap<String, String>,
    contents: BTreeMap<String, BoundContent>,
    variables: BTreeMap<String, String>,
    overlay: Value,
}

impl Default for Given {
    fn default() -> Self {
        let slug = Slug::parse("x").unwrap();
        let texts = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        Self {
            project: ProjectName::new(&InstanceId("abc234".into()), EnvironmentId(1), &slug),
            labels: texts("drey.branch", "a$b"),
            tags: texts("web", "drey/shop/web:1"),
            facts: BTreeMap::new(),
            subnets: texts("default", "10.213.0.0/27"),
            authorities: texts("certs/ca.pem", "-----BEGIN CERTIFICATE-----"),
            contents: BTreeMap::from([
                ("conf".into(), BoundContent { content_id: "tree1".into(), is_file: false }),
                ("a.conf".into(), BoundContent { content_id: "blob1".into(), is_file: true }),
            ]),
            variables: texts("DREY_URL", "https://x.qa.example"),
            overlay: json!({}),
        }
    }
}

impl Given {
    fn rewrite(&self, document: &Value) -> Result<Stack, RewriteError> {
        let context = RewriteContext {
            project: &self.project,
            labels: &self.labels,
            tags: &self.tags,
            facts: &self.facts,
            subnets: &self.subnets,
            authorities: &self.authorities,
            contents: &self.contents,
            checkout: Path::new("/c"),
            binds: Path::new("/binds"),
            secrets: Path::new("/run/drey/abc234/1"),
            variables: &self.variables,
            shares: &json!({}),
            overlay: &self.overlay,
            names: &BTreeMap::from([("web".to_owned(), "only".to_owned())]),
            cgroup_parent: None,
            completing: &[],
        };
        rewrite(document, &context)
    }
}

fn document() -> Value {
    json!({
        "name": "stolen",
        "x-drey": {},
        "services": {
            "web": {
                "build": {"context": "/c"}, "container_name": "only", "networks": {"default": null},
                "ports": [{"target": 8080, "published": "80", "protocol": "tcp"}],
                "environment": {"A": "$$x", "DREY_URL": "forged", "LEAK": null},
                "volumes": [
                    {"type": "bind", "source": "/c/conf", "target": "/etc/conf", "bind": {"propagation": "shared"}},
                    {"type": "volume", "source": "data", "target": "/data", "volume": {}},
                    {"type": "volume", "target": "/anonymous"}
                ],
                "depends_on": {"db": {"condition": "service_healthy", "required": true}}
            },
            "db": {"image": "postgres:16", "networks": {"default": {"ipv4_address": "10.0.0.9", "aliases": ["sql"]}}}
        },
        "networks": {"default": {"name": "stolen_default", "ipam": {}}},
        "volumes": {"data": {"name": "foreign"}}
    })
}

#[test]
#[expect(clippy::too_many_lines, reason = "most of it is the document that comes out")]
fn everything_becomes_dreys_own() {
    let stack = Given::default().rewrite(&document()).unwrap();
    assert_snapshot!(format!("{:#}", stack.document), @r#"
    {
      "name": "drey-abc234-1-x",
      "networks": {
        "default": {
          "external": true,
          "name": "drey-abc234-1-x_default"
        }
      },
      "services": {
        "db": {
          "cap_drop": [
            "NET_RAW",
            "MKNOD"
          ],
          "cgroup": "private",
          "environment": {
            "DREY_URL": "https://x.qa.example"
          },
          "image": "postgres:16",
          "labels": {
            "drey.branch": "a$$b",
            "drey.service": "db"
          },
          "logging": {
            "driver": "json-file",
            "options": {
              "max-file": "3",
              "max-size": "10m"
            }
          },
          "networks": {
            "default": {
              "aliases": [
                "sql"
              ]
            }
          },
          "pull_policy": "never",
          "security_opt": [
            "no-new-privileges:true"
          ]
        },
        "web": {
          "cap_drop": [
            "NET_RAW",
            "MKNOD"
          ],
          "cgroup": "private",
          "depends_on": {
            "db": {
              "condition": "service_healthy",
              "required": true
            }
          },
          "environment": {
            "A": "$$x",
            "DREY_URL": "https://x.qa.example"
          },
          "image": "drey/shop/web:1",
          "labels": {
            "drey.branch": "a$$b",
            "drey.service": "web"
          },
          "logging": {
            "driver": "json-file",
            "options": {
              "max-file": "3",
              "max-size": "10m"
            }
          },
          "networks": {
            "default": {
              "aliases": [
                "only"
              ]
            }
          },
          "pull_policy": "never",
          "security_opt": [
            "no-new-privileges:true"
          ],
          "volumes": [
            {
              "bind": {
                "create_host_path": false
              },
              "read_only": true,
              "source": "/binds/tree1",
              "target": "/etc/conf",
              "type": "bind"
            },
            {
              "source": "data",
              "target": "/data",
              "type": "volume",
              "volume": {}
            },
            {
              "source": "web-fd1bd2f8",
              "target": "/anonymous",
              "type": "volume"
            }
          ]
        }
      },
      "volumes": {
        "data": {
          "external": true,
          "name": "drey-abc234-1-x_data"
        },
        "web-fd1bd2f8": {
          "external": true,
          "name": "drey-abc234-1-x_web-fd1bd2f8"
        }
      }
    }
    "#);
    assert_eq!(stack.networks[0].subnet, "10.213.0.0/27");
    assert_eq!(stack.routes[0].network, "drey-abc234-1-x_default");
    assert_eq!((stack.routes[0].service.as_str(), stack.routes[0].port), ("web", 8080));
}

#[test]
fn a_bind_is_written_to_only_where_the_document_says_so() {
    let with = |read_only: Option<bool>| {
        let mut document = document();
        let mounts = document["services"]["web"]["volumes"].as_array_mut().unwrap();
        let bind = mounts.iter_mut().find(|mount| mount["type"] == "bind").unwrap();
        bind.as_object_mut().unwrap().remove("read_only");
        if let Some(read_only) = read_only {
            bind["read_only"] = json!(read_only);
        }
        let stack = Given::default().rewrite(&document).unwrap();
        stack.document["services"]["web"]["volumes"][0]["read_only"].clone()
    };
    assert_eq!([with(None), with(Some(true)), with(Some(false))], [json!(true), json!(true), json!(false)]);
}

#[test]
fn the_digest_changes_with_the_content_and_only_with_it() {
    let given = Given::default();
    let digest = |document: &Value| given.rewrite(document).unwrap().digest;
    assert_eq!(digest(&document()), digest(&document()));
    let mut renamed = document();
    renamed["name"] = json!("other");
    renamed["services"]["web"]["ports"][0]["published"] = json!("81");
    assert_eq!(digest(&document()), digest(&renamed), "what is dropped does not count");
    let mut changed = document();
    changed["services"]["db"]["command"] = json!(["postgres"]);
    assert_ne!(digest(&document()), digest(&changed));
}

fn targets(stack: &Stack, service: &str) -> Vec<String> {
    let mounts = stack.document["services"][service]["volumes"].as_array().cloned().unwrap_or_default();
    mounts.iter().map(|mount| mount["target"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_path_of_volumes_from_is_left_to_it_however_far_it_comes() {
    let volumes = |paths: &[&str]| ImageFacts {
        volumes: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..ImageFacts::default()
    };
    let mut given = Given::default();
    given.facts.insert("web".into(), volumes(&["/data", "/own", "/deep", "/a$b"]));
    given.facts.insert("db".into(), volumes(&["/data/"]));
    let mut document = document();
    document["services"]["web"]["volumes"] = json!([]);
    document["services"]["web"]["volumes_from"] = json!(["db:ro"]);
    document["services"]["db"]["volumes_from"] = json!(["far"]);
    document["services"]["far"] =
        json!({"image": "x", "volumes": [{"type": "volume", "source": "data", "target": "/deep"}]});
    let stack = given.rewrite(&document).unwrap();
    assert_eq!(targets(&stack, "web"), ["/own", "/a$$b"]);
    assert_eq!(targets(&stack, "db"), ["/data/"]);
    assert_eq!(targets(&stack, "far"), ["/deep"]);
}

#[test]
fn several_containers_of_a_service_have_nameless_volumes_of_their_own() {
    let mut given = Given::default();
    given.facts.insert("web".into(), ImageFacts { volumes: vec!["/image".into()], ..ImageFacts::default() });
    let mut document = document();
    document["services"]["web"]["deploy"] = json!({"replicas": 2});
    let stack = given.rewrite(&document).unwrap();
    let names: Vec<&str> = stack.volumes.iter().map(|volume| volume.key.as_str()).collect();
    assert_eq!(names, ["data"]);
    assert_eq!(targets(&stack, "web"), ["/etc/conf", "/data", "/anonymous"]);
    assert_eq!(stack.document["services"]["web"]["volumes"][2].get("source"), None);
}

#[test]
fn a_volume_of_the_image_gets_a_stable_name_unless_something_is_mounted_there() {
    let mut given = Given::default();
    let facts = ImageFacts { volumes: vec!["/data/".into(), "/var/lib/x".into()], ..ImageFacts::default() };
    given.facts.insert("web".into(), facts);
    let stack = given.rewrite(&document()).unwrap();
    let targets: Vec<&str> = stack.document["services"]["web"]["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["target"].as_str().unwrap())
        .collect();
    assert_eq!(targets, ["/etc/conf", "/data", "/anonymous", "/var/lib/x"]);
}

#[test]
fn profiles_that_are_not_started_go_with_their_optional_edges() {
    let mut document = document();
    document["services"]["db"]["profiles"] = json!(["heavy"]);
    assert!(matches!(select(&document, &[]), Err(RewriteError::InactiveDependency { .. })));
    document["services"]["web"]["depends_on"]["db"]["required"] = json!(false);
    let selected = select(&document, &[]).unwrap();
    assert!(selected["services"].get("db").is_none());
    assert_eq!(selected["services"]["web"]["depends_on"], json!({}));
    assert!(select(&document, &["heavy".into()]).unwrap()["services"].get("db").is_some());
}

#[expect(clippy::needless_pass_by_value, reason = "documents are written where they are passed")]
fn primary_of(services: Value) -> Result<(String, u16), String> {
    let document = json!({"services": services});
    match discover(&document, &BTreeMap::new()) {
        Ok(found) => Ok((found.services[0].service.clone(), found.services[0].port)),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn the_primary_is_found_by_label_name_or_being_the_only_one() {
    let port = |number: u16| json!([{"target": number, "protocol": "tcp"}]);
    assert_eq!(
        primary_of(json!({"app": {"expose": ["9000"]}, "web.1": {"expose": ["80"]}})),
        Ok(("web.1".into(), 80))
    );
    let labelled =
        json!({"web": {"expose": ["80"]}, "shop": {"labels": {"drey.primary": "true", "drey.port": "99"}}});
    assert_eq!(primary_of(labelled), Ok(("shop".into(), 99)));
    assert_eq!(
        primary_of(json!({"x": {"ports": port(1234)}, "y": {"expose": ["1"]}})),
        Ok(("x".into(), 1234))
    );
    assert_eq!(primary_of(json!({"x": {"expose": ["3000-3005"]}, "y": {}})), Ok(("x".into(), 3000)));
    let several = primary_of(json!({"x": {"ports": port(1)}, "y": {"ports": port(2)}})).unwrap_err();
    assert!(several.contains("candidates: x, y") && several.contains("drey.primary"), "{several}");
    assert!(primary_of(json!({"web": {}})).unwrap_err().contains("services.web: no port"));
    assert!(primary_of(json!({"web": {"labels": {"drey.port": "0"}}})).unwrap_err().contains("drey.port"));
}

#[test]
fn hosts_are_asked_for_by_label_and_never_shared() {
    let hosts = |services: Value| {
        let found = discover(&json!({ "services": services }), &BTreeMap::new())
            .map_err(|error| error.to_string())?;
        Ok::<_, String>(
            found.services.into_iter().map(|it| format!("{} {}", it.service, it.label)).collect::<Vec<_>>(),
        )
    };
    let labelled = |host: &str| json!({ "expose": [80], "labels": { "drey.host": host } });
    let web = json!({ "expose": [80] });
    let named = hosts(
        json!({ "web": web, "a": labelled("api"), "db": {}, "jmx": { "labels": { "drey.port": "9010" } } }),
    );
    assert_eq!(named.unwrap(), ["web ", "a api", "jmx jmx"]);
    let taken = hosts(json!({ "web": web, "a": labelled("b"), "b": { "expose": [80] } })).unwrap();
    assert_eq!(taken[..2], ["web ", "a b"]);
    assert!(taken[2].starts_with("b b-") && taken[2].len() == 10, "{taken:?}");
    let twice = hosts(json!({ "web": web, "a": labelled("x"), "b": labelled("x") })).unwrap_err();
    assert!(twice.contains("services.b.labels.drey.host") && twice.contains("host of a"), "{twice}");
}

#[test]
fn addresses_guessed_from_names_are_corrected_where_they_were_used() {
    let map = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
        entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let given = map(&[("DREY_SLUG", "x"), ("DREY_URL_SHOP", "https://x--shop.d"), ("MAIL", "m")]);
    let right = map(&[("DREY_SLUG", "x"), ("DREY_URL_SHOP", "https://x.d")]);
    assert_eq!(corrected(&given, &right, &json!({ "a": "https://other" })), None);
    let again = corrected(&given, &right, &json!({ "a": ["see https://x--shop.d/"] })).unwrap();
    assert_eq!(again, map(&[("DREY_SLUG", "x"), ("DREY_URL_SHOP", "https://x.d"), ("MAIL", "m")]));
    assert_eq!(corrected(&again, &right, &json!({ "a": ["see https://x.d/"] })), None);
}

#[test]
fn of_several_ports_the_usual_one_is_taken() {
    let ports = json!([{"target": 9229, "protocol": "tcp"}, {"target": 8000, "protocol": "tcp"}, {"target": 53, "protocol": "udp"}]);
    assert_eq!(primary_of(json!({"web": {"ports": ports}})), Ok(("web".into(), 8000)));
}

#[test]
fn jobs_are_told_by_restart_policy_or_by_who_waits_for_them() {
    let document = json!({"services": {
        "web": {"depends_on": {"migrate": {"condition": "service_completed_successfully"}}},
        "migrate": {"restart": "always"}, "seed": {"restart": "no"}, "retry": {"restart": "on-failure:5"}, "db": {}
    }});
    let completing: Vec<&str> = ["db", "migrate", "retry", "seed", "web"]
        .into_iter()
        .filter(|name| may_complete(&document, name))
        .collect();
    assert_eq!(completing, ["migrate", "retry", "seed"]);
    assert_eq!(restart_policy(&document, "db"), "unless-stopped");
    assert_eq!(restart_policy(&document, "migrate"), "no");
}

#[test]
fn the_overlay_wins_and_lists_are_joined() {
    let mut document =
        json!({"services": {"web": {"cap_drop": ["ALL"], "mem_limit": 1, "labels": {"a": "1"}}}});
    let overlay = json!({"services": {
        "web": {"cap_drop": ["ALL", "MKNOD"], "mem_limit": 2, "labels": {"b": "2"}}, "gone": {"x": 1}
    }});
    overlay::merge(&mut document, &overlay);
    let expected = json!({"services": {"web": {"cap_drop": ["ALL", "MKNOD"], "mem_limit": 2, "labels": {"a": "1", "b": "2"}}}});
    assert_eq!(document, expected);
}

#[test]
fn a_service_in_the_network_of_another_is_routed_through_it() {
    let mut document = document();
    document["services"]["web"].as_object_mut().unwrap().remove("networks");
    document["services"]["web"]["network_mode"] = json!("service:db");
    let stack = Given::default().rewrite(&document).unwrap();
    let route = &stack.routes[0];
    assert_eq!((route.service.as_str(), route.host_service.as_deref()), ("web", Some("db")));
    assert_eq!(route.network, "drey-abc234-1-x_default");
    document["services"]["db"]["network_mode"] = json!("service:web");
    assert!(Given::default().rewrite(&document).is_ok(), "what leads in a circle is for Compose to refuse");
    document["services"]["web"]["network_mode"] = json!("none");
    let refused = Given::default().rewrite(&document).unwrap_err().to_string();
    assert!(refused.starts_with("services.web.network_mode: what is in no network"), "{refused}");
}

#[test]
fn a_secret_is_a_file_that_the_stack_knows_by_its_path() {
    let mut document = document();
    document["x-drey"] = json!({"secrets": {"db": ["DB_PASSWORD"]}});
    let stack = Given::default().rewrite(&document).unwrap();
    assert_eq!(
        stack.document["services"]["db"]["volumes"],
        json!([{
            "type": "bind", "source": "/run/drey/abc234/1/of-db/DB_PASSWORD", "target": "/run/secrets/DB_PASSWORD",
            "read_only": true, "bind": {"create_host_path": false}
        }])
    );
    assert!(!stack.document["services"]["web"].to_string().contains("DB_PASSWORD"));
    assert!(stack.binds.iter().all(|bind| !bind.source.contains("secrets")), "it is no file of the checkout");
    assert_eq!(stack.settings.secrets.keys().collect::<Vec<_>>(), ["db"]);
}
