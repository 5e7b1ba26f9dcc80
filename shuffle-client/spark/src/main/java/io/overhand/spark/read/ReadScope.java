package io.overhand.spark.read;

/** What one task reads of a shuffle: half-open ranges of map tasks and of partitions. */
public final class ReadScope {
  private final int shuffleId;
  private final byte[] placement;
  private final int startMap;
  private final int endMap;
  private final int startPartition;
  private final int endPartition;

  /** A scope of the shuffle at {@code placement}; {@code endMap} may be {@code Integer.MAX_VALUE}, for all. */
  public ReadScope(
      int shuffleId, byte[] placement, int startMap, int endMap, int startPartition, int endPartition) {
    this.shuffleId = shuffleId;
    this.placement = placement;
    this.startMap = startMap;
    this.endMap = endMap;
    this.startPartition = startPartition;
    this.endPartition = endPartition;
  }

  int shuffleId() {
    return shuffleId;
  }

  byte[] placement() {
    return placement;
  }

  int startMap() {
    return startMap;
  }

  int endMap() {
    return endMap;
  }

  int startPartition() {
    return startPartition;
  }

  int endPartition() {
    return endPartition;
  }
}
