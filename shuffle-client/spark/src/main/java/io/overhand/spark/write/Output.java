package io.overhand.spark.write;

import io.overhand.spark.OverhandShuffleHandle;
import io.overhand.spark.jni.Chunks;
import io.overhand.spark.jni.NativeClient;
import io.overhand.spark.jni.NativeWriter;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;

/** The native side of one attempt's output: the writer, its arena and its memory, with the time spent there. */
final class Output implements Chunks, AutoCloseable {
  private final NativeWriter writer;
  private final SparkBudget sparkBudget;
  private final Arena arena;
  private long nanos;

  Output(NativeClient client, OverhandShuffleHandle<?, ?, ?> handle, TaskContext context, long mapId) {
    writer = client.writer(handle.placement(), context.partitionId(), mapId);
    long batch = client.batchSize(handle.partitions());
    if (SparkEnv.get().conf().getBoolean("spark.memory.offHeap.enabled", false)) {
      sparkBudget = new SparkBudget(context.taskMemoryManager(), batch, writer::heldBytes, writer::drain);
      arena = new Arena(this, sparkBudget);
      sparkBudget.serve(arena);
    } else {
      sparkBudget = null;
      arena = new Arena(this, Budget.fixed(batch));
    }
  }

  Arena arena() {
    return arena;
  }

  @Override
  public void next(long used, long tail, long minLength, boolean push, long[] chunk) {
    long start = System.nanoTime();
    writer.next(used, tail, minLength, push, chunk);
    nanos += System.nanoTime() - start;
  }

  @Override
  public void push(long used) {
    long start = System.nanoTime();
    writer.push(used);
    nanos += System.nanoTime() - start;
  }

  /** Sends everything and waits for the commit: the stored bytes of each partition. */
  long[] finish() {
    long start = System.nanoTime();
    long[] sizes = writer.finish(arena.used());
    nanos += System.nanoTime() - start;
    return sizes;
  }

  /** How long the task has waited for the native writer. */
  long nanos() {
    return nanos;
  }

  /** The most memory that Spark has granted at a time. */
  long peakMemory() {
    return sparkBudget == null ? 0 : sparkBudget.peak();
  }

  @Override
  public void close() {
    try {
      writer.close();
    } finally {
      if (sparkBudget != null) {
        sparkBudget.close();
      }
    }
  }
}
