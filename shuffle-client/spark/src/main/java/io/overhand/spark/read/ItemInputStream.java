package io.overhand.spark.read;

import java.io.InputStream;

import org.apache.spark.unsafe.Platform;

/**
 * The bytes of items as a stream: of all items one after another, or of one item at a time.
 */
final class ItemInputStream extends InputStream {
  private final Batches batches;
  private final boolean oneByOne;
  private long position;
  private long itemEnd;
  private long batchEnd;

  private ItemInputStream(Batches batches, boolean oneByOne) {
    this.batches = batches;
    this.oneByOne = oneByOne;
  }

  /** A stream that goes on from item to item. */
  static ItemInputStream acrossItems(Batches batches) {
    return new ItemInputStream(batches, false);
  }

  /** A stream that ends with each item, until {@link #nextItem}. */
  static ItemInputStream itemByItem(Batches batches) {
    return new ItemInputStream(batches, true);
  }

  /** Moves to the next item, whatever is left of this one. False at the end. */
  boolean nextItem() {
    position = itemEnd;
    if (position >= batchEnd) {
      if (!batches.next()) {
        return false;
      }
      position = batches.address();
      batchEnd = batches.end();
    }
    long length = Platform.getInt(null, position) & 0xffff_ffffL;
    position += Integer.BYTES;
    if (length > batchEnd - position) {
      throw new IllegalStateException("an item of " + length + " bytes is not in its batch");
    }
    itemEnd = position + length;
    return true;
  }

  /** The number at the front of the item. */
  int readInt() {
    if (itemEnd - position < Integer.BYTES) {
      throw new IllegalStateException("the item has no number at its front");
    }
    int number = Platform.getInt(null, position);
    position += Integer.BYTES;
    return number;
  }

  /** Bytes of the item that were not read. */
  long left() {
    return itemEnd - position;
  }

  @Override
  public int read() {
    return ready() ? Platform.getByte(null, position++) & 0xff : -1;
  }

  @Override
  public int read(byte[] bytes, int offset, int length) {
    if (length == 0) {
      return 0;
    }
    if (!ready()) {
      return -1;
    }
    int count = (int) Math.min(length, itemEnd - position);
    Platform.copyMemory(null, position, bytes, Platform.BYTE_ARRAY_OFFSET + offset, count);
    position += count;
    return count;
  }

  @Override
  public int available() {
    return (int) Math.min(Integer.MAX_VALUE, itemEnd - position);
  }

  private boolean ready() {
    while (position >= itemEnd) {
      if (oneByOne || !nextItem()) {
        return false;
      }
    }
    return true;
  }
}
