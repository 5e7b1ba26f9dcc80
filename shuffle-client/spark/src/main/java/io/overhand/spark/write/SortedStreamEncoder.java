package io.overhand.spark.write;

import io.overhand.spark.compat.ExternalSorters;
import io.overhand.spark.compat.RowChecksums;
import org.apache.spark.ShuffleDependency;
import org.apache.spark.TaskContext;
import org.apache.spark.executor.TaskMetrics;
import org.apache.spark.serializer.SerializerInstance;
import org.apache.spark.util.collection.ExternalSorter;
import scala.Option;
import scala.Product2;
import scala.Tuple2;
import scala.collection.Iterator;

/**
 * Records of a serializer whose records can't stand alone, for many partitions: Spark's sorter brings them into the
 * order of partitions within Spark's memory, spilling to its disks when it must, so that one stream is open at a time.
 */
final class SortedStreamEncoder<K, V, C> implements RecordEncoder<K, V> {
  private final Arena arena;
  private final ShuffleDependency<K, V, C> dependency;
  private final SerializerInstance serializer;
  private final TaskContext context;
  private final RowChecksums checksums;

  SortedStreamEncoder(
      Arena arena,
      ShuffleDependency<K, V, C> dependency,
      SerializerInstance serializer,
      TaskContext context,
      RowChecksums checksums) {
    this.arena = arena;
    this.dependency = dependency;
    this.serializer = serializer;
    this.context = context;
    this.checksums = checksums;
  }

  @Override
  public long encode(Iterator<Product2<K, V>> records) {
    ExternalSorter<K, V, V> sorter =
        ExternalSorters.create(
            context, Option.apply(dependency.partitioner()), Option.empty(), dependency.serializer());
    try {
      sorter.insertAll(records);
      SelfContainedStream stream = new SelfContainedStream(serializer);
      long count = 0;
      Iterator<Tuple2<Object, Iterator<Product2<K, V>>>> partitions = sorter.partitionedIterator();
      while (partitions.hasNext()) {
        Tuple2<Object, Iterator<Product2<K, V>>> next = partitions.next();
        int partition = (Integer) next._1();
        Iterator<Product2<K, V>> sorted = next._2();
        while (sorted.hasNext()) {
          Product2<K, V> record = sorted.next();
          if (stream.add(record._1(), record._2())) {
            stream.moveTo(arena, partition);
          }
          if (checksums.active()) {
            checksums.update(partition, record._1(), record._2());
          }
          count++;
        }
        stream.moveTo(arena, partition);
      }
      TaskMetrics metrics = context.taskMetrics();
      metrics.incMemoryBytesSpilled(sorter.memoryBytesSpilled());
      metrics.incDiskBytesSpilled(sorter.diskBytesSpilled());
      metrics.incPeakExecutionMemory(sorter.peakMemoryUsedBytes());
      return count;
    } finally {
      sorter.stop();
    }
  }
}
