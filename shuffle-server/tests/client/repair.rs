//! A driver and the workers of a real cluster make up for what is lost.

use std::{fs, sync::Arc};

use overhand_client::{AppId, Application, ApplicationConfig, Client, ClientConfig, Codec, Placement, Trouble};

use crate::common::{Cluster, eventually};
use crate::support::{attempt, items, pieces, read_all, records, small, write_attempt};

#[test]
fn what_a_disk_that_is_lost_held_is_copied_while_its_worker_runs_on() {
    let mut cluster = Cluster::start(1, 3, &["storage.probe_interval=50ms"]);
    let app: AppId = "job".parse().expect("valid");
    let coordinators = vec![cluster.coordinators[0].endpoints.control.clone()];
    let config = ApplicationConfig { replicas: Some(2), ..ApplicationConfig::new(coordinators, app) };
    let application = Arc::new(Application::register(config).expect("registered"));
    let config = ClientConfig { codec: Codec::None, ..small() };
    let client = Client::with_driver(config, Arc::clone(&application) as _).expect("a client");
    let placement = Arc::new(application.placement(0, 10).expect("placed"));
    let rows = records(0, 20_000, 10, 100);
    let stored = write_attempt(&client, &placement, attempt(0), &rows).expect("written");

    let members = |placement: &Placement| -> Vec<String> {
        placement.shards[0][0].chain.iter().map(|place| place.address.clone()).collect()
    };
    let before = members(&placement);
    let hit = cluster.workers.iter().find(|worker| worker.data() == before[0]).expect("one of them");
    fs::rename(&hit.folder, hit.folder.with_extension("away")).expect("moved away");
    let now = || application.ask(0, &Trouble::Unreadable).expect("answered");
    eventually("the epoch is with two others", || {
        let now = members(&now());
        now.len() == 2 && !now.contains(&before[0])
    });
    assert!(hit.logged().contains("data folder taken for lost"));
    assert_eq!((application.health().copies_made, application.health().under_replicated_epochs), (1, 0));

    // The copy alone has all of it.
    cluster
        .workers
        .iter_mut()
        .filter(|worker| before.contains(&worker.data().to_owned()))
        .for_each(|worker| worker.kill());
    let expected = pieces(attempt(0), &stored);
    assert_eq!(read_all(&client, &Arc::new(now()), expected).expect("read"), items(&rows));
}
