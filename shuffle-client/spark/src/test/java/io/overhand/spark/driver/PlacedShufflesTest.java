package io.overhand.spark.driver;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.Set;

import io.overhand.spark.jni.ErrorKind;
import io.overhand.spark.jni.OverhandException;
import org.junit.jupiter.api.Test;

class PlacedShufflesTest {
  private final Set<Integer> spark = new HashSet<>();
  private final PlacedShuffles shuffles = new PlacedShuffles(spark::contains);
  private final Set<Integer> application = new HashSet<>();

  private void place(int shuffleId, int partitions) {
    spark.add(shuffleId);
    application.add(shuffleId);
    shuffles.add(shuffleId, partitions);
  }

  private byte[] ask(int shuffleId) {
    return shuffles.askOrPlaceAgain(
        shuffleId,
        () -> {
          if (!application.contains(shuffleId)) {
            throw new OverhandException(ErrorKind.NOT_FOUND, "not there", null);
          }
          return new byte[] {0};
        },
        partitions -> {
          application.add(shuffleId);
          return new byte[] {1, (byte) partitions};
        });
  }

  private boolean remove(int shuffleId) {
    application.remove(shuffleId);
    return shuffles.remove(shuffleId);
  }

  @Test
  void aShuffleIsRemovedOnce() {
    place(7, 5);
    assertTrue(remove(7));
    assertFalse(remove(7));
    assertFalse(remove(8));
  }

  @Test
  void aRemovedShuffleThatSparkRunsAgainIsPlacedAgain() {
    place(7, 5);
    assertArrayEquals(new byte[] {0}, ask(7));
    assertTrue(remove(7));
    assertArrayEquals(new byte[] {1, 5}, ask(7));
    assertArrayEquals(new byte[] {0}, ask(7));
    assertTrue(remove(7));
  }

  @Test
  void aRemovedShuffleThatSparkHasForgottenStaysRemoved() {
    place(7, 5);
    assertTrue(remove(7));
    spark.remove(7);
    assertEquals(ErrorKind.NOT_FOUND, assertThrows(OverhandException.class, () -> ask(7)).kind());
    assertThrows(OverhandException.class, () -> ask(8), "it was never placed");
  }

  @Test
  void otherFailuresStayWhatTheyAre() {
    place(7, 5);
    OverhandException full = new OverhandException(ErrorKind.BACKPRESSURE, "full", null);
    OverhandException e =
        assertThrows(
            OverhandException.class,
            () ->
                shuffles.askOrPlaceAgain(
                    7,
                    () -> {
                      throw full;
                    },
                    partitions -> new byte[0]));
    assertSame(full, e);
  }

  @Test
  void whatSparkHasForgottenIsForgotten() {
    for (int id = 0; id < 3000; id++) {
      place(id, 1);
      assertTrue(remove(id));
      spark.remove(id);
    }
    spark.add(0);
    assertThrows(OverhandException.class, () -> ask(0), "nobody keeps every shuffle there ever was");
  }
}
