package io.overhand.spark.write;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;

import org.apache.spark.unsafe.Platform;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ArenaTest {
  private final CollectedChunks chunks = new CollectedChunks();

  @AfterEach
  void free() {
    chunks.free();
  }

  private static byte[] bytes(Random random, int length) {
    byte[] bytes = new byte[length];
    random.nextBytes(bytes);
    return bytes;
  }

  private static void add(Arena arena, int partition, byte[] item) {
    long at = arena.add(partition, item.length);
    Platform.copyMemory(item, Platform.BYTE_ARRAY_OFFSET, null, at, item.length);
  }

  private void assertHolds(Map<Integer, List<byte[]>> expected) {
    assertEquals(expected.keySet(), chunks.items().keySet());
    for (Map.Entry<Integer, List<byte[]>> partition : expected.entrySet()) {
      List<byte[]> items = chunks.items().get(partition.getKey());
      assertEquals(partition.getValue().size(), items.size());
      for (int i = 0; i < items.size(); i++) {
        assertArrayEquals(partition.getValue().get(i), items.get(i));
      }
    }
  }

  @Test
  void keepsEveryRecordWhateverItsLengthAndHoweverItCame() {
    Random random = new Random(1);
    Arena arena = new Arena(chunks, Budget.fixed(1 << 20));
    Map<Integer, List<byte[]>> expected = new TreeMap<>();
    for (int i = 0; i < 5000; i++) {
      int partition = random.nextInt(7);
      byte[] item = bytes(random, random.nextInt(100) == 0 ? random.nextInt(300_000) : random.nextInt(200));
      expected.computeIfAbsent(partition, p -> new ArrayList<>()).add(item);
      if (random.nextBoolean()) {
        add(arena, partition, item);
      } else {
        arena.begin(partition);
        for (int at = 0; at < item.length; ) {
          int piece = Math.min(item.length - at, 1 + random.nextInt(5000));
          if (piece == 1) {
            arena.write(item[at]);
          } else {
            arena.write(item, at, piece);
          }
          at += piece;
        }
        arena.end();
      }
    }
    arena.push();
    assertHolds(expected);
  }

  @Test
  void takesARecordThatIsLargerThanAnyChunk() {
    byte[] large = bytes(new Random(2), 3 * (int) Arena.LARGEST_CHUNK + 17);
    Arena arena = new Arena(chunks, Budget.fixed(1 << 20));
    add(arena, 1, new byte[] {1});
    add(arena, 2, large);
    arena.begin(3);
    arena.write(large, 0, large.length);
    arena.end();
    arena.push();
    assertArrayEquals(large, chunks.items().get(2).get(0));
    assertArrayEquals(large, chunks.items().get(3).get(0));
  }

  @Test
  void startsSmallAndDoesNotGrowOverItsBudget() {
    long limit = 1 << 20;
    Arena arena = new Arena(chunks, Budget.fixed(limit));
    add(arena, 0, new byte[10]);
    assertEquals(Arena.FIRST_CHUNK, arena.openBytes());
    for (int i = 0; i < 100_000; i++) {
      add(arena, i % 3, new byte[100]);
      assertTrue(arena.openBytes() <= Math.max(limit, Arena.LARGEST_CHUNK));
    }
    assertTrue(chunks.pushes() > 0);
  }

  @Test
  void goesOnAfterAPushBetweenRecords() {
    Arena arena = new Arena(chunks, Budget.fixed(1 << 20));
    add(arena, 0, new byte[] {1, 2, 3});
    arena.push();
    assertEquals(0, arena.openBytes());
    add(arena, 0, new byte[0]);
    arena.push();
    assertEquals(2, chunks.items().get(0).size());
  }
}
