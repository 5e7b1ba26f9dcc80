//! A reader: the real record of what is wanted, and of whom to ask, between simulated connections.
//!
//! In the place of the client's `fetches` and `decoder`, without hedging and without credit.

use std::collections::BTreeMap;

use overhand_client::{
    Attempt, Error, ErrorKind, Expected, Place, Trouble,
    sim::{Lacking, NextRead, Read, Shards, Wanted},
};
use overhand_common::{
    block::{Block, Flags, Header},
    ids::ShardKey,
    message::{End, Failure, Fetch, Kind, VERSION},
};
use tokio::sync::mpsc;

use crate::{
    clock::Host,
    link::{SILENCE, dial},
    writer::{Client, Output},
};

/// All readers' host.
pub const READERS: Host = 102;

/// What a read gave.
#[derive(Debug)]
pub enum Given {
    /// Everything: per attempt what it wrote.
    All(BTreeMap<Attempt, Output>),
    /// These attempts are lost; and why, for people.
    Lost(Vec<Attempt>, String),
}

enum Event {
    Body(Read, usize, Vec<u8>),
    Ended(Read, usize, Result<(), Error>),
}

/// Reads all that is `expected`.
pub async fn read(client: &Client, expected: Vec<Expected>) -> Given {
    let mut placement = client.newest.borrow().clone();
    let layout = placement.layout;
    let mut wanted = Wanted::new(expected);
    let mut shards = Shards::default();
    let turn = client.sim.pick(0..4) as usize;
    for (shard, epochs) in (0..).zip(&placement.shards) {
        if wanted.bounds(&layout.range(shard)).is_some() {
            shards.add(shard, epochs, shard as usize + turn);
        }
    }
    let (events, mut heard) = mpsc::unbounded_channel();
    let mut active = BTreeMap::<u32, usize>::new();
    let mut got = BTreeMap::<(Attempt, u32, u32), Vec<u8>>::new();
    loop {
        while let Some(read) = shards.pop() {
            let Some(lacking) = wanted.lacking(&layout.range(read.shard)) else { continue };
            let members = shards.members(read);
            let Some(ask) = members.ask(|_| false) else { continue };
            let key = ShardKey { shuffle: placement.shuffle, shard: read.shard, epoch: members.epoch };
            let (client, place, events) = (client.clone(), members.place(ask.member).clone(), events.clone());
            *active.entry(read.shard).or_default() += 1;
            client.sim.clone().spawn(READERS, async move {
                let ended = fetch(&client, &place, key, lacking, |body| {
                    // The reader may have ended.
                    let _ = events.send(Event::Body(read, ask.member, body));
                })
                .await;
                let _ = events.send(Event::Ended(read, ask.member, ended));
            });
        }
        let stuck: Vec<u32> = active.iter().filter(|(_, count)| **count == 0).map(|(shard, _)| *shard).collect();
        if active.is_empty() {
            break;
        }
        for shard in stuck {
            let range = layout.range(shard);
            if wanted.complete(&range) {
                active.remove(&shard);
                shards.close(shard);
                let lost = wanted.missing(&range);
                if !lost.is_empty() {
                    return Given::Lost(lost, "blocks contradict each other".into());
                }
            } else if shards.go_on(shard) == NextRead::AskDriver {
                if let Ok(newer) = client.driver.ask(placement.shuffle, &Trouble::Unreadable).await {
                    placement = newer;
                    shards.learn(&placement);
                }
                shards.wake();
                if shards.go_on(shard) == NextRead::AskDriver {
                    return Given::Lost(wanted.missing(&range), shards.why(shard));
                }
            }
        }
        if shards.queued() > 0 || active.values().any(|count| *count == 0) || active.is_empty() {
            continue;
        }
        match heard.recv().await.expect("the reader holds a sender") {
            Event::Body(read, member, body) => {
                shards.members(read).answered(member);
                if let Err(damage) = take(&mut wanted, &mut got, &body) {
                    shards.damaged(read.shard, damage);
                }
            }
            Event::Ended(read, member, ended) => {
                *active.entry(read.shard).or_default() -= 1;
                let members = shards.members(read);
                match ended {
                    Ok(()) => members.read(member, None),
                    Err(error) if error.kind() == ErrorKind::Retry => members.broke(member, error),
                    Err(error) => members.failed(member, error),
                }
            }
        }
    }
    let mut all = BTreeMap::<Attempt, Output>::new();
    for ((attempt, partition, _), payload) in got {
        all.entry(attempt).or_default().entry(partition).or_default().push(payload);
    }
    Given::All(all)
}

/// Takes the blocks that are wanted and new.
fn take(wanted: &mut Wanted, got: &mut BTreeMap<(Attempt, u32, u32), Vec<u8>>, mut rest: &[u8]) -> Result<(), String> {
    while !rest.is_empty() {
        let (block, after) = Block::split(rest).map_err(|malformed| malformed.to_string())?;
        rest = after;
        let Header { partition, attempt, seq, flags, .. } = block.header;
        let Some(at) = wanted.find(Expected { partition, attempt }) else { continue };
        if wanted.has(at, seq) {
            continue;
        }
        wanted.arrived(at, seq, flags.has(Flags::LAST));
        assert!(got.insert((attempt, partition, seq), block.payload.to_vec()).is_none(), "a block came twice");
    }
    Ok(())
}

async fn fetch(
    client: &Client,
    place: &Place,
    key: ShardKey,
    lacking: Lacking,
    mut body: impl FnMut(Vec<u8>),
) -> Result<(), Error> {
    let lost = |what: &str| Error::new(ErrorKind::Retry, what);
    let conn = dial(&client.sim, &client.net, READERS, place, false).await?;
    let Lacking { partitions, maps, without } = lacking;
    let fetch = Fetch { key, partitions, maps, credit: u64::MAX, without, ends: false };
    conn.send(Kind::Fetch, 1, &fetch.encode(VERSION), &[], 0);
    let mut came = 0;
    loop {
        let message = client.sim.timeout(SILENCE, conn.recv()).await.ok_or_else(|| lost("it is silent"))?;
        let message = message.ok_or_else(|| lost("the connection broke"))?;
        match message.header.kind {
            Kind::Data => {
                came += message.body().len() as u64;
                body(message.body().to_vec());
            }
            Kind::End if End::decode(message.head())?.bytes == came => return Ok(()),
            Kind::End => return Err(lost("not all of it came")),
            Kind::Failure => return Err(Failure::decode(message.head())?.error),
            _ => {}
        }
    }
}
