//! The client against a real server that is restarted, killed, cut off or damaged: the same rows, or an error that names
//! what must be run again.

use std::{fs, sync::Arc, time::Duration};

use crate::common::{Server, eventually};
use crate::support::{Records, attempt, items, moved, pieces, proxy::Proxy, read_all, records, small, write_attempt};
use overhand_client::{
    AppId, Application, ApplicationConfig, Attempt, Client, ClientConfig, Codec, ErrorKind, Expected, Placement,
};

struct Job {
    application: Arc<Application>,
    client: Client,
    /// To the data plane: its address stays when the server's changes.
    data: Proxy,
    control: Proxy,
    placement: Arc<Placement>,
}

impl Job {
    fn start(server: &Server, partitions: u32) -> Self {
        let (data, control) = (Proxy::start(server.data()), Proxy::start(&server.endpoints.control));
        let app: AppId = "job".parse().expect("valid");
        let application =
            Application::register(ApplicationConfig::new(vec![control.address.clone()], app)).expect("registered");
        let application = Arc::new(application);
        let config = ClientConfig { codec: Codec::None, ..small() };
        let client = Client::new(config).expect("a client");
        let placement = moved(&application.placement(0, partitions).expect("placed"), &data.address);
        Self { application, client, data, control, placement }
    }

    /// Its client asks the driver for new epochs, which lead to the worker past the proxy.
    fn asking(self) -> Self {
        let config = ClientConfig { codec: Codec::None, ..small() };
        let client = Client::with_driver(config, Arc::clone(&self.application) as _).expect("a client");
        Self { client, ..self }
    }

    fn restarted(&self, server: &mut Server) {
        server.start_again();
        self.data.retarget(server.data());
        self.control.retarget(&server.endpoints.control);
    }

    fn write(&self, maps: &[Records]) -> Vec<Expected> {
        let mut expected = vec![];
        for (map, records) in (0..).zip(maps) {
            let stored = write_attempt(&self.client, &self.placement, attempt(map), records).expect("written");
            expected.extend(pieces(attempt(map), &stored));
        }
        expected
    }
}

fn maps() -> Vec<Records> {
    (0..4).map(|map| records(map, 20_000, 10, 100)).collect()
}

fn attempts(maps: &[Records]) -> Vec<Attempt> {
    (0..maps.len() as u32).map(attempt).collect()
}

#[test]
fn a_clean_restart_serves_what_was_written_before() {
    let mut server = Server::start(&[]);
    let job = Job::start(&server, 10);
    let mut maps = maps();
    let mut expected = job.write(&maps);
    assert!(server.stop().success());
    job.restarted(&mut server);
    assert!(read_all(&job.client, &job.placement, expected.clone()).expect("read") == items(maps.iter().flatten()));

    maps.push(records(9, 5000, 10, 100));
    let stored = write_attempt(&job.client, &job.placement, attempt(9), &maps[4]).expect("it takes more");
    expected.extend(pieces(attempt(9), &stored));
    assert!(read_all(&job.client, &job.placement, expected).expect("read") == items(maps.iter().flatten()));
}

#[test]
fn a_killed_server_serves_what_was_acknowledged_on_disk() {
    let mut server = Server::start(&["--durability", "disk"]);
    let job = Job::start(&server, 10);
    let maps = maps();
    let expected = job.write(&maps);
    server.kill();
    job.restarted(&mut server);
    assert!(read_all(&job.client, &job.placement, expected).expect("read") == items(maps.iter().flatten()));
}

#[test]
fn a_killed_server_that_kept_data_in_memory_names_every_attempt_as_lost() {
    let mut server = Server::start(&[]);
    let job = Job::start(&server, 10).asking();
    let maps = maps();
    let expected = job.write(&maps);
    server.kill();
    job.restarted(&mut server);
    let error = read_all(&job.client, &job.placement, expected).expect_err("lost");
    assert_eq!((error.kind(), error.lost), (ErrorKind::DataLost, attempts(&maps)));
    let expected = job.write(&maps);
    assert!(read_all(&job.client, &job.placement, expected).expect("read") == items(maps.iter().flatten()));
}

#[test]
fn an_attempt_that_a_kill_interrupts_fails_and_its_retry_succeeds() {
    let mut server = Server::start(&[]);
    let job = Job::start(&server, 10).asking();
    let map = records(0, 20_000, 10, 100);
    let mut writer = job.client.writer(Arc::clone(&job.placement), attempt(0)).expect("a writer");
    let (chunk, used) = crate::support::fill(writer.chunk(4 << 20).expect("memory"), &map);
    writer.push(vec![(chunk, used)]).expect("taken");
    eventually("some frames are acknowledged", || {
        let stats = writer.stats();
        stats.frames > 0 && stats.held_bytes < 1000
    });
    server.kill();
    job.restarted(&mut server);
    let error = writer.finish(vec![]).expect_err("the worker has not got the first frames");
    assert_eq!(error.kind(), ErrorKind::DataLost, "{error}");
    let retry = Attempt { map_index: 0, attempt: 99 };
    let stored = write_attempt(&job.client, &job.placement, retry, &map).expect("written");
    assert!(read_all(&job.client, &job.placement, pieces(retry, &stored)).expect("read") == items(&map));
}

#[test]
fn connections_cut_while_writing_and_reading_change_nothing() {
    let server = Server::start(&[]);
    let job = Job::start(&server, 10);
    let maps = maps();
    let mut expected = vec![];
    for ((map, records), cut) in (0..).zip(&maps).zip([10, 70_000, 700_000, 1_500_000]) {
        job.data.cut_up_after(cut);
        let stored = write_attempt(&job.client, &job.placement, attempt(map), records).expect("written");
        expected.extend(pieces(attempt(map), &stored));
    }
    for cut in [10, 5000, 900_000, 5_000_000] {
        job.data.cut_down_after(cut);
        let found = read_all(&job.client, &job.placement, expected.clone()).expect("read");
        assert!(found == items(maps.iter().flatten()), "cut after {cut} bytes");
    }
    assert_eq!(job.data.cuts(), 8);
}

#[test]
fn a_flipped_bit_on_disk_reaches_no_item_and_names_what_it_hit() {
    let mut server = Server::start(&[]);
    let job = Job::start(&server, 10);
    let maps = maps();
    let expected = job.write(&maps);
    assert!(server.stop().success());
    let segment = server.segments().into_iter().max_by_key(|path| path.metadata().map_or(0, |data| data.len()));
    let segment = segment.expect("a clean stop writes everything");
    let mut bytes = fs::read(&segment).expect("readable");
    let text = b"map 2 record 1234 ";
    let at = bytes.windows(text.len()).position(|window| window == text).expect("stored as it is");
    bytes[at + 3] ^= 1;
    fs::write(&segment, bytes).expect("writable");
    job.restarted(&mut server);
    let error = read_all(&job.client, &job.placement, expected.clone()).expect_err("damaged");
    assert_eq!((error.kind(), error.lost), (ErrorKind::DataLost, vec![attempt(2)]));
    let others = expected.into_iter().filter(|piece| piece.attempt != attempt(2)).collect();
    let right = items(maps[..2].iter().chain(&maps[3..]).flatten());
    assert!(read_all(&job.client, &job.placement, others).expect("the rest is whole") == right);
}

#[test]
fn another_worker_at_the_same_address_is_not_taken_for_the_old_one() {
    let server = Server::start(&[]);
    let job = Job::start(&server, 10);
    let maps = maps();
    let expected = job.write(&maps);
    let other = Server::start(&[]);
    let secret = fs::read(server.folder.join("secret")).expect("readable");
    drop(server);
    fs::write(other.folder.join("secret"), secret).expect("writable");
    let mut other = other;
    assert!(other.stop().success());
    job.restarted(&mut other);
    let client = Client::new(ClientConfig { codec: Codec::None, ..small() }).expect("a client");
    let error = read_all(&client, &job.placement, expected).expect_err("another worker");
    assert_eq!((error.kind(), error.lost), (ErrorKind::DataLost, attempts(&maps)));
    let error = write_attempt(&client, &job.placement, attempt(0), &maps[0]).expect_err("another worker");
    assert_eq!(error.kind(), ErrorKind::Stale);
}

#[test]
fn a_lost_coordinator_is_found_again_and_learns_the_application() {
    let mut server =
        Server::start(&["--set", "coordinator.lease=900ms", "--set", "coordinator.heartbeat_interval=100ms"]);
    let job = Job::start(&server, 10);
    let maps = maps();
    let expected = job.write(&maps);
    assert!(server.stop().success());
    let placement = job.application.placement(1, 10).expect("the view stays while no coordinator answers");
    assert_eq!(placement.workers()[0].worker.id, job.placement.workers()[0].worker.id);
    job.restarted(&mut server);
    eventually("the application is registered again", || {
        let status = server.status();
        status["applications"].as_array().is_some_and(|applications| !applications.is_empty())
    });
    assert!(read_all(&job.client, &job.placement, expected).expect("read") == items(maps.iter().flatten()));
}

#[test]
fn a_coordinator_out_of_reach_is_a_clear_error() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string();
    let config = ApplicationConfig {
        connect_timeout: Duration::from_millis(500),
        ..ApplicationConfig::new(vec![gone.clone()], "nobody".parse().expect("valid"))
    };
    let error = Application::register(config.clone()).expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Retry);
    for part in [gone.as_str(), "500ms", "check that one runs"] {
        assert!(error.message().contains(part), "{error}");
    }
    let server = Server::start(&[]);
    let both = vec![gone, server.endpoints.control.clone()];
    Application::register(ApplicationConfig { coordinators: both, ..config }).expect("the second one answers");
}
