package io.overhand.spark.write;

import io.overhand.spark.compat.RowChecksums;
import io.overhand.spark.compat.RowSerializer;
import org.apache.spark.sql.catalyst.expressions.UnsafeRow;
import org.apache.spark.unsafe.Platform;
import scala.Product2;
import scala.collection.Iterator;

/**
 * SQL rows: an item is the bytes of an {@code UnsafeRow}, copied from where the row has them. The key is the partition.
 *
 * <p>Spark uses the row and the pair again for the next record, so each is copied before the next is asked for.
 */
final class RowEncoder<K, V> implements RecordEncoder<K, V> {
  private final Arena arena;
  private final RowSerializer serializer;
  private final RowChecksums checksums;

  RowEncoder(Arena arena, RowSerializer serializer, RowChecksums checksums) {
    this.arena = arena;
    this.serializer = serializer;
    this.checksums = checksums;
  }

  @Override
  public long encode(Iterator<Product2<K, V>> records) {
    long count = 0;
    long bytes = 0;
    Arena to = arena;
    RowChecksums sums = checksums.active() ? checksums : null;
    while (records.hasNext()) {
      Product2<K, V> pair = records.next();
      UnsafeRow row = (UnsafeRow) pair._2();
      int partition = (Integer) pair._1();
      int size = row.getSizeInBytes();
      long at = to.add(partition, size);
      Platform.copyMemory(row.getBaseObject(), row.getBaseOffset(), null, at, size);
      if (sums != null) {
        sums.update(partition, pair._1(), row);
      }
      bytes += size;
      count++;
    }
    // Spark's planner reads this as the size of the exchange; its own serializer would have counted it.
    serializer.addDataSize(bytes);
    return count;
  }
}
