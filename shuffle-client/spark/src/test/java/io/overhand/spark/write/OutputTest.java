package io.overhand.spark.write;

import io.overhand.spark.Handles;
import io.overhand.spark.KilledTask;
import org.apache.spark.unsafe.Platform;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class OutputTest {
  @Test
  @Timeout(60)
  void aTaskThatIsKilledWhileItWaitsForItsCommitEndsWithSparksException() throws Exception {
    try (KilledTask task = new KilledTask();
        Output output = new Output(task.client(), Handles.of(task.placement()), task.context(), 5)) {
      long address = output.arena().add(0, 4);
      Platform.putInt(null, address, 77);
      task.dies(output::finish);
    }
  }
}
