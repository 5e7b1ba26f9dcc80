package io.overhand.benches;

import java.io.PrintStream;
import org.apache.spark.SparkContext;
import org.apache.spark.executor.TaskMetrics;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerStageSubmitted;
import org.apache.spark.scheduler.SparkListenerTaskEnd;

/** Follows Spark's events: prints how far each stage is, and adds up what its tasks wrote into shuffles and spilled. */
final class Progress extends SparkListener {
  /**
   * What tasks have done so far.
   *
   * @param mapTasks tasks that wrote into a shuffle
   * @param shuffled bytes that they wrote
   * @param spilledMemory bytes, as they were in memory, of what any task spilled
   * @param spilledDisk bytes of the same on disk
   */
  record Totals(long mapTasks, long shuffled, long spilledMemory, long spilledDisk) {
    static final Totals NONE = new Totals(0, 0, 0, 0);

    Totals with(String taskType, TaskMetrics task) {
      return new Totals(
          mapTasks + (taskType.equals("ShuffleMapTask") ? 1 : 0),
          shuffled + task.shuffleWriteMetrics().bytesWritten(),
          spilledMemory + task.memoryBytesSpilled(),
          spilledDisk + task.diskBytesSpilled());
    }

    Totals since(Totals earlier) {
      return new Totals(
          mapTasks - earlier.mapTasks,
          shuffled - earlier.shuffled,
          spilledMemory - earlier.spilledMemory,
          spilledDisk - earlier.spilledDisk);
    }
  }

  private final PrintStream out;
  private int stage;
  private int tasks;
  private int done;
  private Totals totals = Totals.NONE;

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
      totals = totals.with(event.taskType(), event.taskMetrics());
    }
    if (event.stageId() == stage && event.taskInfo().successful()) {
      done++;
      out.println("progress " + stage + " " + done + " " + tasks);
    }
  }

  /** What all tasks that ended have done so far. */
  Totals totals(SparkContext context) {
    try {
      context.listenerBus().waitUntilEmpty(60_000);
    } catch (java.util.concurrent.TimeoutException e) {
      throw new IllegalStateException("Spark's events did not arrive", e);
    }
    synchronized (this) {
      return totals;
    }
  }
}
