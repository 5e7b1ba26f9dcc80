package io.overhand.spark.read;

import io.overhand.spark.KilledTask;
import io.overhand.spark.jni.NativeReader;
import io.overhand.spark.jni.ReadRequest;
import org.apache.spark.TaskContext;
import org.apache.spark.executor.TempShuffleReadMetrics;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class InputTest {
  @Test
  @Timeout(60)
  void aTaskThatIsKilledWhileItWaitsForBlocksEndsWithSparksException() throws Exception {
    try (KilledTask task = new KilledTask()) {
      TaskContext context = task.context();
      ReadRequest request = new ReadRequest(0, 1, 0, 1, new long[] {0, 5});
      NativeReader reader = task.client().reader(task.placement(), request, context::isInterrupted);
      Input input =
          new Input(
              new Losses(7, 0, null, null),
              context,
              new TempShuffleReadMetrics(),
              task.client(),
              reader,
              ReaderMemory.of(context, 0, 0));
      task.dies(input::next);
      input.close(null);
    }
  }
}
