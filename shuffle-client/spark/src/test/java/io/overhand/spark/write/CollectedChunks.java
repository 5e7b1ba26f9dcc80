package io.overhand.spark.write;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import io.overhand.spark.jni.Chunks;
import org.apache.spark.unsafe.Platform;

/** Stands for the native writer: keeps what is handed over, by partition, and overwrites the memory then. */
public final class CollectedChunks implements Chunks {
  private final Map<Integer, List<byte[]>> items = new TreeMap<>();
  private final List<long[]> batch = new ArrayList<>();
  private final List<Long> allocated = new ArrayList<>();
  private long address;
  private long capacity;
  private int pushes;

  @Override
  public void next(long used, long tail, long minLength, boolean push, long[] chunk) {
    long next = Platform.allocateMemory(minLength);
    allocated.add(next);
    Platform.copyMemory(null, address + used, null, next, tail);
    closeChunk(used);
    if (push) {
      pushBatch();
    }
    address = next;
    capacity = minLength;
    chunk[0] = address;
    chunk[1] = capacity;
  }

  @Override
  public void push(long used) {
    closeChunk(used);
    pushBatch();
    address = 0;
    capacity = 0;
  }

  /** Everything that was handed over. */
  public Map<Integer, List<byte[]>> items() {
    return items;
  }

  int pushes() {
    return pushes;
  }

  /** Gives all memory back. */
  public void free() {
    allocated.forEach(Platform::freeMemory);
    allocated.clear();
  }

  private void closeChunk(long used) {
    if (used > capacity) {
      throw new IllegalStateException(used + " bytes are used of " + capacity);
    }
    if (used > 0) {
      batch.add(new long[] {address, used, capacity});
    }
  }

  private void pushBatch() {
    pushes++;
    for (long[] chunk : batch) {
      long end = chunk[0] + chunk[1];
      for (long at = chunk[0]; at < end; ) {
        int partition = Platform.getInt(null, at);
        byte[] item = new byte[Platform.getInt(null, at + 4)];
        Platform.copyMemory(null, at + 8, item, Platform.BYTE_ARRAY_OFFSET, item.length);
        items.computeIfAbsent(partition, p -> new ArrayList<>()).add(item);
        at += 8 + item.length;
      }
      Platform.setMemory(chunk[0], (byte) 0x5a, chunk[2]);
    }
    batch.clear();
  }
}
