package io.overhand.spark.driver;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

class DriverTest {
  @Test
  void applicationIdsAreWhatTheServersAllow() {
    assertEquals("local-123-1a", Driver.appId("local-123", "-1a"));
    assertEquals("-x-y-z-1a", Driver.appId(".x/y z", "-1a"));
    assertEquals(128, Driver.appId(new String(new char[300]).replace('\0', 'a'), "-1a").length());
  }

  @Test
  void aReportOfLostMapsComesBackFromItsNumbers() {
    LostMaps lost = new LostMaps(7, new int[] {1, 5}, new long[] {1L << 40, 3});
    long[] numbers = lost.encode();
    LostMaps back = LostMaps.decode(numbers);
    assertEquals(7, back.shuffleId());
    assertEquals(2, back.count());
    assertEquals(5, back.mapIndex(1));
    assertEquals(1L << 40, back.attempt(0));
    assertArrayEquals(numbers, back.encode());
    assertThrows(IllegalArgumentException.class, () -> LostMaps.decode(new long[] {1, 2}));
  }

  @Test
  void eachAttemptHasALocationOfItsOwn() {
    assertEquals(MapOutputs.location(1, 2, 3), MapOutputs.location(1, 2, 3));
    assertNotEquals(MapOutputs.location(1, 2, 3), MapOutputs.location(1, 2, 4));
    assertNotEquals(MapOutputs.location(1, 2, 3), MapOutputs.location(1, 3, 3));
  }
}
