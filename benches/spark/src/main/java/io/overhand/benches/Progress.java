package io.overhand.benches;

import java.io.PrintStream;
import org.apache.spark.SparkContext;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerStageSubmitted;
import org.apache.spark.scheduler.SparkListenerTaskEnd;

/** Follows Spark's events: prints how far each stage is, and adds up the bytes that its tasks wrote into shuffles. */
final class Progress extends SparkListener {
  private final PrintStream out;
  private int stage;
  private int tasks;
  private int done;
  private long shuffleBytes;

  Progress(PrintStream out) {
    this.out = out;
  }

  @Override
  public synchronized void onStageSubmitted(SparkListenerStageSubmitted event) {
    stage = event.stageInfo().stageId();
    tasks = event.stageInfo().numTasks();
    done = 0;
  }

  @Override
  public synchronized void onTaskEnd(SparkListenerTaskEnd event) {
    if (event.taskMetrics() != null) {
      shuffleBytes += event.taskMetrics().shuffleWriteMetrics().bytesWritten();
    }
    if (event.stageId() == stage && event.taskInfo().successful()) {
      done++;
      out.println("progress " + stage + " " + done + " " + tasks);
    }
  }

  /** The bytes written into shuffles so far. */
  long shuffleBytes(SparkContext context) {
    try {
      context.listenerBus().waitUntilEmpty(60_000);
    } catch (java.util.concurrent.TimeoutException e) {
      throw new IllegalStateException("Spark's events did not arrive", e);
    }
    synchronized (this) {
      return shuffleBytes;
    }
  }
}
