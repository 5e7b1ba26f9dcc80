//! Readers of shards that several workers hold, some of which fail.

mod support;

use std::{
    sync::{Arc, LazyLock},
    thread,
    time::{Duration, Instant},
};

use overhand_client::{AppId, Client, ClientConfig, Driver, Error, ErrorKind, Placement, ReadRequest, Reader, Trouble};
use proptest::prelude::*;
use support::{
    attempt, collect,
    replica::{Knows, Replica, Then, Written, key, written},
    small,
};

fn config() -> ClientConfig {
    ClientConfig {
        retry_for: Duration::from_millis(200),
        silence: Duration::from_millis(600),
        connect_timeout: Duration::from_millis(300),
        read_window: 4 << 20,
        ..small()
    }
}

fn client() -> Client {
    Client::new(config()).expect("in bounds")
}

/// One partition, of 40 map tasks.
fn one_partition(client: &Client) -> Written {
    written(client, (1, 1), 40, 200)
}

fn reader(client: &Client, placement: &Arc<Placement>, written: &Written) -> Reader {
    let expected = written.expected.clone();
    let request = ReadRequest { partitions: 0..written.partitions, maps: 0..u32::MAX, expected };
    client.reader(Arc::clone(placement), request).expect("in bounds")
}

#[test]
fn readers_of_different_shards_start_with_different_members() {
    let client = client();
    let written = written(&client, (20, 2), 4, 500);
    let replicas = [Replica::start(1), Replica::start(2)];
    for replica in &replicas {
        let blocks = written.blocks.iter().map(|(shard, blocks)| (key(*shard, 0), blocks.clone()));
        replica.state().blocks.extend(blocks);
    }
    let chain: &[&[&Replica]] = &[&[&replicas[0], &replicas[1]]];
    let placement = written.placement(0, &[chain, chain]);
    let mut reader = reader(&client, &placement, &written);
    assert_eq!(collect(&mut reader).expect("read"), written.items);
    let first = replicas.each_ref().map(|replica| replica.state().fetches[0].key);
    assert_eq!(first, [key(0, 0), key(1, 0)]);
    assert_eq!(reader.stats().fetches, 2 + reader.stats().hedged);
}

#[test]
fn a_read_goes_on_at_another_member_and_what_came_is_not_sent_again() {
    let failure = Error::new(ErrorKind::Internal, "a fault");
    for then in [Then::Cut, Then::Fail(failure), Then::Stop] {
        let client = client();
        let written = one_partition(&client);
        let blocks = &written.blocks[&0];
        let replicas = [Replica::with(1, key(0, 0), blocks), Replica::with(2, key(0, 0), blocks)];
        replicas[0].state().then = Some((blocks.len() / 2, then.clone()));
        let placement = written.placement(0, &[&[&[&replicas[0], &replicas[1]]]]);
        let mut reader = reader(&client, &placement, &written);
        assert_eq!(collect(&mut reader).expect("read"), written.items, "{then:?}");
        let sent: usize = replicas.iter().map(|replica| replica.state().sent).sum();
        let longest = (0..40).map(|map| written.of(0, |other| other == map).iter().map(Vec::len).sum()).max();
        let again: usize = sent - written.bytes();
        assert!(again <= longest.expect("there are maps"), "{then:?}: {again} bytes were sent again");
        assert_eq!((replicas[0].state().fetches.len(), replicas[1].state().fetches.len()), (1, 1), "{then:?}");
    }
}

#[test]
fn of_many_partitions_those_that_came_are_not_asked_for_again() {
    let client = client();
    let written = written(&client, (10, 1), 3, 1000);
    let mut blocks = written.blocks[&0].clone();
    blocks.sort_by_key(|bytes| overhand_common::block::Block::split(bytes).expect("whole").0.header.partition);
    let replicas = [Replica::with(1, key(0, 0), &blocks), Replica::with(2, key(0, 0), &blocks)];
    replicas[0].state().then = Some((blocks.len() / 2, Then::Cut));
    let placement = written.placement(0, &[&[&[&replicas[0], &replicas[1]]]]);
    assert_eq!(collect(&mut reader(&client, &placement, &written)).expect("read"), written.items);
    let asked = replicas[1].state().fetches[0].partitions.clone();
    assert!(asked.start >= 3 && asked.end == 10, "{asked:?}");
}

#[test]
fn a_worker_that_only_says_that_it_is_busy_is_slow_and_one_that_says_nothing_is_gone() {
    // Nobody else has it, so nothing but time tells them apart.
    for (then, breaks) in [(Then::Stall, false), (Then::Stop, true)] {
        let config = ClientConfig { connect_timeout: Duration::from_millis(100), ..config() };
        let client = Client::new(config).expect("in bounds");
        let written = one_partition(&client);
        let replica = Replica::with(1, key(0, 0), &written.blocks[&0]);
        replica.state().then = Some((10, then));
        let placement = written.placement(0, &[&[&[&replica]]]);
        let mut reader = reader(&client, &placement, &written);
        let start = Instant::now();
        reader.set_interrupt(Arc::new(move || start.elapsed() > Duration::from_millis(2800)));
        let error = collect(&mut reader).expect_err("there is no other");
        let kind = if breaks { ErrorKind::DataLost } else { ErrorKind::Closed };
        assert_eq!((error.kind(), reader.next().expect_err("it stays")), (kind, error));
    }
}

#[test]
fn a_slow_member_is_beaten_by_another() {
    let client = client();
    let written = one_partition(&client);
    let blocks = &written.blocks[&0];
    let replicas = [Replica::with(1, key(0, 0), blocks), Replica::with(2, key(0, 0), blocks)];
    replicas[0].state().then = Some((100, Then::Stall));
    let placement = written.placement(0, &[&[&[&replicas[0], &replicas[1]]]]);
    let start = Instant::now();
    let mut first = reader(&client, &placement, &written);
    assert_eq!(collect(&mut first).expect("read"), written.items);
    assert!((400..5000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert_eq!((first.stats().hedged, client.counters().hedges), (1, 1));
    let without = replicas[1].state().fetches[0].clone();
    assert!(without.maps.start > 0 || !without.without.is_empty(), "{without:?}");

    // Another member answers nothing at all: the readers after the first ask it last.
    replicas[0].state().then = Some((0, Then::Stall));
    assert_eq!(collect(&mut reader(&client, &placement, &written)).expect("read"), written.items);
    let asked = replicas[0].state().fetches.len();
    assert_eq!(collect(&mut reader(&client, &placement, &written)).expect("read"), written.items);
    assert_eq!((replicas[0].state().fetches.len(), client.counters().hedges), (asked, 2));
}

#[test]
fn when_two_are_slow_a_third_takes_over() {
    let client = client();
    let written = one_partition(&client);
    let replicas = [1, 2, 3].map(|id| Replica::with(id, key(0, 0), &written.blocks[&0]));
    let [one, two, three] = &replicas;
    one.state().then = Some((50, Then::Stall));
    two.state().then = Some((50, Then::Stall));
    let placement = written.placement(0, &[&[&[one, two, three]]]);
    let mut reader = reader(&client, &placement, &written);
    assert_eq!(collect(&mut reader).expect("read"), written.items);
    assert_eq!(reader.stats().hedged, 2);
}

#[test]
fn the_window_bounds_what_two_fetches_of_the_same_may_send() {
    let client = Client::new(ClientConfig { read_window: 40 << 10, ..config() }).expect("in bounds");
    let written = one_partition(&client);
    let blocks = &written.blocks[&0];
    let replicas = [Replica::with(1, key(0, 0), blocks), Replica::with(2, key(0, 0), blocks)];
    replicas[0].state().then = Some((1, Then::Stall));
    let placement = written.placement(0, &[&[&[&replicas[0], &replicas[1]]]]);
    assert_eq!(collect(&mut reader(&client, &placement, &written)).expect("read"), written.items);
    let credits = replicas.each_ref().map(|replica| replica.state().fetches[0].credit);
    assert!(credits.iter().sum::<u64>() <= 40 << 10, "{credits:?}");
}

#[test]
fn blocks_that_one_member_misses_are_found_at_another() {
    let client = client();
    let written = one_partition(&client);
    let replicas = [
        Replica::with(1, key(0, 0), &written.of(0, |map| map != 7)),
        Replica::with(2, key(0, 0), &written.of(0, |map| map != 20)),
    ];
    let placement = written.placement(0, &[&[&[&replicas[0], &replicas[1]]]]);
    assert_eq!(collect(&mut reader(&client, &placement, &written)).expect("read"), written.items);
    let asked = replicas[1].state().fetches[0].clone();
    assert_eq!((asked.maps, asked.without), (7..8, vec![]));
}

#[test]
fn an_epoch_that_a_member_does_not_have_is_no_error_when_the_rest_has_everything() {
    let client = client();
    let written = one_partition(&client);
    let (first, second) = (written.of(0, |map| map < 20), written.of(0, |map| map >= 20));
    let replicas = [Replica::with(1, key(0, 0), &first), Replica::start(2), Replica::start(3)];
    replicas[2].state().blocks.insert(key(0, 2), second);
    let [one, two, three] = &replicas;
    let placement = written.placement(0, &[&[&[one], &[two, three], &[two, three]]]);
    assert_eq!(collect(&mut reader(&client, &placement, &written)).expect("read"), written.items);
}

#[test]
fn what_is_damaged_at_one_member_is_read_from_another() {
    let client = client();
    let written = one_partition(&client);
    let blocks = &written.blocks[&0];
    let replicas = [Replica::with(1, key(0, 0), blocks), Replica::with(2, key(0, 0), blocks)];
    replicas[0].state().damages = vec![attempt(3), attempt(30)];
    replicas[1].state().damages = vec![attempt(30)];
    let placement = written.placement(0, &[&[&[&replicas[0], &replicas[1]]]]);
    let error = collect(&mut reader(&client, &placement, &written)).expect_err("both damage one");
    assert_eq!((error.kind(), &error.lost[..]), (ErrorKind::DataLost, &[attempt(30)][..]));
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(replicas.each_ref().map(|replica| replica.state().fetches.len()), [2, 2]);
    replicas[1].state().damages = vec![];
    assert_eq!(collect(&mut reader(&client, &placement, &written)).expect("read"), written.items);
}

#[test]
fn a_new_epoch_and_a_new_member_are_learned_from_the_driver() {
    let written = one_partition(&client());
    let (first, second) = (written.of(0, |map| map < 20), written.of(0, |map| map >= 20));
    let old = Replica::with(1, key(0, 0), &first);
    let copy = Replica::with(2, key(0, 0), &first);
    let new = Replica::with(3, key(0, 1), &second);
    let before = written.placement(4, &[&[&[&old]]]);
    old.state().then = Some((5, Then::Stop));
    let driver = Knows::new(&written.placement(5, &[&[&[&copy], &[&new]]]));
    let client = Client::with_driver(config(), driver.clone()).expect("in bounds");
    assert_eq!(collect(&mut reader(&client, &before, &written)).expect("read"), written.items);
    assert_eq!((driver.asked(), client.counters().driver_calls), (1, 1));
    // Who comes later starts with what was learned.
    let asked = old.state().fetches.len();
    assert_eq!(collect(&mut reader(&client, &before, &written)).expect("read"), written.items);
    assert_eq!((driver.asked(), old.state().fetches.len()), (1, asked));
}

#[test]
fn many_readers_ask_the_driver_once() {
    let written = one_partition(&client());
    let (old, new) = (Replica::start(1), Replica::with(2, key(0, 0), &written.blocks[&0]));
    let before = written.placement(0, &[&[&[&old]]]);
    let driver = Knows::new(&written.placement(1, &[&[&[&old, &new]]]));
    let client = Client::with_driver(config(), driver.clone()).expect("in bounds");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(collect(&mut reader(&client, &before, &written)).expect("read"), written.items));
        }
    });
    assert_eq!(driver.asked(), 1);
}

#[test]
fn why_a_driver_gave_no_answer_is_told() {
    #[derive(Debug)]
    struct Deaf;
    impl Driver for Deaf {
        fn ask(&self, _: &AppId, _: u32, _: &Trouble) -> Result<Placement, Error> {
            Err(Error::new(ErrorKind::Retry, "it is deaf"))
        }
    }
    let written = one_partition(&client());
    let client = Client::with_driver(config(), Arc::new(Deaf)).expect("in bounds");
    let placement = written.placement(0, &[&[&[&Replica::start(1)]]]);
    let error = collect(&mut reader(&client, &placement, &written)).expect_err("it has nothing");
    assert_eq!((error.kind(), error.lost.len()), (ErrorKind::DataLost, 40));
    assert!(error.to_string().contains("it is deaf"), "{error}");
}

#[test]
fn when_nobody_has_them_exactly_the_missing_attempts_are_lost() {
    let written = written(&client(), (8, 2), 4, 300);
    let replicas = [1, 2, 3].map(Replica::start);
    let [one, two, three] = &replicas;
    for replica in [one, two] {
        replica.state().blocks.insert(key(0, 0), written.of(0, |map| map != 2));
        replica.state().blocks.insert(key(1, 0), written.of(1, |_| true));
    }
    three.state().blocks.insert(key(0, 1), vec![]);
    let placement = written.placement(3, &[&[&[one, two], &[three]], &[&[two, one]]]);
    let driver = Knows::new(&placement);
    let client = Client::with_driver(config(), driver.clone()).expect("in bounds");
    let error = collect(&mut reader(&client, &placement, &written)).expect_err("one is nowhere");
    assert_eq!((error.kind(), &error.lost[..]), (ErrorKind::DataLost, &[attempt(2)][..]));
    assert_eq!(driver.asked(), 1);
    for replica in &replicas {
        assert!(error.to_string().contains(&replica.place.address), "{error}");
    }
}

#[test]
fn when_all_members_are_gone_everything_that_they_had_is_lost() {
    let written = written(&client(), (8, 2), 4, 300);
    let gone = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").to_string()
    };
    let (one, two) = (Replica::start(1), Replica::start(2));
    let mut placement = (*written.placement(0, &[&[&[&one, &two]], &[&[&two, &one]]])).clone();
    let (first, second) = (gone(), gone());
    for place in placement.shards.iter_mut().flatten().flat_map(|epoch| &mut epoch.chain) {
        place.address = if place.worker == one.place.worker { first.clone() } else { second.clone() };
    }
    let placement = Arc::new(placement);
    let error = collect(&mut reader(&client(), &placement, &written)).expect_err("nobody there");
    assert_eq!(error.lost, [0, 1, 2, 3].map(attempt));
    assert!(error.to_string().contains(&first) && error.to_string().contains(&second), "{error}");
}

static SHUFFLE: LazyLock<Written> = LazyLock::new(|| written(&client(), (6, 2), 20, 300));

fn any_fault() -> impl Strategy<Value = Option<Then>> {
    prop_oneof![
        Just(None),
        Just(Some(Then::Cut)),
        Just(Some(Then::Fail(Error::new(ErrorKind::Internal, "a fault")))),
        Just(Some(Then::Fail(Error::new(ErrorKind::Retry, "later")))),
        Just(Some(Then::Stop)),
        Just(Some(Then::Stall)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 0, ..ProptestConfig::default() })]
    #[test]
    fn one_healthy_member_is_enough_whatever_the_others_do(
        faults in proptest::collection::vec((0usize..150, any_fault(), proptest::collection::vec(0u32..20, 0..5)), 2),
        order in Just([0, 1, 2]).prop_shuffle(),
        split in 0u32..20,
    ) {
        let replicas = [1, 2, 3].map(Replica::start);
        for (number, replica) in replicas.iter().enumerate() {
            let (after, then, without) = faults.get(number).cloned().unwrap_or_default();
            let has = |map: &u32| !without.contains(map);
            let mut state = replica.state();
            state.then = then.map(|then| (after, then));
            for shard in 0..2 {
                state.blocks.insert(key(shard, 0), SHUFFLE.of(shard, |map| map < split && has(&map)));
                state.blocks.insert(key(shard, 1), SHUFFLE.of(shard, |map| map >= split && has(&map)));
            }
        }
        let [one, two, three] = order.map(|at| &replicas[at]);
        let epochs: &[&[&Replica]] = &[&[one, two, three], &[three, one, two]];
        let placement = SHUFFLE.placement(0, &[epochs, epochs]);
        prop_assert_eq!(&collect(&mut reader(&client(), &placement, &SHUFFLE)).expect("read"), &SHUFFLE.items);
    }
}
