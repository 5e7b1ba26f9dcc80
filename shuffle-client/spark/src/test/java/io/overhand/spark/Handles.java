package io.overhand.spark;

import org.apache.spark.ShuffleDependency;

/** Handles of shuffles that Spark doesn't know. */
public final class Handles {
  private Handles() {}

  /** A shuffle of one partition. */
  public static OverhandShuffleHandle<Object, Object, Object> of(byte[] placement) {
    return new OverhandShuffleHandle<>(7, null, placement, 1);
  }

  /** A shuffle that is nowhere. */
  public static <K, V, C> OverhandShuffleHandle<K, V, C> nowhere(
      int shuffleId, ShuffleDependency<K, V, C> dependency) {
    return new OverhandShuffleHandle<>(
        shuffleId, dependency, new byte[100], dependency.partitioner().numPartitions());
  }
}
