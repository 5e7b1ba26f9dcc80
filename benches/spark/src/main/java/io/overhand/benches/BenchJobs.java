package io.overhand.benches;

import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.expr;

import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;

/** The jobs that are timed. Each reads every row that it shuffled, and gives their number and a sum over them. */
final class BenchJobs {
  /** Rows of the smallest of the small shuffles: about 100 kB. The largest moves ten times as many. */
  private static final long SMALL_ROWS = 1000;

  private BenchJobs() {}

  /**
   * Runs a job.
   *
   * @param rows how many rows go in, of all shuffles together
   * @param partitions how many partitions each shuffle has
   * @param maps how many map tasks make the rows of each shuffle; a query takes what its files give
   * @param argument what else a job needs: the file of a query
   */
  static Check run(String name, SparkSession spark, long rows, int partitions, int maps, String argument) {
    spark.conf().set("spark.sql.shuffle.partitions", Integer.toString(partitions));
    return switch (name) {
      case "repartition" -> repartition(Tables.wide(spark, rows, maps), partitions);
      case "narrow" -> repartition(Tables.narrow(spark, rows, maps), partitions);
      case "long" -> repartition(Tables.text(spark, rows, maps), partitions);
      case "sort" -> Check.of(Tables.wide(spark, rows, maps).sort("c1"));
      case "aggregate" -> aggregate(spark, rows, maps);
      case "join" -> join(spark, rows, maps);
      case "window" -> window(spark, rows, maps);
      case "small" -> small(spark, rows, partitions, maps);
      case "records" -> RddJobs.records(spark, rows, partitions, maps);
      case "terasort" -> RddJobs.teraSort(spark, rows, partitions, maps);
      case "tpch" -> Tpch.run(spark, argument);
      default -> throw new IllegalArgumentException("there is no job " + name);
    };
  }

  private static Check repartition(Dataset<Row> rows, int partitions) {
    return Check.of(rows.repartition(partitions, col("id")));
  }

  /** About as many groups as rows, so that nothing is saved before the shuffle. */
  private static Check aggregate(SparkSession spark, long rows, int maps) {
    return Check.of(Tables.wide(spark, rows, maps)
        .groupBy(expr("c1 % " + rows / 2))
        .agg(expr("sum(c7)"), expr("max(c8)"), expr("count(*)")));
  }

  /** Each row meets exactly one of the other side. */
  private static Check join(SparkSession spark, long rows, int maps) {
    Dataset<Row> left = Tables.wide(spark, rows, maps);
    Dataset<Row> right = Tables.wide(spark, rows, maps)
        .selectExpr(rows + " - 1 - id as other", "c2 as d2", "c3 as d3", "c7 as d7", "c8 as d8", "c9 as d9");
    return Check.of(left.join(right, left.col("id").equalTo(right.col("other"))));
  }

  /** Windows of 100 rows. */
  private static Check window(SparkSession spark, long rows, int maps) {
    String window = " over (partition by place order by c1)";
    return Check.of(Tables.wide(spark, rows, maps)
        .withColumn("place", expr("id % " + Math.max(1, rows / 100)))
        .selectExpr("*", "row_number()" + window + " as number", "sum(c7)" + window + " as total"));
  }

  /** Many shuffles of 100 kB to 1 MB in turn, one after another. */
  private static Check small(SparkSession spark, long rows, int partitions, int maps) {
    Check total = Check.NOTHING;
    long done = 0;
    for (int turn = 0; done < rows; turn++) {
      long size = SMALL_ROWS * (turn % 10 + 1);
      total = total.add(repartition(Tables.wide(spark, size, maps), partitions));
      done += size;
    }
    return total;
  }
}
