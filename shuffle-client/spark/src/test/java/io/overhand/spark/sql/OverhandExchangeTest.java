package io.overhand.spark.sql;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;

import org.apache.spark.SparkEnv;
import org.apache.spark.rdd.RDD;
import org.apache.spark.serializer.SerializerInstance;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.execution.ShuffledRowRDD;
import org.apache.spark.sql.execution.SparkPlan;
import org.apache.spark.sql.execution.exchange.ReusedExchangeExec;
import org.apache.spark.sql.execution.exchange.ShuffleExchangeExec;
import org.apache.spark.sql.functions;
import org.apache.spark.storage.StorageLevel;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import scala.collection.Iterator;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;

class OverhandExchangeTest {
  private static SparkSession spark;

  @BeforeAll
  static void start() {
    spark =
        SparkSession.builder()
            .master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.shuffle.manager", Placing.class.getName())
            .config("spark.sql.extensions", OverhandExtensions.class.getName())
            .config("spark.sql.shuffle.partitions", "3")
            .config("spark.sql.adaptive.enabled", "false")
            .config("spark.sql.autoBroadcastJoinThreshold", "-1")
            .getOrCreate();
  }

  @AfterAll
  static void stop() {
    Placing.on = false;
    spark.stop();
  }

  private static Dataset<Row> shuffled(int partitions) {
    return spark.range(1000).toDF().repartition(partitions, functions.col("id"));
  }

  private static SparkPlan plan(Dataset<Row> rows) {
    return rows.queryExecution().executedPlan();
  }

  /** The first exchange below a plan, or nothing. */
  private static ShuffleExchangeExec exchange(SparkPlan plan) {
    if (plan instanceof ShuffleExchangeExec) {
      return (ShuffleExchangeExec) plan;
    }
    Iterator<SparkPlan> children = plan.children().iterator();
    while (children.hasNext()) {
      ShuffleExchangeExec found = exchange(children.next());
      if (found != null) {
        return found;
      }
    }
    return null;
  }

  private static boolean has(SparkPlan plan, Class<?> kind) {
    boolean found = kind.isInstance(plan);
    Iterator<SparkPlan> children = plan.children().iterator();
    while (!found && children.hasNext()) {
      found = has(children.next(), kind);
    }
    return found;
  }

  private static String withoutId(SparkPlan plan) {
    return plan.toString().replaceAll("plan_id=\\d+", "");
  }

  private static ByteBuffer written(Object object) {
    ClassTag<Object> any = ClassTag$.MODULE$.Any();
    return closures().serialize(object, any);
  }

  private static Object read(ByteBuffer bytes) {
    ClassTag<Object> any = ClassTag$.MODULE$.Any();
    return closures().deserialize(bytes, any);
  }

  private static SerializerInstance closures() {
    return SparkEnv.get().closureSerializer().newInstance();
  }

  private static RDD<InternalRow> placed(int partitions) {
    Placing.on = true;
    try {
      return exchange(plan(shuffled(partitions))).execute();
    } finally {
      Placing.on = false;
    }
  }

  @Test
  void tasksGetFewBytesHoweverManyPartitionsThereAre() {
    RDD<InternalRow> rows = placed(10_000);
    assertTrue(rows instanceof ShuffledRowRDD, rows.getClass().getName());
    assertEquals(10_000, rows.getNumPartitions());
    ByteBuffer bytes = written(rows);
    assertTrue(bytes.remaining() < 5000, bytes.remaining() + " bytes");
    assertEquals(TaskRows.class, read(bytes).getClass());
  }

  @Test
  void rowsThatAreCachedAreStillFoundByTheirId() {
    RDD<InternalRow> rows = placed(2);
    rows.persist(StorageLevel.DISK_ONLY());
    RDD<?> inTask = (RDD<?>) read(written(rows));
    assertEquals(ShuffledRows.class, inTask.getClass());
    assertEquals(rows.id(), inTask.id());
  }

  @Test
  void whatDidNotGoThroughOverhandIsSparksOwn() {
    Dataset<Row> rows = shuffled(4);
    ShuffleExchangeExec exchange = exchange(plan(rows));
    assertEquals(OverhandExchange.class, exchange.getClass());
    assertEquals(ShuffledRowRDD.class, exchange.execute().getClass());
    assertEquals(1000, rows.count());
  }

  @Test
  void onePlanHasOneRdd() {
    Placing.on = true;
    try {
      ShuffleExchangeExec exchange = exchange(plan(shuffled(4)));
      assertSame(exchange.execute(), exchange.execute());
    } finally {
      Placing.on = false;
    }
  }

  @Test
  void exchangesThatDoTheSameAreReused() {
    Dataset<Row> counted = shuffled(4).groupBy("id").count();
    Dataset<Row> twice = counted.union(counted);
    assertTrue(has(plan(twice), ReusedExchangeExec.class), plan(twice).toString());
    assertEquals(2000, twice.count());
  }

  @Test
  void adaptiveExecutionReadsWhatItLikes() {
    spark.conf().set("spark.sql.adaptive.enabled", "true");
    try {
      Dataset<Row> counted = shuffled(50).groupBy("id").count();
      assertEquals(1000, counted.join(counted.withColumnRenamed("count", "n"), "id").count());
    } finally {
      spark.conf().set("spark.sql.adaptive.enabled", "false");
    }
  }

  @Test
  void itIsTheSameAsSparksInACanonicalPlanAndNotEqualToIt() {
    ShuffleExchangeExec ours = exchange(plan(shuffled(4)));
    ShuffleExchangeExec sparks =
        new ShuffleExchangeExec(
            ours.outputPartitioning(), ours.child(), ours.shuffleOrigin(), ours.advisoryPartitionSize());
    assertNotEquals(ours, sparks);
    assertNotEquals(sparks, ours);
    assertEquals(sparks.canonicalized(), ours.canonicalized());
    assertTrue(ours.sameResult(sparks) && sparks.sameResult(ours));
    assertEquals(withoutId(sparks), withoutId(ours));
  }
}
