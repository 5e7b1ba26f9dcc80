package io.overhand.spark.read;

import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import java.util.stream.IntStream;

import org.apache.spark.SparkEnv;
import org.apache.spark.storage.BlockId;
import org.apache.spark.storage.BlockManagerId;
import org.apache.spark.storage.ShuffleBlockId;
import scala.Tuple2;
import scala.Tuple3;
import scala.collection.Iterator;

/**
 * What Spark says is valid in a range: every non-empty piece, with the attempt whose output counts now. Two readers may
 * be told of different attempts of the same map task, and both are right.
 */
final class Expected {
  private long[] numbers = new long[64];
  private int length;
  private long bytes;

  private Expected() {}

  /**
   * Asks Spark's tracker.
   *
   * <p>An output that the tracker has lost throws Spark's own {@code MetadataFetchFailedException}.
   */
  static Expected of(ReadScope scope) {
    Expected expected = new Expected();
    Iterator<Tuple2<BlockManagerId, scala.collection.Seq<Tuple3<BlockId, Object, Object>>>> locations =
        SparkEnv.get()
            .mapOutputTracker()
            .getMapSizesByExecutorId(
                scope.shuffleId(), scope.startMap(), scope.endMap(), scope.startPartition(), scope.endPartition());
    while (locations.hasNext()) {
      Iterator<Tuple3<BlockId, Object, Object>> pieces = locations.next()._2().iterator();
      while (pieces.hasNext()) {
        Tuple3<BlockId, Object, Object> piece = pieces.next();
        ShuffleBlockId block = (ShuffleBlockId) piece._1();
        expected.add(block.reduceId(), (Integer) piece._3(), block.mapId());
        expected.bytes += (Long) piece._2();
      }
    }
    return expected;
  }

  /** How many pieces there are. */
  int count() {
    return length / 2;
  }

  /** About how many bytes they have as stored. */
  long bytes() {
    return bytes;
  }

  /** Two numbers for each piece, as the native reader wants them. */
  long[] numbers() {
    return Arrays.copyOf(numbers, length);
  }

  /** The map indexes of all pieces, each once. */
  int[] mapIndexes() {
    return Arrays.stream(distinctMaps()).map(at -> (int) numbers[at]).toArray();
  }

  /** The attempts that belong to {@link #mapIndexes}. */
  long[] attempts() {
    return Arrays.stream(distinctMaps()).mapToLong(at -> numbers[at + 1]).toArray();
  }

  private int[] distinctMaps() {
    Set<Integer> seen = new HashSet<>();
    return IntStream.range(0, count())
        .map(i -> 2 * i)
        .filter(at -> seen.add((int) numbers[at]))
        .toArray();
  }

  private void add(int partition, int mapIndex, long attempt) {
    if (length + 2 > numbers.length) {
      numbers = Arrays.copyOf(numbers, Math.multiplyExact(numbers.length, 2));
    }
    numbers[length++] = (long) partition << 32 | mapIndex;
    numbers[length++] = attempt;
  }
}
