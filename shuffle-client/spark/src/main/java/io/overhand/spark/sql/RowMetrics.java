package io.overhand.spark.sql;

import java.io.Serializable;

import org.apache.spark.TaskContext;
import org.apache.spark.executor.TempShuffleReadMetrics;
import org.apache.spark.sql.execution.metric.SQLMetric;
import scala.collection.immutable.Map;

/** Counts what a task reads for SQL's page and for the task: all that there is to count of a remote shuffle. */
final class RowMetrics extends TempShuffleReadMetrics {
  /** The metrics of an exchange that tasks count. */
  static final class Sql implements Serializable {
    private static final long serialVersionUID = 1;

    private final SQLMetric blocks;
    private final SQLMetric bytes;
    private final SQLMetric wait;
    private final SQLMetric records;

    Sql(Map<String, SQLMetric> metrics) {
      blocks = metrics.apply("remoteBlocksFetched");
      bytes = metrics.apply("remoteBytesRead");
      wait = metrics.apply("fetchWaitTime");
      records = metrics.apply("recordsRead");
    }
  }

  private final Sql sql;
  private final TempShuffleReadMetrics task;

  RowMetrics(Sql sql, TaskContext context) {
    this.sql = sql;
    task = context.taskMetrics().createTempShuffleReadMetrics();
  }

  @Override
  public void incRemoteBlocksFetched(long count) {
    sql.blocks.add(count);
    task.incRemoteBlocksFetched(count);
  }

  @Override
  public void incRemoteBytesRead(long count) {
    sql.bytes.add(count);
    task.incRemoteBytesRead(count);
  }

  @Override
  public void incFetchWaitTime(long millis) {
    sql.wait.add(millis);
    task.incFetchWaitTime(millis);
  }

  @Override
  public void incRecordsRead(long count) {
    sql.records.add(count);
    task.incRecordsRead(count);
  }
}
