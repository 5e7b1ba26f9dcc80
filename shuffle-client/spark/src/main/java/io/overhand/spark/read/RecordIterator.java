package io.overhand.spark.read;

import java.util.NoSuchElementException;

import io.overhand.spark.jni.ErrorKind;
import io.overhand.spark.jni.OverhandException;
import org.apache.spark.serializer.SerializerInstance;
import scala.Product2;
import scala.Tuple2;
import scala.collection.AbstractIterator;
import scala.collection.Iterator;

/**
 * Records that went through a serializer. Where each item is a record, one stream reads them all; where an item is a
 * stream of its own, each gets a stream. Streams end when their bytes do, so records are counted: one that is missing
 * is an error, not an end.
 */
final class RecordIterator extends AbstractIterator<Product2<Object, Object>> {
  private final Batches batches;
  private final SerializerInstance serializer;
  private final ItemInputStream bytes;
  private final boolean itemsAreRecords;
  private Iterator<Tuple2<Object, Object>> stream = new NoRecords<>();
  private long inStream;
  private long read;
  private long uncounted;
  private boolean ended;

  RecordIterator(Batches batches, SerializerInstance serializer, boolean itemsAreRecords) {
    this.batches = batches;
    this.serializer = serializer;
    this.itemsAreRecords = itemsAreRecords;
    bytes = itemsAreRecords ? ItemInputStream.acrossItems(batches) : ItemInputStream.itemByItem(batches);
    if (itemsAreRecords) {
      stream = serializer.deserializeStream(bytes).asKeyValueIterator();
    }
  }

  @Override
  public boolean hasNext() {
    while (!stream.hasNext()) {
      if (ended || !nextStream()) {
        return false;
      }
    }
    return true;
  }

  @Override
  public Product2<Object, Object> next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    read++;
    if (++uncounted == 1024) {
      finish();
    }
    return stream.next();
  }

  /** Counts what was read, for a consumer that stops early. */
  void finish() {
    batches.recordsRead(uncounted);
    uncounted = 0;
  }

  private boolean nextStream() {
    check(itemsAreRecords ? batches.items() : inStream);
    if (itemsAreRecords || !bytes.nextItem()) {
      ended = true;
      finish();
      return false;
    }
    inStream = bytes.readInt();
    read = 0;
    stream = serializer.deserializeStream(bytes).asKeyValueIterator();
    return true;
  }

  private void check(long expected) {
    if (read != expected) {
      throw new OverhandException(
          ErrorKind.INTERNAL, read + " records were deserialized of " + expected + " that were written", null);
    }
  }
}
