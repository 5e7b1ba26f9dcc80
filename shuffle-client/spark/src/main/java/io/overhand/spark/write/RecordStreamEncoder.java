package io.overhand.spark.write;

import java.io.IOException;

import io.overhand.spark.compat.RowChecksums;
import org.apache.spark.Partitioner;
import org.apache.spark.serializer.SerializationStream;
import org.apache.spark.serializer.SerializerInstance;
import scala.Product2;
import scala.collection.Iterator;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;

/**
 * Records of a serializer whose records may be put in another order: an item is the bytes of one record. One stream
 * serves all of them; flushed after each record, it leaves exactly that record's bytes in the arena.
 */
final class RecordStreamEncoder<K, V> implements RecordEncoder<K, V> {
  private final Arena arena;
  private final Partitioner partitioner;
  private final SerializerInstance serializer;
  private final RowChecksums checksums;

  RecordStreamEncoder(Arena arena, Partitioner partitioner, SerializerInstance serializer, RowChecksums checksums) {
    this.arena = arena;
    this.partitioner = partitioner;
    this.serializer = serializer;
    this.checksums = checksums;
  }

  @Override
  public long encode(Iterator<Product2<K, V>> records) throws IOException {
    ClassTag<Object> any = ClassTag$.MODULE$.Any();
    long count = 0;
    SerializationStream stream = serializer.serializeStream(new ArenaOutputStream(arena));
    while (records.hasNext()) {
      Product2<K, V> record = records.next();
      Object key = record._1();
      Object value = record._2();
      int partition = partitioner.getPartition(key);
      arena.begin(partition);
      stream.writeKey(key, any);
      stream.writeValue(value, any);
      stream.flush();
      arena.end();
      if (checksums.active()) {
        checksums.update(partition, key, value);
      }
      count++;
    }
    // The stream is not closed: what some serializers write at the end would belong to no record. It holds nothing
    // but memory of the heap.
    return count;
  }
}
