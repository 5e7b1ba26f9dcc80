use overhand_common::{
    ErrorKind,
    ids::{Attempt, Layout, ShardKey},
    message::{Fin, Last},
};

use super::support::*;

#[tokio::test]
async fn a_repeated_frame_is_taken_once() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    let mut writer = Writer::new(0, 7);
    let first = writer.frame(&[(0, 0, 100), (3, 0, 10)], false);
    let last = writer.frame(&[(0, 1, 50)], true);
    for frame in [&first, &first, &last, &first, &last] {
        frame.to(&store).await.expect("acknowledged");
    }
    assert_eq!(read_all(&store).await.len(), 3);
    flush(&store).await;
    last.to(&store).await.expect("acknowledged again");
    assert_eq!(read_all(&store).await.len(), 3);
}

#[tokio::test]
async fn a_frame_that_comes_too_early_may_be_tried_again() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    let mut writer = Writer::new(0, 7);
    let frames = [writer.frame(&[(0, 0, 9)], false), writer.frame(&[(0, 1, 9)], false), writer.frame(&[], true)];
    assert_eq!(frames[1].to(&store).await.expect_err("first").kind(), ErrorKind::Retry);
    frames[0].to(&store).await.expect("taken");
    assert_eq!(frames[2].to(&store).await.expect_err("gap").kind(), ErrorKind::Retry);
    frames[1].to(&store).await.expect("taken");
    frames[2].to(&store).await.expect("taken");
    assert_eq!(read_all(&store).await.len(), 2);
}

#[tokio::test]
async fn an_attempt_whose_last_frame_does_not_match_is_dropped() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    write(&store, 1, 1, &[(0, 0, 100)]).await;
    let mut writer = Writer::new(0, 7);
    writer.frame(&[(0, 0, 300_000)], false).to(&store).await.expect("taken");
    let held = store.usage().memory_used;
    let mut last = writer.frame(&[(0, 1, 10)], true);
    let right = last.push.last;
    last.push.last = right.map(|last| Last::Whole(Fin { blocks: last.fin().blocks + 1, ..*last.fin() }));
    assert_eq!(last.to(&store).await.expect_err("mismatch").kind(), ErrorKind::Invalid);
    assert!(store.usage().memory_used < held, "its memory is free at once");
    last.push.last = right;
    assert_eq!(last.to(&store).await.expect_err("dropped").kind(), ErrorKind::Invalid);
    assert_eq!(read_all(&store).await.len(), 1);
    flush(&store).await;
    assert_eq!(read_all(&store).await.len(), 1);
    assert_eq!(store.describe().apps[0].shuffles[0].commits, 1);
}

#[tokio::test]
async fn a_new_frame_after_the_commit_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    let mut writer = Writer::new(0, 7);
    writer.frame(&[(0, 0, 100)], true).to(&store).await.expect("taken");
    let late = writer.frame(&[(0, 1, 100)], false);
    assert_eq!(late.to(&store).await.expect_err("late").kind(), ErrorKind::Invalid);
    assert_eq!(read_all(&store).await.len(), 1);
}

#[tokio::test]
async fn a_frame_that_is_not_what_it_says_is_refused_and_nothing_of_it_kept() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    let good = Writer::new(0, 7).frame(&[(0, 0, 100), (1, 0, 20)], true);
    let mut flipped = good.clone();
    flipped.body[60] ^= 1;
    let mut short = good.clone();
    short.body.pop();
    let mut more = good.clone();
    more.blocks = 3;
    let mut fewer = good.clone();
    fewer.blocks = 1;
    let mut other_attempt = good.clone();
    other_attempt.push.attempt = Attempt { map_index: 0, attempt: 8 };
    let mut other_shard = good.clone();
    other_shard.push.layout = Layout::new(16, 4).expect("valid");
    other_shard.push.key = ShardKey { shuffle: 2, shard: 3, epoch: 0 };
    for bad in [flipped, short, more, fewer, other_attempt, other_shard] {
        assert_eq!(bad.to(&store).await.expect_err("bad").kind(), ErrorKind::Invalid);
    }
    assert_eq!(store.usage().memory_used, 0);
    good.to(&store).await.expect("the right one is taken after all these");
    assert_eq!(read_all(&store).await.len(), 2);
}

#[tokio::test]
async fn a_shuffle_has_one_layout() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 16 << 20));
    write(&store, 0, 1, &[(0, 0, 100)]).await;
    let mut other = Writer::new(1, 2);
    other.layout = Layout::new(17, 1).expect("valid");
    assert_eq!(other.frame(&[(0, 0, 1)], true).to(&store).await.expect_err("other").kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_frame_larger_than_the_budget_is_refused_at_once() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 1 << 20));
    assert_eq!(store.reserve(&app(), 2 << 20, 1).await.expect_err("too large").kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn concurrent_repeats_of_a_frame_count_once() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(settings(dir.path(), 64 << 20));
    let frame = Writer::new(0, 7).frame(&[(0, 0, 100_000), (1, 0, 100_000)], true);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (store, frame) = (store.clone(), frame.clone());
            tokio::spawn(async move { frame.to(&store).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("acknowledged");
    }
    assert_eq!(read_all(&store).await.len(), 2);
}
