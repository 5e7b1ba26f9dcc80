package io.overhand.spark.write;

import io.overhand.spark.OverhandShuffleHandle;
import io.overhand.spark.jni.Chunks;
import io.overhand.spark.jni.ErrorKind;
import io.overhand.spark.jni.NativeClient;
import io.overhand.spark.jni.NativeWriter;
import io.overhand.spark.jni.OverhandException;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;

/** The native side of one attempt's output: the writer, its arena and its memory, with the time spent there. */
final class Output implements Chunks, AutoCloseable {
  private final NativeWriter writer;
  private final TaskContext context;
  private final SparkBudget sparkBudget;
  private final Arena arena;
  private long[] sizes;
  private long nanos;

  Output(NativeClient client, OverhandShuffleHandle<?, ?, ?> handle, TaskContext context, long mapId) {
    this.context = context;
    writer = client.writer(handle.placement(), context.partitionId(), mapId, context::isInterrupted);
    long batch = client.batchSize(handle.partitions());
    if (SparkEnv.get().conf().getBoolean("spark.memory.offHeap.enabled", false)) {
      sparkBudget = new SparkBudget(context.taskMemoryManager(), batch, writer::heldBytes, this::drain);
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
    timed(() -> writer.next(used, tail, minLength, push, chunk));
  }

  @Override
  public void push(long used) {
    timed(() -> writer.push(used));
  }

  /** Sends everything and waits for the commit: the stored bytes of each partition. */
  long[] finish() {
    timed(() -> sizes = writer.finish(arena.used()));
    return sizes;
  }

  private void drain() {
    timed(writer::drain);
  }

  /** Runs a call that may wait. One that ends because Spark kills the task ends with Spark's own exception. */
  private void timed(Runnable call) {
    long start = System.nanoTime();
    try {
      call.run();
    } catch (OverhandException e) {
      if (e.kind() == ErrorKind.CLOSED) {
        context.killTaskIfInterrupted();
      }
      throw e;
    } finally {
      nanos += System.nanoTime() - start;
    }
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
