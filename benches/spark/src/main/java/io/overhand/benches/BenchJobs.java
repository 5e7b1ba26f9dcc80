package io.overhand.benches;

import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.expr;

import java.io.Serializable;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.UnsafeRow;
import org.apache.spark.sql.execution.QueryExecution;
import org.apache.spark.unsafe.Platform;

/**
 * The jobs that are timed. Each reads every row that it shuffled, and gives their number and a sum over all their
 * words.
 */
final class BenchJobs {
  private static final int MAPS = 32;
  /** As many rows as one of the small shuffles moves: about 1 MB. */
  private static final long SMALL_ROWS = 10_000;

  private BenchJobs() {}

  /** What a job gives, to be compared with what it gives on another shuffle. */
  record Check(long rows, long sum) implements Serializable {
    Check add(Check other) {
      return new Check(rows + other.rows, sum + other.sum);
    }
  }

  /** A job on `rows` rows into `partitions` partitions. */
  private interface Job {
    Check run(SparkSession spark, long rows, int partitions);
  }

  private static final Map<String, Job> JOBS = Map.of(
      "repartition",
          (spark, rows, partitions) -> check(table(spark, rows, MAPS).repartition(partitions, col("id"))),
      "sort",
          (spark, rows, partitions) -> check(
              with(spark, partitions, table(spark, rows, MAPS).sort("c1"))),
      "aggregate",
          (spark, rows, partitions) -> check(with(
              spark,
              partitions,
              table(spark, rows, MAPS)
                  .groupBy(expr("c1 % " + rows / 2))
                  .agg(expr("sum(c7)"), expr("max(c8)"), expr("count(*)")))),
      "small", BenchJobs::small);

  static Check run(String name, SparkSession spark, long rows, int partitions) {
    return JOBS.get(name).run(spark, rows, partitions);
  }

  /** Rows of 104 bytes: half of the columns do not compress, the others are small numbers. */
  private static Dataset<Row> table(SparkSession spark, long rows, int maps) {
    Column[] columns = new Column[12];
    columns[0] = col("id");
    for (int i = 1; i < columns.length; i++) {
      columns[i] = i < 6
          ? expr("id * " + (0x9E3779B97F4A7C15L * i | 1) + " as c" + i)
          : expr("id % " + (1000 * i + 1) + " as c" + i);
    }
    return spark.range(0, rows, 1, maps).select(columns);
  }

  /** Many shuffles of about 1 MB, one after another. */
  private static Check small(SparkSession spark, long rows, int partitions) {
    Check total = new Check(0, 0);
    for (long done = 0; done < rows; done += SMALL_ROWS) {
      total = total.add(check(table(spark, SMALL_ROWS, 4).repartition(partitions, col("id"))));
    }
    return total;
  }

  private static Dataset<Row> with(SparkSession spark, int partitions, Dataset<Row> rows) {
    spark.conf().set("spark.sql.shuffle.partitions", Integer.toString(partitions));
    return rows;
  }

  private static Check check(Dataset<Row> rows) {
    return execution(rows)
        .toRdd()
        .toJavaRDD()
        .mapPartitions(part -> List.of(check(part)).iterator())
        .collect()
        .stream()
        .reduce(new Check(0, 0), Check::add);
  }

  private static Check check(Iterator<InternalRow> rows) {
    long count = 0;
    long sum = 0;
    while (rows.hasNext()) {
      UnsafeRow row = (UnsafeRow) rows.next();
      Object base = row.getBaseObject();
      long at = row.getBaseOffset();
      long hash = 0;
      for (long end = at + row.getSizeInBytes(); at < end; at += 8) {
        hash = hash * 0x9E3779B97F4A7C15L + Platform.getLong(base, at);
      }
      sum += hash ^ (hash >>> 31);
      count++;
    }
    return new Check(count, sum);
  }

  /** The plan of a query: the method is on another class in each line of Spark. */
  private static QueryExecution execution(Dataset<Row> rows) {
    try {
      return (QueryExecution) rows.getClass().getMethod("queryExecution").invoke(rows);
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException("a Dataset has a queryExecution in every line", e);
    }
  }
}
