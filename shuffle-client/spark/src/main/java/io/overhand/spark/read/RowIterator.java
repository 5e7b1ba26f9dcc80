package io.overhand.spark.read;

import java.util.NoSuchElementException;

import io.overhand.spark.jni.ErrorKind;
import io.overhand.spark.jni.OverhandException;
import org.apache.spark.sql.catalyst.expressions.UnsafeRow;
import org.apache.spark.unsafe.Platform;
import scala.Product2;
import scala.Tuple2;
import scala.collection.AbstractIterator;

/**
 * SQL rows, read where they lie in the decoded batch. One pair and one row serve for all records: a row is valid until
 * the next one is asked for, as with Spark's own serializer, and the last one until the task ends.
 */
final class RowIterator extends AbstractIterator<Product2<Object, Object>> {
  private final Batches batches;
  private final UnsafeRow row;
  private final Tuple2<Object, Object> pair;
  private long position;
  private long end;
  private long records;

  RowIterator(Batches batches, int fields) {
    this.batches = batches;
    this.row = new UnsafeRow(fields);
    // The key is not what anybody reads: the partition was needed on the way here.
    this.pair = new Tuple2<>(0, row);
  }

  @Override
  public boolean hasNext() {
    return position < end || nextBatch();
  }

  @Override
  public Product2<Object, Object> next() {
    if (position >= end && !nextBatch()) {
      throw new NoSuchElementException();
    }
    long at = position + Integer.BYTES;
    int size = Platform.getInt(null, position);
    if (size < 0 || size > end - at) {
      throw new OverhandException(ErrorKind.INTERNAL, "a row of " + size + " bytes is not in its batch", null);
    }
    row.pointTo(null, at, size);
    position = at + size;
    records++;
    return pair;
  }

  /** Counts what was read, for a consumer that stops early. */
  void finish() {
    batches.recordsRead(records);
    records = 0;
  }

  private boolean nextBatch() {
    finish();
    if (!batches.next()) {
      return false;
    }
    position = batches.address();
    end = batches.end();
    return true;
  }
}
