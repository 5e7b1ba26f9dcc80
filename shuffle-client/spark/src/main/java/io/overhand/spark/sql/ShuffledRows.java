package io.overhand.spark.sql;

import io.overhand.spark.OverhandShuffleHandle;
import io.overhand.spark.compat.RowSerializer;
import org.apache.spark.ShuffleDependency;
import org.apache.spark.rdd.RDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.execution.ShufflePartitionSpec;
import org.apache.spark.sql.execution.ShuffledRowRDD;
import org.apache.spark.sql.execution.exchange.ShuffleExchangeExec;
import org.apache.spark.sql.execution.metric.SQLMetric;
import org.apache.spark.storage.StorageLevel;
import scala.collection.immutable.Map;

/** Spark's own RDD of shuffled rows on the driver; {@link TaskRows} in tasks. */
public final class ShuffledRows extends ShuffledRowRDD {
  private static final long serialVersionUID = 1;

  private final transient Map<String, SQLMetric> sqlMetrics;

  private ShuffledRows(ShuffleExchangeExec exchange) {
    super(exchange.shuffleDependency(), exchange.readMetrics());
    sqlMetrics = exchange.readMetrics();
  }

  private ShuffledRows(ShuffleExchangeExec exchange, ShufflePartitionSpec[] specs) {
    super(exchange.shuffleDependency(), exchange.readMetrics(), specs);
    sqlMetrics = exchange.readMetrics();
  }

  /** All partitions of {@code exchange}; {@code plain}, which are Spark's, if its shuffle is not Overhand's. */
  public static RDD<InternalRow> inPlaceOf(RDD<InternalRow> plain, ShuffleExchangeExec exchange) {
    return isOurs(exchange) ? new ShuffledRows(exchange) : plain;
  }

  /** The same of the partitions, or parts of them, that {@code specs} name. */
  public static RDD<InternalRow> inPlaceOf(
      RDD<InternalRow> plain, ShuffleExchangeExec exchange, ShufflePartitionSpec[] specs) {
    return isOurs(exchange) ? new ShuffledRows(exchange, specs) : plain;
  }

  private static boolean isOurs(ShuffleExchangeExec exchange) {
    ShuffleDependency<?, ?, ?> dependency = exchange.shuffleDependency();
    return dependency.shuffleHandle() instanceof OverhandShuffleHandle && RowSerializer.isRows(dependency);
  }

  /** What tasks get. One that is cached or checkpointed keeps its identity, by which tasks find their blocks. */
  private Object writeReplace() {
    boolean kept = !getStorageLevel().equals(StorageLevel.NONE()) || checkpointData().isDefined();
    if (kept || dependency() == null) {
      return this;
    }
    OverhandShuffleHandle<?, ?, ?> handle = (OverhandShuffleHandle<?, ?, ?>) dependency().shuffleHandle();
    return new TaskRows(this, handle, RowSerializer.of(dependency().serializer()).fields(), sqlMetrics);
  }
}
