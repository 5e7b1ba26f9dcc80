package io.overhand.spark.write;

import java.util.function.LongSupplier;

import org.apache.spark.memory.MemoryConsumer;
import org.apache.spark.memory.MemoryMode;
import org.apache.spark.memory.TaskMemoryManager;

/**
 * Asks Spark's memory manager for every byte that a writer holds outside the heap, and gives it back when another
 * operator of the task needs it: then the batch is handed over, encoded and sent.
 *
 * <p>A writer that gets nothing goes on with what one chunk and the runs that wait for the next batch need.
 */
final class SparkBudget extends MemoryConsumer implements Budget {
  /** Memory is asked for and given back in steps of this size. */
  private static final long STEP = 1 << 20;

  private final Thread owner = Thread.currentThread();
  private final long batchLimit;
  private final LongSupplier held;
  private final Runnable drain;
  private Arena arena;
  private long peak;
  private boolean draining;

  /**
   * A budget for one writer.
   *
   * @param held bytes that were handed over and are not sent
   * @param drain waits until what was handed over is encoded
   */
  SparkBudget(TaskMemoryManager manager, long batchLimit, LongSupplier held, Runnable drain) {
    super(manager, STEP, MemoryMode.OFF_HEAP);
    this.batchLimit = batchLimit;
    this.held = held;
    this.drain = drain;
  }

  /** Tells whose batch it is that is handed over when memory must be given back. */
  void serve(Arena arena) {
    this.arena = arena;
  }

  @Override
  public boolean allow(long open, long next) {
    long need = held.getAsLong() + open + next;
    long missing = need - getUsed();
    if (missing > 0) {
      acquireMemory((missing + STEP - 1) / STEP * STEP);
      peak = Math.max(peak, getUsed());
    }
    return open + next <= batchLimit && need <= getUsed();
  }

  @Override
  public long spill(long size, MemoryConsumer trigger) {
    // Between two records only, and not for itself: then the arena hands its batch over anyway.
    if (trigger == this || draining || Thread.currentThread() != owner || arena == null || arena.inRecord()) {
      return 0;
    }
    draining = true;
    try {
      arena.push();
      drain.run();
    } finally {
      draining = false;
    }
    long freed = Math.max(0, getUsed() - held.getAsLong());
    freeMemory(freed);
    return freed;
  }

  /** The most that was granted at a time. */
  long peak() {
    return peak;
  }

  /** Gives everything back. */
  void close() {
    arena = null;
    freeMemory(getUsed());
  }
}
