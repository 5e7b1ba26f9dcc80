package io.overhand.spark.driver;

import java.util.Arrays;

/**
 * Map outputs that a reader has found lost. It travels as numbers: Spark's RPC may not find our classes on a driver
 * whose jars were added late.
 */
public final class LostMaps {
  private static final int HEAD = 1;

  private final int shuffleId;
  private final int[] mapIndexes;
  private final long[] attempts;

  /** The lost outputs of a shuffle; the arrays belong together, element by element. */
  public LostMaps(int shuffleId, int[] mapIndexes, long[] attempts) {
    if (mapIndexes.length != attempts.length) {
      throw new IllegalArgumentException(mapIndexes.length + " map indexes, " + attempts.length + " attempts");
    }
    this.shuffleId = shuffleId;
    this.mapIndexes = mapIndexes.clone();
    this.attempts = attempts.clone();
  }

  /** Reads the numbers of {@link #encode}. */
  public static LostMaps decode(long[] numbers) {
    int count = (numbers.length - HEAD) / 2;
    if (numbers.length != HEAD + 2 * count) {
      throw new IllegalArgumentException("a report of lost maps has " + numbers.length + " numbers");
    }
    int[] mapIndexes = new int[count];
    for (int i = 0; i < count; i++) {
      mapIndexes[i] = (int) numbers[HEAD + i];
    }
    return new LostMaps((int) numbers[0], mapIndexes, Arrays.copyOfRange(numbers, HEAD + count, numbers.length));
  }

  /** The shuffle, then the map indexes, then the attempts. */
  public long[] encode() {
    int count = mapIndexes.length;
    long[] numbers = new long[HEAD + 2 * count];
    numbers[0] = shuffleId;
    for (int i = 0; i < count; i++) {
      numbers[HEAD + i] = mapIndexes[i];
      numbers[HEAD + count + i] = attempts[i];
    }
    return numbers;
  }

  /** The shuffle. */
  public int shuffleId() {
    return shuffleId;
  }

  /** How many outputs are lost. */
  public int count() {
    return mapIndexes.length;
  }

  /** The map index of the i-th. */
  public int mapIndex(int i) {
    return mapIndexes[i];
  }

  /** The attempt of the i-th. */
  public long attempt(int i) {
    return attempts[i];
  }
}
