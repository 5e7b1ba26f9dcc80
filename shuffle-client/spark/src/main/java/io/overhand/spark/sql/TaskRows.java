package io.overhand.spark.sql;

import io.overhand.spark.OverhandShuffleHandle;
import io.overhand.spark.OverhandShuffleManager;
import io.overhand.spark.read.ReadScope;
import org.apache.spark.Partition;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.rdd.RDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.execution.CoalescedMapperPartitionSpec;
import org.apache.spark.sql.execution.CoalescedPartitionSpec;
import org.apache.spark.sql.execution.PartialMapperPartitionSpec;
import org.apache.spark.sql.execution.PartialReducerPartitionSpec;
import org.apache.spark.sql.execution.ShufflePartitionSpec;
import org.apache.spark.sql.execution.ShuffledRowRDDPartition;
import org.apache.spark.sql.execution.metric.SQLMetric;
import scala.collection.Iterator;
import scala.collection.immutable.Map;
import scala.reflect.ClassTag$;

/** Shuffled rows as a task knows them: where the shuffle is. What is to be read comes with the task's partition. */
final class TaskRows extends RDD<InternalRow> {
  private static final long serialVersionUID = 1;

  private final int shuffleId;
  private final byte[] placement;
  private final int fields;
  private final RowMetrics.Sql metrics;

  TaskRows(ShuffledRows rows, OverhandShuffleHandle<?, ?, ?> handle, int fields, Map<String, SQLMetric> metrics) {
    super(rows, ClassTag$.MODULE$.apply(InternalRow.class));
    this.shuffleId = handle.shuffleId();
    this.placement = handle.placement();
    this.fields = fields;
    this.metrics = new RowMetrics.Sql(metrics);
  }

  @Override
  public Iterator<InternalRow> compute(Partition partition, TaskContext context) {
    OverhandShuffleManager manager = (OverhandShuffleManager) SparkEnv.get().shuffleManager();
    return manager.rows(
        scope(((ShuffledRowRDDPartition) partition).spec()), fields, context, new RowMetrics(metrics, context));
  }

  @Override
  public Partition[] getPartitions() {
    throw new IllegalStateException("tasks do not ask for all partitions");
  }

  private ReadScope scope(ShufflePartitionSpec spec) {
    if (spec instanceof CoalescedPartitionSpec) {
      CoalescedPartitionSpec whole = (CoalescedPartitionSpec) spec;
      return scope(0, Integer.MAX_VALUE, whole.startReducerIndex(), whole.endReducerIndex());
    }
    if (spec instanceof PartialReducerPartitionSpec) {
      PartialReducerPartitionSpec part = (PartialReducerPartitionSpec) spec;
      return scope(part.startMapIndex(), part.endMapIndex(), part.reducerIndex(), part.reducerIndex() + 1);
    }
    if (spec instanceof PartialMapperPartitionSpec) {
      PartialMapperPartitionSpec part = (PartialMapperPartitionSpec) spec;
      return scope(part.mapIndex(), part.mapIndex() + 1, part.startReducerIndex(), part.endReducerIndex());
    }
    if (spec instanceof CoalescedMapperPartitionSpec) {
      CoalescedMapperPartitionSpec maps = (CoalescedMapperPartitionSpec) spec;
      return scope(maps.startMapIndex(), maps.endMapIndex(), 0, maps.numReducers());
    }
    throw new IllegalStateException("this Spark has a kind of partition that is not known here: " + spec);
  }

  private ReadScope scope(int startMap, int endMap, int startPartition, int endPartition) {
    return new ReadScope(shuffleId, placement, startMap, endMap, startPartition, endPartition);
  }
}
