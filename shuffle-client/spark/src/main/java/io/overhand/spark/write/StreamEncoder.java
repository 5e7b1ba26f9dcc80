package io.overhand.spark.write;

import io.overhand.spark.compat.RowChecksums;
import org.apache.spark.Partitioner;
import org.apache.spark.serializer.SerializerInstance;
import scala.Product2;
import scala.collection.Iterator;

/**
 * Records of a serializer whose records can't stand alone, for few partitions: each partition has an open stream of at
 * most about {@link SelfContainedStream#TARGET} bytes on the heap.
 */
final class StreamEncoder<K, V> implements RecordEncoder<K, V> {
  /** The most partitions that may have a stream each. */
  static final int MAX_PARTITIONS = 200;

  private final Arena arena;
  private final Partitioner partitioner;
  private final SerializerInstance serializer;
  private final RowChecksums checksums;

  StreamEncoder(Arena arena, Partitioner partitioner, SerializerInstance serializer, RowChecksums checksums) {
    this.arena = arena;
    this.partitioner = partitioner;
    this.serializer = serializer;
    this.checksums = checksums;
  }

  @Override
  public long encode(Iterator<Product2<K, V>> records) {
    SelfContainedStream[] streams = new SelfContainedStream[partitioner.numPartitions()];
    long count = 0;
    while (records.hasNext()) {
      Product2<K, V> record = records.next();
      int partition = partitioner.getPartition(record._1());
      SelfContainedStream stream = streams[partition];
      if (stream == null) {
        stream = new SelfContainedStream(serializer);
        streams[partition] = stream;
      }
      if (stream.add(record._1(), record._2())) {
        stream.moveTo(arena, partition);
      }
      if (checksums.active()) {
        checksums.update(partition, record._1(), record._2());
      }
      count++;
    }
    for (int partition = 0; partition < streams.length; partition++) {
      if (streams[partition] != null) {
        streams[partition].moveTo(arena, partition);
      }
    }
    return count;
  }
}
