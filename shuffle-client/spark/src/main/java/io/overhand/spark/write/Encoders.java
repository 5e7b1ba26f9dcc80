package io.overhand.spark.write;

import io.overhand.spark.compat.RowChecksums;
import io.overhand.spark.compat.RowSerializer;
import org.apache.spark.Partitioner;
import org.apache.spark.ShuffleDependency;
import org.apache.spark.TaskContext;
import org.apache.spark.serializer.Serializer;
import org.apache.spark.serializer.SerializerInstance;

/** Which encoder a shuffle's records need: it follows from the serializer, and readers decide by the same rule. */
final class Encoders {
  private Encoders() {}

  static <K, V, C> RecordEncoder<K, V> of(
      ShuffleDependency<K, V, C> dependency, Arena arena, TaskContext context, RowChecksums checksums) {
    Serializer serializer = dependency.serializer();
    Partitioner partitioner = dependency.partitioner();
    if (RowSerializer.isRows(dependency)) {
      return new RowEncoder<>(arena, RowSerializer.of(serializer), checksums);
    }
    SerializerInstance instance = serializer.newInstance();
    if (serializer.supportsRelocationOfSerializedObjects()) {
      return new RecordStreamEncoder<>(arena, partitioner, instance, checksums);
    }
    if (partitioner.numPartitions() <= StreamEncoder.MAX_PARTITIONS) {
      return new StreamEncoder<>(arena, partitioner, instance, checksums);
    }
    return new SortedStreamEncoder<>(arena, dependency, instance, context, checksums);
  }
}
