package io.overhand.oracle;

import static io.overhand.oracle.Job.Trait.CORE;
import static io.overhand.oracle.Job.Trait.LARGE;
import static io.overhand.oracle.Job.Trait.NO_RECORDS;
import static io.overhand.oracle.Job.Trait.READS_VARY;
import static io.overhand.oracle.Job.job;
import static org.apache.spark.sql.functions.array;
import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.count;
import static org.apache.spark.sql.functions.expr;
import static org.apache.spark.sql.functions.lit;
import static org.apache.spark.sql.functions.max;
import static org.apache.spark.sql.functions.min;
import static org.apache.spark.sql.functions.row_number;
import static org.apache.spark.sql.functions.sum;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.expressions.Window;

/** Queries: every kind of exchange that Spark SQL makes, and what adaptive execution does with their partitions. */
final class SqlJobs {
  private static final String ADVISORY = "spark.sql.adaptive.advisoryPartitionSizeInBytes";
  /** Small enough for the tables below to be skewed. */
  private static final Map<String, String> SKEW = Map.of(
      "spark.sql.adaptive.skewJoin.skewedPartitionFactor",
      "2",
      "spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes",
      "64k",
      "spark.sql.adaptive.coalescePartitions.enabled",
      "false",
      ADVISORY,
      "64k");

  private SqlJobs() {}

  static List<Job> all() {
    return List.of(
        job("sql-repartition-by-key", s -> Digest.of(table(s, 60_000).repartition(13, col("k"))), CORE),
        job("sql-round-robin", s -> Digest.of(table(s, 60_000).repartition(7))),
        job("sql-group-by", SqlJobs::groupBy, CORE),
        job(
            "sql-distinct",
            s -> Digest.of(table(s, 60_000).select("k", "text").distinct())),
        job("sql-sort-merge-join", s -> join(s, "merge")),
        job("sql-shuffled-hash-join", s -> join(s, "shuffle_hash")),
        job("sql-outer-and-anti-join", SqlJobs::outerJoins),
        job("sql-window", SqlJobs::window),
        job(
            "sql-global-sort",
            s -> Digest.ordered(table(s, 60_000).orderBy(col("text"), col("id"))),
            CORE,
            READS_VARY),
        job(
            "sql-top",
            s -> Digest.ordered(table(s, 60_000)
                .orderBy(col("h").desc(), col("id"))
                .limit(500)),
            READS_VARY),
        job("sql-join-group-sort", SqlJobs::joinGroupSort, READS_VARY),
        job("sql-skew-join", SqlJobs::skewJoin, CORE, READS_VARY),
        job("sql-rebalance-skew", SqlJobs::rebalance, READS_VARY),
        job("sql-coalesced-partitions", SqlJobs::coalesced),
        job("sql-reused-exchange", SqlJobs::reusedExchange, READS_VARY),
        job("sql-statistics-choose-the-join", SqlJobs::statistics, READS_VARY),
        job("sql-empty-side-is-known", SqlJobs::emptySide),
        job("sql-empty-input", SqlJobs::emptyInput, NO_RECORDS),
        job(
            "sql-one-row",
            s -> Digest.of(table(s, 1)
                .repartition(5, col("id"))
                .groupBy("k")
                .agg(count(lit(1))))),
        job("sql-zero-maps", SqlJobs::zeroMaps),
        job("sql-one-partition", s -> Digest.of(table(s, 30_000).repartition(1))),
        job("sql-2001-partitions", s -> wideFanOut(s, 2001, "true")),
        job("sql-2500-partitions-each-read", s -> wideFanOut(s, 2500, "false"), LARGE),
        job("sql-20000-partitions", s -> wideFanOut(s, 20_000, "true"), LARGE),
        job("sql-wide-rows", SqlJobs::wideRows, CORE),
        job("sql-nested-types", SqlJobs::nestedTypes),
        job("sql-nulls", SqlJobs::nulls, CORE),
        job("sql-no-columns", s -> Digest.of(table(s, 20_000).select().repartition(6))),
        job("sql-long-strings", SqlJobs::longStrings, CORE),
        job("sql-row-of-64-mb", SqlJobs::hugeRow, LARGE));
  }

  /** `rows` rows from four tasks: a key of 97 values, a hash that does not compress, a text, a number with nulls. */
  static Dataset<Row> table(Session session, long rows) {
    return session.spark()
        .range(0, rows, 1, 4)
        .select(
            col("id"),
            expr("id % 97 as k"),
            expr("xxhash64(id) as h"),
            expr("concat('row ', id, ' of ', cast(xxhash64(id) as string)) as text"),
            expr("if(id % 5 = 0, null, id * 3) as n"));
  }

  private static Outcome groupBy(Session session) {
    return Digest.of(table(session, 60_000).groupBy("k").agg(count(lit(1)), sum("n"), min("text"), max("h")))
        .and(Digest.of(
            table(session, 60_000).groupBy(expr("id % 20011")).agg(count("n"), max("text"))));
  }

  private static Outcome join(Session session, String hint) {
    Dataset<Row> left = table(session, 40_000);
    Dataset<Row> right =
        table(session, 30_000).select(expr("id * 2 as key"), col("text").as("other"));
    Dataset<Row> joined = left.join(right.hint(hint), left.col("id").equalTo(right.col("key")));
    return Digest.of(joined).shaped(joinKind(joined));
  }

  private static Outcome outerJoins(Session session) {
    Dataset<Row> left = table(session, 20_000);
    Dataset<Row> right =
        table(session, 15_000).select(expr("id * 3 as key"), col("text").as("other"));
    Column condition = left.col("n").equalTo(right.col("key"));
    return Digest.of(left.join(right, condition, "full_outer"))
        .and(Digest.of(left.join(right, condition, "left_anti")))
        .and(Digest.of(left.join(right, condition, "left_semi")));
  }

  private static Outcome window(Session session) {
    var byKey = Window.partitionBy("k").orderBy("id");
    return Digest.of(table(session, 40_000)
        .select(
            col("id"),
            row_number().over(byKey),
            sum("n").over(byKey.rowsBetween(-3, 3)),
            expr("lag(text) over (partition by k order by id)")));
  }

  private static Outcome joinGroupSort(Session session) {
    Dataset<Row> grouped =
        table(session, 40_000).groupBy("k").agg(count(lit(1)).as("c"), max("h").as("top"));
    return Digest.ordered(table(session, 20_000)
        .join(grouped, "k")
        .groupBy(expr("h % 1000 as bucket"))
        .agg(sum("c"), max("top"), min("text"))
        .orderBy("bucket"));
  }

  /**
   * Half of the left side has one key: its partition is read by ranges of map tasks, and the right one's several times.
   */
  private static Outcome skewJoin(Session session) throws Exception {
    return session.with(SKEW, () -> {
      Dataset<Row> left = table(session, 60_000).withColumn("key", expr("if(id % 2 = 0, 7, id)"));
      Dataset<Row> right =
          table(session, 2000).select(expr("id as key"), col("text").as("other"));
      Dataset<Row> joined = left.join(right.hint("merge"), "key");
      Outcome outcome = Digest.of(joined);
      return outcome.shaped(has(joined, "skew=true") ? "skewed" : "no skew");
    });
  }

  private static Outcome rebalance(Session session) throws Exception {
    return session.with(Map.of(ADVISORY, "64k"), () -> {
      table(session, 60_000)
          .withColumn("key", expr("if(id % 2 = 0, 7, id % 50)"))
          .createOrReplaceTempView("unbalanced");
      Dataset<Row> balanced = session.spark().sql("select /*+ REBALANCE(key) */ * from unbalanced");
      Outcome outcome = Digest.of(balanced);
      return outcome.shaped(has(balanced, "skewed") ? "skewed" : "no skew");
    });
  }

  private static Outcome coalesced(Session session) throws Exception {
    return session.with(
        Map.of(
            "spark.sql.shuffle.partitions",
            "200",
            "spark.sql.adaptive.coalescePartitions.parallelismFirst",
            "false"),
        () -> {
          Dataset<Row> grouped = table(session, 40_000).groupBy("k").agg(sum("n"), max("text"));
          Outcome outcome = Digest.of(grouped);
          return outcome.shaped(has(grouped, "AQEShuffleRead coalesced") ? "coalesced" : "not coalesced");
        });
  }

  /** One exchange under both sides of a join: read whole by one, by ranges of map tasks by the other. */
  private static Outcome reusedExchange(Session session) throws Exception {
    return session.with(SKEW, () -> {
      Dataset<Row> skewed = table(session, 20_000)
          .withColumn("key", expr("if(id % 20 = 0, 7, id)"))
          .repartition(8, col("key"));
      Dataset<Row> left = skewed.select(col("key"), col("id"), col("text"));
      Dataset<Row> right = skewed.select(
          col("key"), col("id").as("other_id"), col("text").as("other"));
      Dataset<Row> joined =
          left.join(right.hint("merge"), "key").selectExpr("id", "other_id", "length(text) + length(other)");
      Outcome outcome = Digest.of(joined);
      return outcome.shaped((has(joined, "ReusedExchange") ? "reused" : "not reused")
          + (has(joined, "skew=true") ? " skewed" : ""));
    });
  }

  /** AQE turns a sort-merge join into a broadcast join if a side turns out small: a large side must not look so. */
  private static Outcome statistics(Session session) throws Exception {
    return session.with(Map.of("spark.sql.autoBroadcastJoinThreshold", "256k"), () -> {
      Dataset<Row> left = table(session, 40_000).filter("h % 3 != 0");
      Dataset<Row> large = table(session, 20_000)
          .select(expr("id as key"), col("text").as("other"))
          .filter("xxhash64(key) % 5 != 0");
      Dataset<Row> small = large.filter("xxhash64(other) % 50 = 0");
      Dataset<Row> withLarge = left.join(large, left.col("id").equalTo(large.col("key")));
      Dataset<Row> withSmall = left.join(small, left.col("id").equalTo(small.col("key")));
      Outcome first = Digest.of(withLarge).shaped("");
      Outcome second = Digest.of(withSmall).shaped("");
      return first.and(second).shaped(joinKind(withLarge) + " " + joinKind(withSmall));
    });
  }

  /** AQE drops a join whose side wrote no record: one that wrote some must not be taken for it. */
  private static Outcome emptySide(Session session) {
    Dataset<Row> left = table(session, 20_000);
    Dataset<Row> some = table(session, 20_000)
        .filter("xxhash64(h) % 10 = 0")
        .select(expr("id as key"), col("text").as("other"));
    Dataset<Row> none = some.filter("xxhash64(key) is null");
    Outcome outcome = Digest.of(left.join(some, left.col("id").equalTo(some.col("key"))));
    return outcome.and(Digest.of(left.join(none, left.col("id").equalTo(none.col("key")))));
  }

  private static Outcome emptyInput(Session session) {
    Dataset<Row> empty = table(session, 20_000).filter("xxhash64(id) is null");
    return Digest.of(empty.repartition(9, col("k")))
        .and(Digest.of(empty.groupBy("k").agg(count(lit(1)))))
        .and(Digest.of(empty.groupBy().agg(count(lit(1)), sum("n"))))
        .and(Digest.ordered(empty.orderBy("h")));
  }

  private static Outcome zeroMaps(Session session) {
    Dataset<Row> schema = table(session, 1);
    Dataset<Row> none = session.spark().createDataFrame(session.context().<Row>emptyRDD(), schema.schema());
    return Digest.of(none.repartition(5, col("k")))
        .and(Digest.of(none.join(table(session, 1000).select(col("id"), col("h").as("g")), "id")))
        .and(Digest.of(none.union(table(session, 1000)).repartition(4, col("id"))));
  }

  private static Outcome wideFanOut(Session session, int partitions, String coalesce) throws Exception {
    return session.with(
        Map.of(
            "spark.sql.shuffle.partitions",
            Integer.toString(partitions),
            "spark.sql.adaptive.coalescePartitions.enabled",
            coalesce,
            "spark.sql.adaptive.coalescePartitions.parallelismFirst",
            "false"),
        () -> Digest.of(table(session, 60_000).groupBy("h").agg(max("text"), sum("n"))));
  }

  private static Outcome wideRows(Session session) {
    List<Column> columns = new ArrayList<>();
    for (int i = 0; i < 400; i++) {
      columns.add(
          switch (i % 4) {
            case 0 -> expr("xxhash64(id, " + i + ") as c" + i);
            case 1 -> expr("if(id % 7 = " + i % 7 + ", null, concat('t', id + " + i + ")) as c" + i);
            case 2 -> expr("id / " + (i + 1) + " as c" + i);
            default -> expr("(id % 2 = 0) as c" + i);
          });
    }
    Dataset<Row> wide = session.spark().range(0, 2000, 1, 4).select(columns.toArray(Column[]::new));
    return Digest.of(wide.repartition(11, col("c0")));
  }

  private static Outcome nestedTypes(Session session) {
    Dataset<Row> nested = table(session, 10_000)
        .select(
            col("id"),
            array(col("id"), col("n"), col("h")).as("numbers"),
            expr("map(text, n, 'key', id) as m"),
            expr("named_struct('a', id, 'b', array(text, null, concat(text, text))) as s"),
            expr("cast(h as decimal(30, 3)) as d"),
            expr("date_add(date '2020-01-01', cast(k as int)) as day"),
            expr("timestamp_seconds(id) as t"),
            expr("cast(text as binary) as bytes"),
            expr("cast(id as double) / 3 as f"));
    return Digest.of(nested.repartition(9, col("d")));
  }

  private static Outcome nulls(Session session) {
    Dataset<Row> nulls = table(session, 20_000)
        .select(
            expr("cast(null as string) as nothing"),
            col("n"),
            expr("if(id % 3 = 0, null, text) as t"),
            expr("if(id % 2 = 0, null, k) as key"));
    Dataset<Row> other = nulls.groupBy("key").agg(count(lit(1)).as("c"));
    return Digest.of(nulls.repartition(6, col("nothing")))
        .and(Digest.of(other))
        .and(Digest.of(nulls.join(other, nulls.col("key").eqNullSafe(other.col("key")))));
  }

  /** Strings from nothing to 4 MB, most of which does not compress. */
  private static Outcome longStrings(Session session) {
    Dataset<Row> strings = session.spark()
        .range(0, 40, 1, 4)
        .select(col("id"), expr(digits("cast(pow(1.48, id) as int) div 32") + " as text"));
    return Digest.of(strings.repartition(5, col("id")));
  }

  /** Rows of 1 MB, the second of 64 MB. */
  private static Outcome hugeRow(Session session) {
    Dataset<Row> huge = session.spark()
        .range(0, 3, 1, 3)
        .select(col("id"), expr("repeat(" + digits("32767") + ", if(id = 1, 64, 1)) as text"));
    return Digest.of(huge.repartition(2, col("id")));
  }

  /** An expression for a string of hexadecimal digits: 32 for each number up to `last`. */
  private static String digits(String last) {
    return "array_join(transform(sequence(0, " + last + "), i -> md5(cast(i + id as string))), '')";
  }

  /** The join operator in the plan as it was executed. */
  private static String joinKind(Dataset<Row> joined) {
    for (String kind : List.of("BroadcastHashJoin", "SortMergeJoin", "ShuffledHashJoin")) {
      if (has(joined, kind)) {
        return kind;
      }
    }
    return "no join";
  }

  /** Whether the executed plan says so; to be asked after the query ran. */
  private static boolean has(Dataset<Row> rows, String text) {
    String plan = Digest.execution(rows).executedPlan().toString();
    int initial = plan.indexOf("== Initial Plan ==");
    return plan.substring(0, initial < 0 ? plan.length() : initial).contains(text);
  }
}
