use std::{fs, path::PathBuf};

use super::*;

fn load(file: Option<&str>, environment: &[(&str, &str)], flags: &[(&str, &str, &[&str])]) -> Result<Config, Problems> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("overhand.toml");
    if let Some(text) = file {
        fs::write(&path, text).expect("written");
    }
    let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let flags: Vec<Flag> = flags
        .iter()
        .map(|(flag, key, values)| Flag {
            flag: flag.to_string(),
            key: key.to_string(),
            values: values.iter().map(|value| value.to_string()).collect(),
        })
        .collect();
    Config::load(file.map(|_| path.as_path()), environment, &flags)
}

fn problems(result: Result<Config, Problems>) -> Vec<String> {
    result.expect_err("refused").0
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let file =
        "[memory]\nbudget = \"1 GiB\"\nmemtable_max = \"10 MiB\"\nlow_mark = 0.5\n[listen]\ncontrol = \"0.0.0.0:1\"";
    let environment =
        [("OVERHAND_MEMORY_BUDGET", "2 GiB"), ("OVERHAND_MEMORY_MEMTABLE_MAX", "20 MiB"), ("OVERHAND_CACHE", "/x")];
    let config = load(Some(file), &environment, &[("--memory-budget", "memory.budget", &["3 GiB"])]).expect("right");
    assert_eq!(config.memory.budget, Size::mib(3072));
    assert_eq!(config.memory.memtable_max, Size::mib(20));
    assert_eq!(config.memory.low_mark, 0.5);
    assert_eq!(config.listen.control, "0.0.0.0:1");
    assert_eq!(config.network, Network::default());
}

#[test]
fn a_row_comes_from_repeated_flags_or_with_commas() {
    let flags: [(&str, &str, &[&str]); 2] =
        [("--data-dir", "storage.data_dirs", &["/a,b", "/c"]), ("--set", "worker.tags", &["ssd, big"])];
    let config = load(None, &[("OVERHAND_WORKER_COORDINATORS", "one:1,two:2")], &flags).expect("right");
    assert_eq!(config.storage.data_dirs, [PathBuf::from("/a,b"), PathBuf::from("/c")]);
    assert_eq!(config.worker.tags, ["ssd", "big"]);
    assert_eq!(config.worker.coordinators, ["one:1", "two:2"]);
}

#[test]
fn text_that_looks_like_a_number_stays_text() {
    let config = load(None, &[("OVERHAND_WORKER_ZONE", "7")], &[("--set", "storage.flush_threads", &["3"])]);
    let config = config.expect("right");
    assert_eq!((config.worker.zone.as_str(), config.storage.flush_threads), ("7", 3));
}

#[test]
fn everything_that_is_wrong_is_named_at_once_with_its_key_and_its_place() {
    let file =
        "typo = 1\n[memory]\nbugdet = \"1 GiB\"\nbudget = \"512 MX\"\n[storage]\ndurability = \"maybe\"\nreserve = 5";
    let environment = [("OVERHAND_NETWORK_WINDOW", "wide"), ("OVERHAND_MEMORY_BUGDET", "1")];
    let found = problems(load(Some(file), &environment, &[("--set", "log.colour", &["red"])]));
    let expected = [
        ("typo: there is no such table", "overhand.toml"),
        ("memory.bugdet: there is no such key, there are budget, high_mark, low_mark, memtable_max", "overhand.toml"),
        ("memory.budget: \"512 MX\" is no size", "overhand.toml"),
        ("storage.durability: \"maybe\" is not one of \"memory\", \"disk\"", "overhand.toml"),
        ("storage.reserve: \"5\" is no size: write a number and a unit", "overhand.toml"),
        ("network.window: \"wide\" is no size", "OVERHAND_NETWORK_WINDOW"),
        ("OVERHAND_MEMORY_BUGDET: there is no such key", "environment"),
        ("log.colour: there is no such key", "--set"),
    ];
    for (what, place) in expected {
        assert!(found.iter().any(|text| text.starts_with(what) && text.contains(place)), "{what}: {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_named() {
    let missing = Config::load(Some("/nowhere/overhand.toml".as_ref()), [], &[]);
    assert!(problems(missing)[0].starts_with("/nowhere/overhand.toml: "));
    let found = problems(load(Some("[memory\nbudget = 1"), &[], &[]));
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = problems(load(Some("memory = 5"), &[], &[]));
    assert!(found.len() == 1 && found[0].starts_with("memory: a table is expected"), "{found:#?}");
}

#[test]
fn values_that_do_not_fit_together_are_all_named() {
    let mut config = Config::default();
    config.memory.budget = Size(1);
    config.memory.low_mark = 0.9;
    config.listen.control = "nowhere".into();
    config.coordinator.lease = Period::secs(1);
    config.log.filter = "a=b=c".into();
    let found = config.check(Role::Standalone).expect_err("refused").0;
    for key in
        ["storage.data_dirs", "memory.budget", "memory.low_mark", "listen.control", "coordinator.lease", "log.filter"]
    {
        assert!(found.iter().any(|text| text.starts_with(key)), "{key}: {found:#?}");
    }
    assert_eq!(found.len(), 6, "{found:#?}");
}

#[test]
fn a_data_folder_is_all_that_a_standalone_server_needs() {
    let config = load(None, &[], &[("--data-dir", "storage.data_dirs", &["/data"])]).expect("right");
    assert_eq!(config.check(Role::Standalone), Ok(()));
    let settings = config.store();
    assert!(settings.low_mark < settings.high_mark && settings.high_mark < settings.memory_budget);
    assert!(config.check(Role::Worker).is_err());
}

#[test]
fn the_effective_configuration_reads_back_as_it_is() {
    let mut config = Config::default();
    config.storage.data_dirs = vec!["/a \"quoted\" folder".into(), "/b".into()];
    config.storage.durability = Durability::Disk;
    config.memory.budget = Size(123_456_789_012);
    config.coordinator.lease = Period(std::time::Duration::from_millis(1500));
    assert_eq!(load(Some(&config.to_toml()), &[], &[]), Ok(config));
}

#[test]
fn the_sample_is_all_comments_and_right_when_switched_on() {
    let sample = Config::sample();
    assert_eq!(load(Some(&sample), &[], &[]), Ok(Config::default()));
    let switched_on: String = sample
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned() + "\n")
        .collect();
    let config = load(Some(&switched_on), &[], &[]).expect("right");
    assert_eq!(config.storage.data_dirs, [PathBuf::from("/var/lib/overhand")]);
    assert_eq!(config.check(Role::Standalone), Ok(()));
}
