package io.overhand.spark.write;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.apache.spark.SparkConf;
import org.apache.spark.memory.MemoryConsumer;
import org.apache.spark.memory.MemoryMode;
import org.apache.spark.memory.TaskMemoryManager;
import org.apache.spark.memory.UnifiedMemoryManager;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class SparkBudgetTest {
  private static final long POOL = 8 << 20;

  private final CollectedChunks chunks = new CollectedChunks();
  private final TaskMemoryManager manager =
      new TaskMemoryManager(
          UnifiedMemoryManager.apply(
              new SparkConf(false)
                  .set("spark.testing.memory", "536870912")
                  .set("spark.memory.offHeap.enabled", "true")
                  .set("spark.memory.offHeap.size", POOL + "b"),
              1),
          0);
  private long held;
  private final SparkBudget budget = new SparkBudget(manager, 4 << 20, () -> held, () -> held = 0);
  private final Arena arena = new Arena(chunks, budget);

  SparkBudgetTest() {
    budget.serve(arena);
  }

  @AfterEach
  void nothingIsLeft() {
    budget.close();
    chunks.free();
    assertEquals(0, manager.cleanUpAllAllocatedMemory());
  }

  private void fill(long bytes) {
    for (long filled = 0; filled < bytes; filled += 1000) {
      arena.add(0, 992);
    }
  }

  @Test
  void asksForWhatTheArenaHolds() {
    fill(3 << 20);
    assertTrue(budget.getUsed() >= arena.openBytes(), budget.getUsed() + " < " + arena.openBytes());
    assertTrue(budget.peak() >= 3 << 20);
  }

  @Test
  void givesMemoryBackToAnotherOperator() {
    fill(3 << 20);
    MemoryConsumer other = new Other(manager);
    assertEquals(POOL, other.acquireMemory(POOL));
    assertEquals(0, budget.getUsed());
    assertEquals(0, arena.openBytes());
    assertEquals(1, chunks.pushes());
    other.freeMemory(POOL);
  }

  @Test
  void handsOverEarlyWhenSparkHasNoMemory() {
    MemoryConsumer other = new Other(manager);
    other.acquireMemory(POOL);
    fill(3 << 20);
    assertTrue(chunks.pushes() > 5, "pushes: " + chunks.pushes());
    assertEquals(0, budget.getUsed());
    other.freeMemory(POOL);
  }

  @Test
  void keepsARecordThatHasBegun() {
    arena.begin(3);
    arena.write(new byte[100], 0, 100);
    assertEquals(0, budget.spill(1, new Other(manager)));
    arena.end();
    assertTrue(budget.spill(1, new Other(manager)) > 0);
  }

  private static final class Other extends MemoryConsumer {
    Other(TaskMemoryManager manager) {
      super(manager, 1 << 20, MemoryMode.OFF_HEAP);
    }

    @Override
    public long spill(long size, MemoryConsumer trigger) {
      return 0;
    }
  }
}
