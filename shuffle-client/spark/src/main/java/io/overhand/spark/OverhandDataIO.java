package io.overhand.spark;

import org.apache.spark.SparkConf;
import org.apache.spark.shuffle.api.ShuffleDriverComponents;
import org.apache.spark.shuffle.sort.io.LocalDiskShuffleDataIO;
import org.apache.spark.shuffle.sort.io.LocalDiskShuffleDriverComponents;

/**
 * Tells Spark that map outputs outlive their executors. All else is as with Spark's own: its executor half serves the
 * shuffles that fall back, and its driver half sends the message that makes managers forget a shuffle.
 */
public final class OverhandDataIO extends LocalDiskShuffleDataIO {
  /** Called by Spark. */
  public OverhandDataIO(SparkConf conf) {
    super(conf);
  }

  @Override
  public ShuffleDriverComponents driver() {
    return new DriverComponents();
  }

  private static final class DriverComponents extends LocalDiskShuffleDriverComponents {
    @Override
    public boolean supportsReliableStorage() {
      return true;
    }
  }
}
