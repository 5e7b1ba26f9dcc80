package io.overhand.spark.write;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

import io.overhand.spark.compat.RowChecksums;
import org.apache.spark.HashPartitioner;
import org.apache.spark.Partitioner;
import org.apache.spark.serializer.Serializer;
import scala.Product2;
import scala.Tuple2;
import scala.collection.AbstractIterator;

/** Records as the encoder of their serializer leaves them. */
public final class EncodedRecords {
  private final long count;
  private final List<List<byte[]>> partitions;

  private EncodedRecords(long count, List<List<byte[]>> partitions) {
    this.count = count;
    this.partitions = partitions;
  }

  /** Encodes {@code records}. */
  public static EncodedRecords of(Serializer serializer, int partitions, List<Tuple2<Object, Object>> records)
      throws IOException {
    CollectedChunks chunks = new CollectedChunks();
    Arena arena = new Arena(chunks, Budget.fixed(256 << 10));
    Partitioner partitioner = new HashPartitioner(partitions);
    RecordEncoder<Object, Object> encoder =
        serializer.supportsRelocationOfSerializedObjects()
            ? new RecordStreamEncoder<>(arena, partitioner, serializer.newInstance(), RowChecksums.none())
            : new StreamEncoder<>(arena, partitioner, serializer.newInstance(), RowChecksums.none());
    long count = encoder.encode(new Records(records.iterator()));
    arena.push();
    chunks.free();
    return new EncodedRecords(count, new ArrayList<>(chunks.items().values()));
  }

  /** How many records the encoder has counted. */
  public long count() {
    return count;
  }

  /** The items of each partition that has any. */
  public List<List<byte[]>> partitions() {
    return partitions;
  }

  private static final class Records extends AbstractIterator<Product2<Object, Object>> {
    private final java.util.Iterator<Tuple2<Object, Object>> records;

    Records(java.util.Iterator<Tuple2<Object, Object>> records) {
      this.records = records;
    }

    @Override
    public boolean hasNext() {
      return records.hasNext();
    }

    @Override
    public Product2<Object, Object> next() {
      return records.next();
    }
  }
}
