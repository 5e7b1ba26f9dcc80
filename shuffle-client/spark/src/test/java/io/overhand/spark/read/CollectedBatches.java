package io.overhand.spark.read;

import java.util.ArrayList;
import java.util.List;

import org.apache.spark.unsafe.Platform;

/** Stands for the native reader: batches of given items. */
final class CollectedBatches implements Batches {
  private final List<List<byte[]>> batches;
  private final List<Long> allocated = new ArrayList<>();
  private int next;
  private long address;
  private long length;
  private long items;
  private long read;

  CollectedBatches(List<List<byte[]>> batches) {
    this.batches = batches;
  }

  @Override
  public boolean next() {
    if (next == batches.size()) {
      return false;
    }
    List<byte[]> batch = batches.get(next++);
    length = batch.stream().mapToLong(item -> 4 + item.length).sum();
    address = Platform.allocateMemory(Math.max(1, length));
    allocated.add(address);
    long at = address;
    for (byte[] item : batch) {
      Platform.putInt(null, at, item.length);
      Platform.copyMemory(item, Platform.BYTE_ARRAY_OFFSET, null, at + 4, item.length);
      at += 4 + item.length;
    }
    items += batch.size();
    return true;
  }

  @Override
  public long address() {
    return address;
  }

  @Override
  public long end() {
    return address + length;
  }

  @Override
  public long items() {
    return items;
  }

  @Override
  public void recordsRead(long records) {
    read += records;
  }

  long read() {
    return read;
  }

  void free() {
    allocated.forEach(Platform::freeMemory);
    allocated.clear();
  }
}
