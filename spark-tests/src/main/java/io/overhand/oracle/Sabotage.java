package io.overhand.oracle;

import java.io.IOException;
import java.io.Serializable;
import java.io.UncheckedIOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.locks.LockSupport;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.shuffle.FetchFailedException;
import org.apache.spark.storage.BlockId;
import org.apache.spark.storage.BlockManagerId;
import scala.Tuple2;
import scala.Tuple3;
import scala.collection.Iterator;

/**
 * What goes wrong in tasks, on purpose. Tasks and driver meet through marker files in one folder, as they all run on
 * one machine; a sabotage that is off (the run on Spark's own shuffle, which says what is right) does nothing.
 */
record Sabotage(String folder, boolean on) implements Serializable {
  /** True for the first that asks for `name`, in whatever process; never if the sabotage is off. */
  boolean once(String name) {
    return on && mark(name);
  }

  /** Leaves a mark; true if there was none. */
  boolean mark(String name) {
    try {
      Files.createFile(Path.of(folder, name));
      return true;
    } catch (FileAlreadyExistsException e) {
      return false;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  boolean marked(String name) {
    return Files.exists(Path.of(folder, name));
  }

  /** Kills the process that asks, as the kernel or a preempted machine would: no hook of it runs. */
  static void killThisProcess() {
    try {
      new ProcessBuilder(
              "kill", "-9", Long.toString(ProcessHandle.current().pid()))
          .start()
          .waitFor();
      Thread.sleep(60_000);
    } catch (IOException | InterruptedException e) {
      throw new IllegalStateException(e);
    }
    throw new IllegalStateException("the process outlived its own SIGKILL");
  }

  /** True in the first attempts of a task, the ones whose rows must never be seen. */
  boolean spoils(int attempts) {
    return on && TaskContext.get().attemptNumber() < attempts;
  }

  /** Waits in a task until `name` is marked; a task that is killed meanwhile ends as such. */
  void awaitMark(String name, long seconds) {
    long end = System.nanoTime() + seconds * 1_000_000_000L;
    while (!marked(name) && System.nanoTime() < end) {
      TaskContext.get().killTaskIfInterrupted();
      LockSupport.parkNanos(20_000_000);
    }
  }

  /** Reports, as a reader would that met no copy of it, that the output of a map task is lost. */
  static RuntimeException loseMapOutput(int shuffle, int map, int partitions) {
    Iterator<Tuple2<BlockManagerId, scala.collection.Seq<Tuple3<BlockId, Object, Object>>>> sizes =
        SparkEnv.get().mapOutputTracker().getMapSizesByExecutorId(shuffle, map, map + 1, 0, partitions);
    BlockManagerId location = sizes.next()._1;
    return Sabotage.<RuntimeException>unchecked(new FetchFailedException(
        location, shuffle, -1L, map, TaskContext.getPartitionId(), "lost on purpose", null));
  }

  @SuppressWarnings("unchecked")
  private static <E extends Throwable> RuntimeException unchecked(Throwable e) throws E {
    throw (E) e;
  }
}
