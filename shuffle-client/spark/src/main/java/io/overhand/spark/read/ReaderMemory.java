package io.overhand.spark.read;

import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.memory.MemoryConsumer;
import org.apache.spark.memory.MemoryMode;

/** A reader's memory in the books of Spark's memory manager, where that manages memory outside the heap. */
final class ReaderMemory implements AutoCloseable {
  /** What even the smallest read needs: a decoded block, and one on its way. */
  private static final long LEAST = 1 << 20;

  private final Account account;

  private ReaderMemory(Account account) {
    this.account = account;
  }

  /**
   * Asks for what a reader of {@code stored} bytes holds, {@code most} at most. A reader that gets less goes on: what
   * it has on the way can't be called back.
   */
  static ReaderMemory of(TaskContext context, long stored, long most) {
    if (!SparkEnv.get().conf().getBoolean("spark.memory.offHeap.enabled", false)) {
      return new ReaderMemory(null);
    }
    Account account = new Account(context);
    account.acquireMemory(Math.min(most, LEAST + 2 * stored));
    return new ReaderMemory(account);
  }

  @Override
  public void close() {
    if (account != null) {
      account.freeMemory(account.getUsed());
    }
  }

  private static final class Account extends MemoryConsumer {
    Account(TaskContext context) {
      super(context.taskMemoryManager(), 1 << 20, MemoryMode.OFF_HEAP);
    }

    @Override
    public long spill(long size, MemoryConsumer trigger) {
      return 0;
    }
  }
}
