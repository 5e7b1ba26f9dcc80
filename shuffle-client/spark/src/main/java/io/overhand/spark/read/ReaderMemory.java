package io.overhand.spark.read;

import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.memory.MemoryConsumer;
import org.apache.spark.memory.MemoryMode;

/** A reader's memory in the books of Spark's memory manager, where that manages memory outside the heap. */
final class ReaderMemory implements AutoCloseable {
  private final Account account;

  private ReaderMemory(Account account) {
    this.account = account;
  }

  /** Asks for {@code bytes}; a reader that gets less goes on, since what it has on the way can't be called back. */
  static ReaderMemory of(TaskContext context, long bytes) {
    if (!SparkEnv.get().conf().getBoolean("spark.memory.offHeap.enabled", false)) {
      return new ReaderMemory(null);
    }
    Account account = new Account(context);
    account.acquireMemory(bytes);
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
