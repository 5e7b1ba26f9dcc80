package io.overhand.spark.read;

import java.util.NoSuchElementException;

import io.overhand.spark.jni.ErrorKind;
import io.overhand.spark.jni.OverhandException;
import org.apache.spark.TaskContext;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.UnsafeRow;
import org.apache.spark.unsafe.Platform;
import scala.collection.AbstractIterator;

/**
 * SQL rows, read where they lie in the decoded batch. One row serves for all records: it is valid until the next one is
 * asked for, as with Spark's own serializer, and the last one until the task ends.
 *
 * <p>Before each record it is looked whether Spark kills the task: its consumer may take long for one.
 */
final class RowIterator extends AbstractIterator<InternalRow> {
  private final Batches batches;
  private final TaskContext context;
  private final UnsafeRow row;
  private long position;
  private long end;
  private long records;

  RowIterator(Batches batches, int fields, TaskContext context) {
    this.batches = batches;
    this.context = context;
    this.row = new UnsafeRow(fields);
  }

  @Override
  public boolean hasNext() {
    context.killTaskIfInterrupted();
    return position < end || nextBatch();
  }

  @Override
  public InternalRow next() {
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
    return row;
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
