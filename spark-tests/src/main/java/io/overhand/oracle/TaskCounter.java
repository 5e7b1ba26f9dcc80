package io.overhand.oracle;

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.spark.FetchFailed;
import org.apache.spark.Success$;
import org.apache.spark.executor.TaskMetrics;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerExecutorRemoved;
import org.apache.spark.scheduler.SparkListenerJobEnd;
import org.apache.spark.scheduler.SparkListenerJobStart;
import org.apache.spark.scheduler.SparkListenerStageSubmitted;
import org.apache.spark.scheduler.SparkListenerTaskEnd;
import org.apache.spark.scheduler.SparkListenerTaskStart;

/**
 * Counts, from Spark's own events, what the tasks of a job did. Its callers drain the listener bus before they look.
 */
public final class TaskCounter extends SparkListener {
  /**
   * What happened in a job.
   *
   * @param redone map tasks that succeeded again after they had succeeded
   * @param failed tasks that ended otherwise than by success
   * @param stagesRepeated attempts of stages after their first
   */
  public record Counts(
      long recordsWritten,
      long recordsRead,
      long bytesWritten,
      long bytesRead,
      long writeNanos,
      int redone,
      int failed,
      int fetchFailures,
      int executorsLost,
      int speculative,
      int stagesRepeated) {}

  /** One map output: the partition of a shuffle's map stage. */
  private record MapOutput(int shuffle, int partition) {}

  private final Map<Integer, Integer> shuffleOfStage = new HashMap<>();
  private final Map<MapOutput, Integer> successes = new HashMap<>();
  private int activeJobs;
  private int runningTasks;
  private long recordsWritten;
  private long recordsRead;
  private long bytesWritten;
  private long bytesRead;
  private long writeNanos;
  private int redone;
  private int failed;
  private int fetchFailures;
  private int executorsLost;
  private int speculative;
  private int stagesRepeated;

  @Override
  public synchronized void onStageSubmitted(SparkListenerStageSubmitted event) {
    if (event.stageInfo().attemptNumber() > 0) {
      stagesRepeated++;
    }
    if (event.stageInfo().shuffleDepId().isDefined()) {
      shuffleOfStage.put(event.stageInfo().stageId(), (Integer)
          event.stageInfo().shuffleDepId().get());
    }
  }

  @Override
  public synchronized void onJobStart(SparkListenerJobStart event) {
    activeJobs++;
  }

  @Override
  public synchronized void onJobEnd(SparkListenerJobEnd event) {
    activeJobs--;
    notifyAll();
  }

  @Override
  public synchronized void onTaskStart(SparkListenerTaskStart event) {
    runningTasks++;
  }

  @Override
  public synchronized void onTaskEnd(SparkListenerTaskEnd event) {
    runningTasks--;
    notifyAll();
    if (event.taskInfo().speculative()) {
      speculative++;
    }
    if (event.reason() != Success$.MODULE$) {
      failed++;
      if (event.reason() instanceof FetchFailed) {
        fetchFailures++;
      }
      return;
    }
    TaskMetrics metrics = event.taskMetrics();
    recordsWritten += metrics.shuffleWriteMetrics().recordsWritten();
    recordsRead += metrics.shuffleReadMetrics().recordsRead();
    bytesWritten += metrics.shuffleWriteMetrics().bytesWritten();
    bytesRead += metrics.shuffleReadMetrics().totalBytesRead();
    writeNanos += metrics.shuffleWriteMetrics().writeTime();
    Integer shuffle = shuffleOfStage.get(event.stageId());
    if (shuffle != null && event.taskType().equals("ShuffleMapTask")) {
      MapOutput output = new MapOutput(shuffle, event.taskInfo().partitionId());
      if (successes.merge(output, 1, Integer::sum) > 1) {
        redone++;
      }
    }
  }

  @Override
  public synchronized void onExecutorRemoved(SparkListenerExecutorRemoved event) {
    executorsLost++;
  }

  /**
   * Waits until nothing runs any more, a minute at most: a query whose answer is known early (one side of its join is
   * empty) leaves map tasks behind, which must not count for the next job.
   */
  synchronized void quiesce() throws InterruptedException {
    long end = System.nanoTime() + TimeUnit.MINUTES.toNanos(1);
    while (activeJobs > 0 || runningTasks > 0) {
      long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
      if (left <= 0) {
        return;
      }
      wait(left);
    }
  }

  /** Forgets the counts, but not which map outputs exist: a later job may redo those of an earlier one. */
  synchronized void reset() {
    recordsWritten = recordsRead = bytesWritten = bytesRead = writeNanos = 0;
    redone = failed = fetchFailures = executorsLost = speculative = stagesRepeated = 0;
  }

  /** What happened so far. */
  public synchronized Counts counts() {
    return new Counts(
        recordsWritten,
        recordsRead,
        bytesWritten,
        bytesRead,
        writeNanos,
        redone,
        failed,
        fetchFailures,
        executorsLost,
        speculative,
        stagesRepeated);
  }
}
