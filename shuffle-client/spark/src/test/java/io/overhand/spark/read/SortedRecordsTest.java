package io.overhand.spark.read;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Properties;
import java.util.Random;

import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContextImpl;
import org.apache.spark.executor.TaskMetrics;
import org.apache.spark.memory.MemoryConsumer;
import org.apache.spark.memory.MemoryMode;
import org.apache.spark.memory.TaskMemoryManager;
import org.apache.spark.memory.UnifiedMemoryManager;
import org.apache.spark.serializer.KryoSerializer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import scala.Option;
import scala.Product2;
import scala.Tuple2;
import scala.collection.AbstractIterator;
import scala.collection.Iterator;
import scala.collection.immutable.Map$;
import scala.math.Ordering;

class SortedRecordsTest {
  private static final int COUNT = 100_000;

  private static SparkContext spark;

  @BeforeAll
  static void start() {
    spark =
        new SparkContext(
            new SparkConf(false)
                .setMaster("local[1]")
                .setAppName("test")
                .set("spark.ui.enabled", "false")
                .set("spark.driver.bindAddress", "127.0.0.1")
                .set("spark.driver.host", "127.0.0.1"));
  }

  @AfterAll
  static void stop() {
    spark.stop();
  }

  /** A task that may have so many bytes on the heap. */
  private static final class Task {
    private final TaskMemoryManager memory;
    private final TaskContextImpl context;
    private final TaskMetrics metrics = new TaskMetrics();

    Task(long bytes) {
      // Of what is given here Spark's manager takes 0.6, and first leaves 0.
      SparkConf conf =
          new SparkConf(false)
              .set("spark.testing.memory", Long.toString((long) (bytes / 0.6)))
              .set("spark.testing.reservedMemory", "0");
      memory = new TaskMemoryManager(UnifiedMemoryManager.apply(conf, 1), 0);
      context =
          new TaskContextImpl(
              0, 0, 0, 5, 0, 1, memory, new Properties(), null, metrics, 1, Map$.MODULE$.empty());
    }

    Iterator<? extends Product2<Object, Object>> sorted(List<Integer> keys) {
      return SortedRecords.of(records(keys), ordering(), new KryoSerializer(new SparkConf(false)), context);
    }

    void ends() {
      context.markTaskCompleted(Option.empty());
      assertEquals(0, memory.cleanUpAllAllocatedMemory());
    }
  }

  private static final class Other extends MemoryConsumer {
    Other(Task task) {
      super(task.memory, 1 << 20, MemoryMode.ON_HEAP);
    }

    @Override
    public long spill(long size, MemoryConsumer trigger) {
      return 0;
    }
  }

  @SuppressWarnings({"unchecked", "rawtypes"})
  private static Ordering<Object> ordering() {
    return (Ordering) Ordering.Int$.MODULE$;
  }

  private static List<Integer> keys(int count) {
    Random random = new Random(7);
    List<Integer> keys = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      keys.add(random.nextInt(count / 2 + 1));
    }
    return keys;
  }

  private static Iterator<Product2<Object, Object>> records(List<Integer> keys) {
    java.util.Iterator<Integer> from = keys.iterator();
    return new AbstractIterator<Product2<Object, Object>>() {
      @Override
      public boolean hasNext() {
        return from.hasNext();
      }

      @Override
      public Product2<Object, Object> next() {
        Integer key = from.next();
        return new Tuple2<>(key, "value of " + key);
      }
    };
  }

  private static List<Integer> read(Iterator<? extends Product2<Object, Object>> records, int most) {
    List<Integer> keys = new ArrayList<>();
    while (keys.size() < most && records.hasNext()) {
      Product2<Object, Object> record = records.next();
      assertEquals("value of " + record._1(), record._2());
      keys.add((Integer) record._1());
    }
    return keys;
  }

  private static List<Integer> sorted(List<Integer> keys) {
    List<Integer> sorted = new ArrayList<>(keys);
    Collections.sort(sorted);
    return sorted;
  }

  @Test
  void recordsComeInTheOrderOfTheirKeysAndNothingIsSpilled() {
    Task task = new Task(256 << 20);
    List<Integer> keys = keys(COUNT);
    Iterator<? extends Product2<Object, Object>> records = task.sorted(keys);
    assertTrue(task.metrics.peakExecutionMemory() > COUNT * 40L, task.metrics.peakExecutionMemory() + " bytes");
    assertEquals(sorted(keys), read(records, Integer.MAX_VALUE));
    assertFalse(records.hasNext());
    assertThrows(NoSuchElementException.class, records::next);
    assertEquals(0, task.metrics.memoryBytesSpilled());
    assertEquals(0, task.memory.getMemoryConsumptionForThisTask(), "given back as soon as all was read");
    task.ends();
  }

  @Test
  void sparksSorterTakesOverWhereMemoryIsShort() {
    Task task = new Task(4 << 20);
    List<Integer> keys = keys(COUNT);
    assertEquals(sorted(keys), read(task.sorted(keys), Integer.MAX_VALUE));
    assertTrue(task.metrics.diskBytesSpilled() > 0);
    task.ends();
  }

  @Test
  void anotherOperatorGetsTheMemoryAndTheRestIsReadFromAFile() {
    Task task = new Task(64 << 20);
    List<Integer> keys = keys(COUNT);
    Iterator<? extends Product2<Object, Object>> records = task.sorted(keys);
    List<Integer> read = read(records, COUNT / 3);
    Other other = new Other(task);
    long all = 60 << 20;
    assertEquals(all, other.acquireMemory(all));
    assertTrue(task.metrics.memoryBytesSpilled() > 0 && task.metrics.diskBytesSpilled() > 0);
    assertEquals(1, temporaryFiles());
    read.addAll(read(records, Integer.MAX_VALUE));
    assertEquals(sorted(keys), read);
    other.freeMemory(all);
    task.ends();
    assertEquals(0, temporaryFiles());
  }

  @Test
  void aTaskThatEndsEarlyLeavesNothing() {
    Task task = new Task(64 << 20);
    Iterator<? extends Product2<Object, Object>> records = task.sorted(keys(COUNT));
    read(records, 10);
    task.ends();
    assertFalse(records.hasNext());
    task = new Task(64 << 20);
    records = task.sorted(keys(COUNT));
    read(records, 10);
    new Other(task).acquireMemory(60 << 20);
    read(records, 10);
    task.context.markTaskCompleted(Option.empty());
    assertEquals(0, temporaryFiles());
  }

  @Test
  void noRecords() {
    Task task = new Task(64 << 20);
    assertFalse(task.sorted(Collections.emptyList()).hasNext());
    task.ends();
  }

  private static long temporaryFiles() {
    long count = 0;
    for (File folder : SparkEnv.get().blockManager().diskBlockManager().localDirs()) {
      count += files(folder);
    }
    return count;
  }

  private static long files(File file) {
    File[] inside = file.listFiles();
    if (inside == null) {
      return 1;
    }
    long count = 0;
    for (File one : inside) {
      count += files(one);
    }
    return count;
  }
}
