package io.overhand.spark.read;

import java.io.BufferedInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Comparator;
import java.util.NoSuchElementException;

import io.overhand.spark.compat.ExternalSorters;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.executor.ShuffleWriteMetrics;
import org.apache.spark.memory.MemoryConsumer;
import org.apache.spark.memory.MemoryMode;
import org.apache.spark.serializer.Serializer;
import org.apache.spark.storage.DiskBlockObjectWriter;
import org.apache.spark.storage.TempLocalBlockId;
import org.apache.spark.util.SizeEstimator;
import org.apache.spark.util.TaskCompletionListener;
import org.apache.spark.util.collection.ExternalSorter;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.Option;
import scala.Product2;
import scala.Tuple2;
import scala.collection.AbstractIterator;
import scala.collection.Iterator;
import scala.math.Ordering;

/**
 * The records of a reduce task in the order of their keys: in one array, as long as Spark grants the memory. When it
 * doesn't, Spark's own sorter takes them over, which spills. When another operator of the task needs the memory later,
 * those that were not read yet go to a file.
 *
 * <p>Spark's sorter alone would do. But it sets a pair beside each record, and estimates the size of all of them time and
 * again: that estimate was a tenth of the CPU time of a TeraSort of RDDs.
 */
final class SortedRecords extends AbstractIterator<Tuple2<Object, Object>> {
  private static final Logger LOG = LoggerFactory.getLogger(SortedRecords.class);
  private static final int FIRST_CAPACITY = 64;
  private static final int LARGEST_CAPACITY = Integer.MAX_VALUE - 8;
  /** So many records are measured first, and then one in so many on average. */
  private static final int FIRST_SAMPLES = 32;

  private static final int SAMPLE = 256;
  /** A reference to each record, and sorting wants half of them again. */
  private static final int SLOT = 12;

  private final TaskContext context;
  private final Serializer serializer;
  private final Account account;

  @SuppressWarnings({"unchecked", "rawtypes"})
  private Tuple2<Object, Object>[] records = new Tuple2[FIRST_CAPACITY];

  private int count;
  private int at;
  private long sampledBytes;
  private int samples;
  private int nextSample;
  private boolean reading;
  private File file;
  private InputStream fileBytes;
  private Iterator<Tuple2<Object, Object>> spilled;

  private SortedRecords(TaskContext context, Serializer serializer) {
    this.context = context;
    this.serializer = serializer;
    account = new Account(context);
  }

  /** All of {@code records} by {@code ordering}; {@code serializer} writes those that memory is too short for. */
  static Iterator<? extends Product2<Object, Object>> of(
      Iterator<Product2<Object, Object>> records,
      Ordering<Object> ordering,
      Serializer serializer,
      TaskContext context) {
    SortedRecords sorted = new SortedRecords(context, serializer);
    TaskCompletionListener close = ended -> sorted.close();
    context.addTaskCompletionListener(close);
    if (sorted.collect(records)) {
      sorted.sort(ordering);
      return sorted;
    }
    // From here on Spark's sorter keeps account of them.
    sorted.account.giveBack();
    ExternalSorter<Object, Object, Object> sparks =
        ExternalSorters.create(context, Option.empty(), Option.apply(ordering), serializer);
    return sparks.insertAllAndUpdateMetrics(new Both(sorted, records));
  }

  @Override
  public synchronized boolean hasNext() {
    return at < count;
  }

  @Override
  public Tuple2<Object, Object> next() {
    Tuple2<Object, Object> record;
    boolean last;
    synchronized (this) {
      if (at >= count) {
        throw new NoSuchElementException();
      }
      record = take();
      at++;
      last = at == count;
    }
    if (last) {
      release();
    }
    return record;
  }

  private Tuple2<Object, Object> take() {
    if (spilled == null) {
      Tuple2<Object, Object> record = records[at];
      records[at] = null;
      return record;
    }
    if (!spilled.hasNext()) {
      throw new IllegalStateException((count - at) + " records are missing in " + file);
    }
    return spilled.next();
  }

  /** Takes records while there is memory for them; false if it has become short. */
  private boolean collect(Iterator<Product2<Object, Object>> from) {
    while (from.hasNext()) {
      if (count == records.length && !grow()) {
        return false;
      }
      Product2<Object, Object> record = from.next();
      // What is a tuple never changes: others might be used again for the next one.
      records[count] = record instanceof Tuple2
          ? (Tuple2<Object, Object>) record
          : new Tuple2<>(record._1(), record._2());
      count++;
      if (count > nextSample && !sample(records[count - 1])) {
        return false;
      }
    }
    return true;
  }

  private void sort(Comparator<Object> ordering) {
    context.taskMetrics().incPeakExecutionMemory(account.getUsed());
    Arrays.sort(records, 0, count, (one, other) -> ordering.compare(one._1(), other._1()));
    reading = true;
  }

  private boolean grow() {
    if (records.length == LARGEST_CAPACITY) {
      return false;
    }
    int capacity = (int) Math.min(LARGEST_CAPACITY, 2L * records.length);
    if (!account.holds(estimate(capacity))) {
      return false;
    }
    records = Arrays.copyOf(records, capacity);
    return true;
  }

  /** Measures a record. Which one is next has no pattern, lest the records have the same. */
  private boolean sample(Tuple2<Object, Object> record) {
    sampledBytes += SizeEstimator.estimate(record);
    samples++;
    nextSample = count;
    if (samples >= FIRST_SAMPLES) {
      nextSample += (int) ((count * 0x9E3779B9L >>> 7) % (2 * SAMPLE));
    }
    return account.holds(estimate(records.length));
  }

  private long estimate(int capacity) {
    return (long) ((double) sampledBytes / Math.max(1, samples) * count) + (long) SLOT * capacity;
  }

  /** Writes what was not read yet into a file; returns how many bytes of memory are free by that. */
  private synchronized long spill() throws IOException {
    if (!reading || spilled != null || at >= count) {
      return 0;
    }
    SparkEnv env = SparkEnv.get();
    Tuple2<TempLocalBlockId, File> block = env.blockManager().diskBlockManager().createTempLocalBlock();
    file = block._2();
    int buffer = (int) env.conf().getSizeAsBytes("spark.shuffle.file.buffer", "32k");
    DiskBlockObjectWriter writer =
        env.blockManager().getDiskWriter(block._1(), file, serializer.newInstance(), buffer, new ShuffleWriteMetrics());
    try {
      for (int i = at; i < count; i++) {
        writer.write(records[i]._1(), records[i]._2());
      }
      context.taskMetrics().incDiskBytesSpilled(writer.commitAndGet().length());
    } catch (RuntimeException | Error e) {
      writer.revertPartialWritesAndClose();
      throw e;
    }
    writer.close();
    fileBytes = new BufferedInputStream(Files.newInputStream(file.toPath()), buffer);
    InputStream plain = env.blockManager().serializerManager().wrapStream(block._1(), fileBytes);
    spilled = serializer.newInstance().deserializeStream(plain).asKeyValueIterator();
    records = null;
    long freed = account.giveBack();
    context.taskMetrics().incMemoryBytesSpilled(freed);
    return freed;
  }

  /** Nothing is left to read. Not under this lock: who asks for memory calls {@link #spill} under that of the manager. */
  private void release() {
    records = null;
    account.giveBack();
  }

  private void close() {
    synchronized (this) {
      at = count;
    }
    release();
    try {
      if (fileBytes != null) {
        fileBytes.close();
      }
      if (file != null) {
        Files.deleteIfExists(file.toPath());
      }
    } catch (IOException e) {
      LOG.warn("{} could not be deleted; it goes with Spark's temporary folder", file, e);
    }
  }

  /** What the array holds in the books of Spark's memory manager. */
  private final class Account extends MemoryConsumer {
    Account(TaskContext context) {
      super(context.taskMemoryManager(), 1 << 20, MemoryMode.ON_HEAP);
    }

    /** Whether there are {@code bytes}; asks for as many again, so that it need not ask often. */
    boolean holds(long bytes) {
      if (bytes > getUsed()) {
        acquireMemory(Math.max(1 << 20, 2 * bytes - getUsed()));
      }
      return bytes <= getUsed();
    }

    long giveBack() {
      long bytes = getUsed();
      freeMemory(bytes);
      return bytes;
    }

    @Override
    public long spill(long size, MemoryConsumer trigger) throws IOException {
      return trigger == this ? 0 : SortedRecords.this.spill();
    }
  }

  /** Those that were collected, and the rest. */
  private static final class Both extends AbstractIterator<Product2<Object, Object>> {
    private final Iterator<Tuple2<Object, Object>> collected;
    private final Iterator<Product2<Object, Object>> rest;

    Both(Iterator<Tuple2<Object, Object>> collected, Iterator<Product2<Object, Object>> rest) {
      this.collected = collected;
      this.rest = rest;
    }

    @Override
    public boolean hasNext() {
      return collected.hasNext() || rest.hasNext();
    }

    @Override
    public Product2<Object, Object> next() {
      return collected.hasNext() ? collected.next() : rest.next();
    }
  }
}
