//! Attempts that went on in another epoch.

use overhand_common::{ErrorKind, message::Last};

use super::support::*;
use crate::worker::store::{Durability, Settings};

/// A writer that has pushed so many frames of one block.
async fn pushed(store: &crate::worker::store::Store, frames: u32) -> Writer {
    let mut writer = Writer::new(0, 7);
    for seq in 0..frames {
        writer.frame(&[(0, seq, 100)], false).to(store).await.expect("taken");
    }
    writer
}

#[tokio::test]
async fn an_attempt_is_settled_at_the_frames_that_count_and_keeps_the_others() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    let mut writer = pushed(&store, 3).await;
    writer.settle(2).to(&store).await.expect("settled");
    writer.settle(2).to(&store).await.expect("settled already");
    assert_eq!(store.describe().apps[0].shuffles[0].commits, 1);
    assert_eq!(read_all(&store).await.len(), 3, "readers drop what came again elsewhere");
    let late = writer.frame(&[(0, 3, 100)], true);
    assert_eq!(late.to(&store).await.expect_err("late").kind(), ErrorKind::Invalid);
    assert_eq!(writer.settle(3).to(&store).await.expect_err("fewer count").kind(), ErrorKind::DataLost);
    writer.settle(1).to(&store).await.expect("these are here too");
}

#[tokio::test]
async fn what_is_not_here_cannot_be_settled() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    let mut writer = Writer::new(0, 7);
    let frames = [writer.frame(&[(0, 0, 100)], false), writer.frame(&[(0, 1, 100)], false)];
    let refused = |error: overhand_common::Error, why: &str| {
        assert_eq!(error.kind(), ErrorKind::DataLost);
        assert!(error.message().contains(why), "{error}");
    };
    refused(writer.settle(1).to(&store).await.expect_err("no shard"), "is not here");
    assert!(store.apps().is_empty(), "asking makes nothing");
    write(&store, 5, 5, &[(0, 0, 100)]).await;
    refused(writer.settle(1).to(&store).await.expect_err("no attempt"), "nothing of the attempt");
    frames[0].to(&store).await.expect("taken");
    refused(writer.settle(2).to(&store).await.expect_err("one frame"), "1 are here");
    frames[1].to(&store).await.expect("taken");
    let mut wrong = writer.settle(1);
    wrong.push.last = Some(Last::Settled(overhand_common::message::Fin { crc_xor: 1, ..writer.after[0] }));
    refused(wrong.to(&store).await.expect_err("other sums"), "add up");
    writer.settle(1).to(&store).await.expect("a wrong one does no harm");
}

#[tokio::test]
async fn what_settles_has_no_blocks_and_a_count() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    let writer = pushed(&store, 2).await;
    let (mut full, mut number, mut none) = (writer.settle(2), writer.settle(2), writer.settle(2));
    full.body = block(0, writer.attempt, 2, 10);
    full.blocks = 1;
    number.push.frame = 1;
    none.push.frame = 0;
    none.push.last = Some(Last::Settled(overhand_common::message::Fin::default()));
    for bad in [full, number, none] {
        assert_eq!(bad.to(&store).await.expect_err("bad").kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn an_attempt_that_ended_here_is_settled_too() {
    // Its last frame was kept here, and lost on the way down the chain.
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    let mut writer = pushed(&store, 2).await;
    writer.frame(&[(0, 2, 100)], true).to(&store).await.expect("taken");
    writer.settle(2).to(&store).await.expect("its frames are here");
    writer.settle(3).to(&store).await.expect("its frames are here");
    assert_eq!(store.describe().apps[0].shuffles[0].commits, 1);
}

#[tokio::test]
async fn settling_promises_what_the_settings_promise() {
    let dir = tempfile::tempdir().expect("dir");
    let to_disk = || Settings { durability: Durability::Disk, ..settings(dir.path(), 16 << 20) };
    let store = open(to_disk());
    let writer = pushed(&store, 3).await;
    writer.settle(2).to(&store).await.expect("settled");
    drop(store);
    let store = open(to_disk());
    assert_eq!(store.worker_id().incarnation, 2, "it was a crash");
    assert_eq!(store.describe().apps[0].shuffles[0].commits, 1);
    assert_eq!(read_all(&store).await.len(), 3);
    writer.settle(2).to(&store).await.expect("settled before the crash");
}

#[tokio::test]
async fn an_epoch_that_grew_too_large_is_split() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(Settings { split_size: 10_000, ..settings(dir.path(), 16 << 20) });
    let mut writer = Writer::new(0, 7);
    let split = |ack: overhand_common::message::Ack| ack.split;
    for seq in 0..4 {
        let frame = writer.frame(&[(0, seq, 2400)], false);
        assert!(!split(frame.acknowledged(&store).await.expect("taken")), "frame {seq}");
    }
    flush(&store).await;
    let last = writer.frame(&[(0, 4, 2400)], true);
    assert!(split(last.acknowledged(&store).await.expect("taken")), "memory and disk count together");
    assert!(split(last.acknowledged(&store).await.expect("a repeat is told the same")));
    let mut next = Writer::new(0, 8);
    next.key.epoch = 1;
    let frame = next.frame(&[(0, 0, 2400)], true);
    assert!(!split(frame.acknowledged(&store).await.expect("taken")), "each epoch counts for itself");
    drop(store);
    let never = tempfile::tempdir().expect("dir");
    let store = open(Settings { split_size: 0, ..settings(never.path(), 16 << 20) });
    assert!(!split(last_of(10_000).acknowledged(&store).await.expect("taken")));
}

fn last_of(len: usize) -> Sent {
    Writer::new(0, 1).frame(&[(0, 0, len), (1, 0, len)], true)
}
