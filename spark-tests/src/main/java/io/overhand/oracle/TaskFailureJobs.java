package io.overhand.oracle;

import static io.overhand.oracle.Job.Trait.LOSES_EXECUTORS;
import static io.overhand.oracle.Job.Trait.LOSES_OUTPUTS;
import static io.overhand.oracle.Job.Trait.REPEATS_TASKS;
import static io.overhand.oracle.Job.job;

import java.util.Iterator;
import java.util.List;
import org.apache.spark.HashPartitioner;
import org.apache.spark.ShuffleDependency;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.function.MapPartitionsFunction;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.types.DataTypes;
import scala.Tuple2;

/** Jobs in which tasks fail, run twice, or take their executor with them. */
final class TaskFailureJobs {
  private TaskFailureJobs() {}

  /** Executors die and tasks fail. */
  static List<Job> all() {
    return List.of(
        job("rdd-executor-killed-writing", TaskFailureJobs::killedWriting, LOSES_EXECUTORS),
        job("rdd-executor-killed-reading", TaskFailureJobs::killedReading, LOSES_EXECUTORS),
        job("sql-executor-killed-writing", s -> sqlKilled(s, true), LOSES_EXECUTORS),
        job("sql-executor-killed-reading", s -> sqlKilled(s, false), LOSES_EXECUTORS),
        job("rdd-garbage-before-failure", TaskFailureJobs::rddGarbage, REPEATS_TASKS),
        job("sql-garbage-before-failure", TaskFailureJobs::sqlGarbage, REPEATS_TASKS),
        job("rdd-one-map-output-lost", TaskFailureJobs::oneOutputLost, LOSES_OUTPUTS),
        job("rdd-indeterminate-stage", TaskFailureJobs::indeterminate, LOSES_OUTPUTS),
        job("sql-row-checksums", TaskFailureJobs::rowChecksums, LOSES_OUTPUTS));
  }

  /** Tasks run twice at the same time. */
  static List<Job> speculative() {
    return List.of(
        job("rdd-speculation-writing", TaskFailureJobs::speculationWriting, REPEATS_TASKS),
        job("rdd-speculation-reading", TaskFailureJobs::speculationReading, REPEATS_TASKS));
  }

  /** Eight tasks with 10,000 records each, about 1 MB. */
  private static JavaPairRDD<Integer, String> records(Session session) {
    return session.context()
        .parallelize(List.of(0, 1, 2, 3, 4, 5, 6, 7), 8)
        .flatMapToPair(part -> java.util.stream.IntStream.range(0, 10_000)
            .mapToObj(i -> new Tuple2<>(
                i * 8 + part,
                "a record that is long enough to fill blocks " + Digest.mix(i * 8L + part)))
            .iterator());
  }

  private static void killAt(Sabotage sabotage, int partition, long given, long at) {
    if (TaskContext.getPartitionId() == partition && given == at && sabotage.once("killed")) {
      Sabotage.killThisProcess();
    }
  }

  private static Outcome killedWriting(Session session) throws Exception {
    Sabotage sabotage = session.sabotage();
    JavaPairRDD<Integer, String> first = records(session).partitionBy(new HashPartitioner(6));
    JavaRDD<Tuple2<Integer, String>> second =
        first.map(t -> t).mapPartitions(part -> Watched.each(part, given -> killAt(sabotage, 4, given, 7000)));
    return Digest.of(second.mapToPair(t -> new Tuple2<>(t._1 / 10, t._2))
        .partitionBy(new HashPartitioner(5))
        .map(t -> t));
  }

  private static Outcome killedReading(Session session) throws Exception {
    Sabotage sabotage = session.sabotage();
    JavaRDD<Tuple2<Integer, String>> read =
        records(session).partitionBy(new HashPartitioner(6)).map(t -> t);
    return Digest.of(read.mapPartitions(part -> Watched.each(part, given -> killAt(sabotage, 4, given, 5000))));
  }

  /** The executor dies in the first map stage, or in the stage that reads it. */
  private static Outcome sqlKilled(Session session, boolean writing) throws Exception {
    Sabotage sabotage = session.sabotage();
    Dataset<Row> rows = SqlJobs.table(session, 80_000);
    MapPartitionsFunction<Row, Row> kill = part -> Watched.each(part, given -> killAt(sabotage, 2, given, 9000));
    if (writing) {
      return Digest.of(rows.mapPartitions(kill, Encoders.row(rows.schema()))
          .repartition(6, org.apache.spark.sql.functions.col("k")));
    }
    return Digest.of(rows.repartition(6, org.apache.spark.sql.functions.col("id"))
        .mapPartitions(kill, Encoders.row(rows.schema()))
        .groupBy("k")
        .count());
  }

  private static Outcome rddGarbage(Session session) throws Exception {
    Sabotage sabotage = session.sabotage();
    JavaRDD<Tuple2<Integer, String>> spoiled = records(session)
        .map(t -> t)
        .mapPartitions(part -> spoil(sabotage, part, t -> new Tuple2<>(t._1 * 31, "garbage " + t._2)));
    JavaPairRDD<Integer, String> first = spoiled.mapToPair(t -> t).partitionBy(new HashPartitioner(5));
    JavaRDD<Tuple2<Integer, String>> again = first.map(t -> t)
        .mapPartitions(part -> spoil(sabotage, part, t -> new Tuple2<>(t._1 * 37, "worse " + t._2)));
    return Digest.of(again.mapToPair(t -> t).groupByKey(4).map(t -> t));
  }

  private static Outcome sqlGarbage(Session session) throws Exception {
    Sabotage sabotage = session.sabotage();
    MapPartitionsFunction<Long, Long> spoil = part -> spoil(sabotage, part, id -> -id - 1);
    Dataset<Long> spoiled =
        session.spark().range(0, 80_000, 1, 4).as(Encoders.LONG()).mapPartitions(spoil, Encoders.LONG());
    return Digest.of(spoiled.toDF("id")
        .selectExpr("id", "concat('row ', id) as text")
        .repartition(7)
        .groupBy("text")
        .count());
  }

  /** The first two attempts of every task give wrong records, and fail when they gave all but one. */
  private static <T> Iterator<T> spoil(
      Sabotage sabotage, Iterator<T> records, org.apache.spark.api.java.function.Function<T, T> garbage) {
    if (!sabotage.spoils(2)) {
      return records;
    }
    return new Iterator<>() {
      @Override
      public boolean hasNext() {
        return records.hasNext();
      }

      @Override
      public T next() {
        T record = records.next();
        if (!records.hasNext()) {
          throw new IllegalStateException("failed on purpose");
        }
        try {
          return garbage.call(record);
        } catch (Exception e) {
          throw new IllegalStateException(e);
        }
      }
    };
  }

  private static Outcome speculationWriting(Session session) throws Exception {
    Sabotage sabotage = session.sabotage();
    JavaRDD<Tuple2<Integer, String>> slow =
        records(session).map(t -> t).mapPartitions(part -> dawdle(sabotage, part));
    return Digest.of(
        slow.mapToPair(t -> t).partitionBy(new HashPartitioner(5)).map(t -> t));
  }

  private static Outcome speculationReading(Session session) throws Exception {
    Sabotage sabotage = session.sabotage();
    JavaRDD<Tuple2<Integer, String>> read =
        records(session).partitionBy(new HashPartitioner(6)).map(t -> t);
    return Digest.of(read.mapPartitions(part -> dawdle(sabotage, part))
        .mapToPair(t -> t)
        .groupByKey(4)
        .map(t -> t));
  }

  /**
   * The first attempt of task 1 stops in the middle until another attempt has read all: both end at about the same
   * time.
   */
  private static <T> Iterator<T> dawdle(Sabotage sabotage, Iterator<T> records) {
    if (!sabotage.on() || TaskContext.getPartitionId() != 1) {
      return records;
    }
    if (TaskContext.get().attemptNumber() > 0) {
      return Watched.end(records, () -> sabotage.mark("other attempt done"));
    }
    return Watched.each(records, given -> {
      if (given == 5000) {
        sabotage.awaitMark("other attempt done", 60);
      }
    });
  }

  /** A reader reports one map output lost after the other readers are done: one map task is redone. */
  private static Outcome oneOutputLost(Session session) throws Exception {
    Sabotage sabotage = session.sabotage();
    JavaPairRDD<Integer, String> shuffled = records(session).partitionBy(new HashPartitioner(4));
    int shuffle = shuffleOf(shuffled);
    return Digest.of(shuffled.map(t -> t).mapPartitions(part -> {
      if (TaskContext.getPartitionId() == 3 && sabotage.once("lost")) {
        throw Sabotage.loseMapOutput(shuffle, 5, 4);
      }
      return part;
    }));
  }

  /**
   * Where a record goes depends on the attempt of the task that sends it. When one output of that stage is lost after
   * most of its readers are done, redoing one task would lose some records and double others: all must be redone, and
   * read again.
   */
  private static Outcome indeterminate(Session session) throws Exception {
    Sabotage sabotage = session.sabotage();
    JavaRDD<String> unordered =
        records(session).partitionBy(new HashPartitioner(4)).values().repartition(4);
    JavaPairRDD<Long, String> routed = unordered
        .mapPartitionsToPair(part -> {
          long nonce = TaskContext.get().taskAttemptId();
          return map(part, text -> new Tuple2<>(Digest.mix(text.hashCode() + nonce), text));
        })
        .partitionBy(new HashPartitioner(4));
    int shuffle = shuffleOf(routed);
    JavaRDD<String> read = routed.values().mapPartitions(part -> loseAfterTheOthers(sabotage, part, shuffle, 1));
    return Digest.of(read.mapToPair(text -> new Tuple2<>(text.hashCode(), text))
        .partitionBy(new HashPartitioner(3))
        .map(t -> t));
  }

  /**
   * The same for SQL: a row's value depends on the attempt that made it, and decides where it goes. One output of the
   * hash exchange is lost after most of its readers are done; while it is redone, one of the round-robin exchange
   * before it is lost, whose values then are others. From 4.2 on Spark notices only by the checksums of the rows that
   * the writers report.
   */
  private static Outcome rowChecksums(Session session) throws Exception {
    Sabotage sabotage = session.sabotage();
    return session.with(
        java.util.Map.of(
            "spark.sql.execution.sortBeforeRepartition", "false", "spark.sql.adaptive.enabled", "false"),
        () -> {
          Dataset<Row> source = session.spark()
              .range(0, 40_000, 1, 4)
              .selectExpr("id")
              .repartition(4, org.apache.spark.sql.functions.col("id"));
          var schema = DataTypes.createStructType(List.of(
              DataTypes.createStructField("id", DataTypes.LongType, false),
              DataTypes.createStructField("r", DataTypes.LongType, false)));
          MapPartitionsFunction<Row, Row> stamp = part -> {
            long nonce = TaskContext.get().taskAttemptId();
            return map(
                part,
                row -> org.apache.spark.sql.RowFactory.create(
                    row.getLong(0), Digest.mix(row.getLong(0) * 31 + nonce)));
          };
          int before = session.context().sc().newShuffleId();
          MapPartitionsFunction<Row, Row> losesRoundRobin = part -> {
            if (TaskContext.get().stageAttemptNumber() > 0 && sabotage.once("lost the round robin")) {
              throw Sabotage.loseMapOutput(before + 2, 2, 4);
            }
            return part;
          };
          MapPartitionsFunction<Row, Row> losesHash =
              part -> loseAfterTheOthers(sabotage, part, before + 3, 1);
          Dataset<Row> hashed = source.mapPartitions(stamp, Encoders.row(schema))
              .repartition(4)
              .mapPartitions(losesRoundRobin, Encoders.row(schema))
              .repartition(4, org.apache.spark.sql.functions.col("r"));
          Dataset<Row> read = hashed.mapPartitions(losesHash, Encoders.row(schema))
              .select("id");
          return Digest.of(read.repartition(3, org.apache.spark.sql.functions.col("id")));
        });
  }

  /** Task 3 waits until the tasks before it have read everything, then reports an output lost, once. */
  private static <T> Iterator<T> loseAfterTheOthers(Sabotage sabotage, Iterator<T> records, int shuffle, int map) {
    if (!sabotage.on()) {
      return records;
    }
    int partition = TaskContext.getPartitionId();
    if (partition != 3) {
      return Watched.end(
          records,
          () -> sabotage.mark(
              "read " + partition + " " + TaskContext.get().stageAttemptNumber()));
    }
    if (TaskContext.get().stageAttemptNumber() == 0 && sabotage.once("lost output " + shuffle)) {
      for (int other = 0; other < 3; other++) {
        sabotage.awaitMark("read " + other + " 0", 60);
      }
      throw Sabotage.loseMapOutput(shuffle, map, 4);
    }
    return records;
  }

  private static int shuffleOf(JavaPairRDD<?, ?> shuffled) {
    return ((ShuffleDependency<?, ?, ?>) shuffled.rdd().dependencies().head()).shuffleId();
  }

  private static <A, B> Iterator<B> map(Iterator<A> records, java.util.function.Function<A, B> function) {
    return new Iterator<>() {
      @Override
      public boolean hasNext() {
        return records.hasNext();
      }

      @Override
      public B next() {
        return function.apply(records.next());
      }
    };
  }
}
