package io.overhand.spark.driver;

import java.util.HashMap;
import java.util.Map;
import java.util.function.IntFunction;
import java.util.function.IntPredicate;
import java.util.function.Supplier;

import io.overhand.spark.jni.ErrorKind;
import io.overhand.spark.jni.OverhandException;

/**
 * Which shuffles are placed, and which were removed but may come again: Spark 4 can delete a query's shuffles at its
 * end, and runs their map tasks again, with the handles of old, when the same plan is read once more.
 */
final class PlacedShuffles {
  /** With so many removed, those that Spark does not know any more are forgotten. */
  private static final int MANY = 1 << 10;

  private final IntPredicate knownToSpark;
  /** Partitions of each. */
  private final Map<Integer, Integer> placed = new HashMap<>();

  private final Map<Integer, Integer> removed = new HashMap<>();

  PlacedShuffles(IntPredicate knownToSpark) {
    this.knownToSpark = knownToSpark;
  }

  /** A shuffle was placed. */
  synchronized void add(int shuffleId, int partitions) {
    placed.put(shuffleId, partitions);
    removed.remove(shuffleId);
  }

  /** A shuffle is removed; false if it is not placed. */
  synchronized boolean remove(int shuffleId) {
    Integer partitions = placed.remove(shuffleId);
    if (partitions == null) {
      return false;
    }
    if (removed.size() >= MANY) {
      removed.keySet().removeIf(id -> !knownToSpark.test(id));
    }
    removed.put(shuffleId, partitions);
    return true;
  }

  /**
   * What {@code ask} answers; if it finds no such shuffle and this one has come again, it is placed again for as many
   * partitions as before.
   */
  byte[] askOrPlaceAgain(int shuffleId, Supplier<byte[]> ask, IntFunction<byte[]> place) {
    try {
      return ask.get();
    } catch (OverhandException e) {
      if (e.kind() != ErrorKind.NOT_FOUND) {
        throw e;
      }
      return placeAgain(shuffleId, ask, place, e);
    }
  }

  private synchronized byte[] placeAgain(
      int shuffleId, Supplier<byte[]> ask, IntFunction<byte[]> place, OverhandException notFound) {
    if (placed.containsKey(shuffleId)) {
      // Another task has asked in the meantime.
      return ask.get();
    }
    Integer partitions = removed.get(shuffleId);
    if (partitions == null || !knownToSpark.test(shuffleId)) {
      throw notFound;
    }
    byte[] placement = place.apply(partitions);
    add(shuffleId, partitions);
    return placement;
  }
}
