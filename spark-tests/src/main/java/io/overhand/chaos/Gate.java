package io.overhand.chaos;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;

/** Where a task asks the {@link Gatekeeper} whether it may go on, and waits until it may. */
final class Gate {
  /** The key of the keeper's address, host:port. */
  static final String ADDRESS = "spark.chaos.gate";
  /** The key of the row at which a task asks; -1 for none. */
  static final String ROW = "spark.chaos.row";

  private Gate() {}

  /** Asks as the task of this thread, which is at a row or (`where` is "start") before its first. */
  static void pass(String where) {
    String[] address = SparkEnv.get().conf().get(ADDRESS).split(":");
    TaskContext task = TaskContext.get();
    try (Socket socket = new Socket(address[0], Integer.parseInt(address[1]))) {
      String line = where + " " + task.stageId() + " " + task.partitionId() + "\n";
      socket.getOutputStream().write(line.getBytes(StandardCharsets.US_ASCII));
      // The keeper closes the connection when the task may go on.
      socket.getInputStream().readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException("the gatekeeper has gone", e);
    }
  }
}
