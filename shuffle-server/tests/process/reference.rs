//! The generated pages and files are as the code would write them now: `make docs` does.

use std::{fs, path::Path};

fn assert_current(path: &str, generated: &str) {
    // Tests run in their package's folder; where that was when they were built may be gone.
    let path = Path::new("..").join(path);
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "{} is out of date: run `make docs`", path.display());
}

#[test]
fn the_configuration_reference_is_current() {
    assert_current("docs/reference/configuration.md", &overhand_server::config::Config::reference());
}

#[test]
fn the_sample_configuration_is_current() {
    assert_current("conf/overhand.toml", &overhand_server::config::Config::sample());
}

#[test]
fn the_metrics_reference_is_current() {
    assert_current("docs/reference/metrics.md", &overhand_server::admin::reference());
}
