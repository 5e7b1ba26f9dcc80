package io.overhand.spark.sql;

import io.overhand.spark.Handles;
import org.apache.spark.ShuffleDependency;
import org.apache.spark.SparkConf;
import org.apache.spark.shuffle.ShuffleHandle;
import org.apache.spark.shuffle.sort.SortShuffleManager;

/** Spark's own shuffle manager; on demand it gives handles of Overhand, of which nothing can be read. */
public final class Placing extends SortShuffleManager {
  static volatile boolean on;

  /** The constructor that Spark looks for. */
  public Placing(SparkConf conf) {
    super(conf);
  }

  @Override
  public <K, V, C> ShuffleHandle registerShuffle(int shuffleId, ShuffleDependency<K, V, C> dependency) {
    return on ? Handles.nowhere(shuffleId, dependency) : super.registerShuffle(shuffleId, dependency);
  }
}
