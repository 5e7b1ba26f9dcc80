package io.overhand.spark.write;

import io.overhand.spark.jni.Chunks;
import org.apache.spark.unsafe.Platform;

/**
 * Memory outside the heap that a map task packs its records into: {@code [partition][length][bytes]}, one after another
 * in chunks. The first chunk is small, each further one is twice as large while the budget allows, and a batch that has
 * reached its budget is handed over. A record lies in one chunk.
 *
 * <p>There are two ways in: {@link #add} for records whose length is known, and {@link #begin}, {@link #write} and
 * {@link #end} for those that are still being serialized.
 */
public final class Arena {
  /** Bytes in front of each record: the partition and the length. */
  static final int HEAD = 8;

  static final long FIRST_CHUNK = 64 << 10;
  static final long LARGEST_CHUNK = 4 << 20;
  private static final int NO_RECORD = -1;

  private final Chunks chunks;
  private final Budget budget;
  private final long[] chunk = new long[2];

  private long address;
  private long position;
  private long limit;
  /** Capacities of the chunks that were not handed over. */
  private long open;
  private long nextChunk = FIRST_CHUNK;
  /** The partition and the place of the record that has begun. */
  private int partition = NO_RECORD;
  private long record;

  /** An arena that asks {@code chunks} for memory and hands its records over there. */
  public Arena(Chunks chunks, Budget budget) {
    this.chunks = chunks;
    this.budget = budget;
  }

  /** Adds a record of {@code length} bytes, and returns the address where the caller puts them. */
  public long add(int partition, int length) {
    long at = position;
    long end = at + HEAD + length;
    if (end > limit) {
      grow(at - address, 0, (long) HEAD + length);
      at = position;
      end = at + HEAD + length;
    }
    // Both numbers in one store: little-endian, as everything on this way.
    Platform.putLong(null, at, (long) length << 32 | partition);
    position = end;
    return at + HEAD;
  }

  /** Begins a record of unknown length. */
  void begin(int partition) {
    if (position + HEAD > limit) {
      grow(position - address, 0, HEAD);
    }
    this.partition = partition;
    record = position;
    position += HEAD;
  }

  /** Goes on with the record that has begun. */
  void write(byte[] bytes, int offset, int length) {
    if (length > limit - position) {
      makeRoom(length);
    }
    Platform.copyMemory(bytes, Platform.BYTE_ARRAY_OFFSET + offset, null, position, length);
    position += length;
  }

  /** Goes on with the record that has begun. */
  void write(int oneByte) {
    if (position == limit) {
      makeRoom(1);
    }
    Platform.putByte(null, position, (byte) oneByte);
    position++;
  }

  /** Ends the record that has begun. */
  void end() {
    long length = position - record - HEAD;
    if (length > Integer.MAX_VALUE) {
      throw new IllegalArgumentException("a record of " + length + " bytes is longer than 2 GB, the most there can be");
    }
    Platform.putLong(null, record, length << 32 | partition);
    partition = NO_RECORD;
  }

  /** Whether a record has begun and not ended. */
  boolean inRecord() {
    return partition != NO_RECORD;
  }

  /** Hands over what there is. Not within a record. */
  void push() {
    long used = position - address;
    address = 0;
    position = 0;
    limit = 0;
    open = 0;
    chunks.push(used);
  }

  /** Bytes of memory that were not handed over. */
  long openBytes() {
    return open;
  }

  /** Bytes used of the open chunk: what the last call to the native writer is told. */
  public long used() {
    return position - address;
  }

  private void makeRoom(long length) {
    long tail = position - record;
    // A record that keeps growing must not be copied again for each piece of it.
    grow(record - address, tail, tail + Math.max(length, tail));
    record = position;
    position += tail;
  }

  private void grow(long used, long tail, long need) {
    long size = Math.max(nextChunk, need);
    boolean full = open > 0 && !budget.allow(open, size);
    if (full || open == 0) {
      budget.allow(0, size);
    }
    chunks.next(used, tail, size, full, chunk);
    address = chunk[0];
    position = chunk[0];
    limit = chunk[0] + chunk[1];
    open = full ? chunk[1] : open + chunk[1];
    if (!full) {
      nextChunk = Math.min(2 * nextChunk, LARGEST_CHUNK);
    }
  }
}
