package io.overhand.spark;

import org.apache.spark.ShuffleDependency;
import org.apache.spark.shuffle.BaseShuffleHandle;

/** A shuffle that goes through Overhand: travels with every task, and carries where the shuffle's shards are. */
public final class OverhandShuffleHandle<K, V, C> extends BaseShuffleHandle<K, V, C> {
  private static final long serialVersionUID = 1;

  private final byte[] placement;
  private final int partitions;

  OverhandShuffleHandle(int shuffleId, ShuffleDependency<K, V, C> dependency, byte[] placement, int partitions) {
    super(shuffleId, dependency);
    this.placement = placement;
    this.partitions = partitions;
  }

  /** The bytes of the native client's {@code Placement}. */
  public byte[] placement() {
    return placement;
  }

  /** How many partitions the shuffle has. */
  public int partitions() {
    return partitions;
  }
}
