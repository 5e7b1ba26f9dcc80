package io.overhand.spark.jni;

/** What to read: ranges of partitions and map indexes (both half-open), and every non-empty piece in them. */
public final class ReadRequest {
  private final int startPartition;
  private final int endPartition;
  private final int startMap;
  private final int endMap;
  private final long[] expected;

  /**
   * A request for {@code expected}: two numbers for each piece, the partition (upper half) with the map index (lower
   * half), and the attempt.
   */
  public ReadRequest(int startPartition, int endPartition, int startMap, int endMap, long[] expected) {
    this.startPartition = startPartition;
    this.endPartition = endPartition;
    this.startMap = startMap;
    this.endMap = endMap;
    this.expected = expected;
  }

  int startPartition() {
    return startPartition;
  }

  int endPartition() {
    return endPartition;
  }

  int startMap() {
    return startMap;
  }

  int endMap() {
    return endMap;
  }

  long[] expected() {
    return expected;
  }
}
