package io.overhand.chaos;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeoutException;
import org.apache.spark.SparkContext;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerStageSubmitted;
import org.apache.spark.scheduler.SparkListenerTaskEnd;
import org.apache.spark.scheduler.StageInfo;

/** The driver's side of the {@link Gate}: knows from Spark's events where a task is, and lets it wait. */
final class Gatekeeper extends SparkListener implements AutoCloseable {
  private final Phase phase;
  private final PrintStream out;
  private final ServerSocket socket = new ServerSocket(0, 100, InetAddress.getLoopbackAddress());
  private final Map<Integer, StageInfo> stages = new ConcurrentHashMap<>();
  private final Map<Integer, Integer> done = new ConcurrentHashMap<>();
  private final Semaphore orders = new Semaphore(0);
  private final CountDownLatch open = new CountDownLatch(1);
  private boolean stopped;
  private volatile SparkContext context;

  /** Takes orders from standard input from now on. */
  Gatekeeper(Phase phase, PrintStream out) throws IOException {
    this.phase = phase;
    this.out = out;
    daemon("gate", this::accept);
    daemon("orders", this::listen);
  }

  /** Where tasks reach it, host:port. */
  String address() {
    return socket.getInetAddress().getHostAddress() + ":" + socket.getLocalPort();
  }

  /** Follows the events of an application. */
  void follow(SparkContext application) {
    application.addSparkListener(this);
    context = application;
  }

  /** Says where it is and waits for the order to go on. */
  void stop(String where) {
    out.println("phase " + where);
    orders.acquireUninterruptibly();
  }

  @Override
  public void onStageSubmitted(SparkListenerStageSubmitted event) {
    stages.put(event.stageInfo().stageId(), event.stageInfo());
    done.put(event.stageInfo().stageId(), 0);
  }

  @Override
  public void onTaskEnd(SparkListenerTaskEnd event) {
    StageInfo stage = stages.get(event.stageId());
    if (stage != null && event.taskInfo().successful()) {
      int tasks = done.merge(event.stageId(), 1, Integer::sum);
      out.println("progress " + event.stageId() + " " + tasks + " " + stage.numTasks());
    }
  }

  private void listen() {
    try {
      BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
      for (String line = in.readLine(); line != null; line = in.readLine()) {
        orders.release();
      }
    } catch (IOException e) {
      e.printStackTrace();
    } finally {
      // Nobody gives orders any more: the job goes on to its end.
      orders.release(1000);
    }
  }

  private void accept() {
    while (!socket.isClosed()) {
      try {
        Socket task = socket.accept();
        daemon("task at the gate", () -> answer(task));
      } catch (IOException e) {
        if (!socket.isClosed()) {
          throw new UncheckedIOException(e);
        }
      }
    }
  }

  private void answer(Socket connection) {
    try (connection) {
      String line = new BufferedReader(
              new InputStreamReader(connection.getInputStream(), StandardCharsets.US_ASCII))
          .readLine();
      String[] words = line.split(" ");
      // A stage is announced before its tasks start, but by another thread.
      context.listenerBus().waitUntilEmpty(60_000);
      hold(words[0].equals("start"), stages.get(Integer.parseInt(words[1])), Integer.parseInt(words[2]));
    } catch (IOException | TimeoutException | InterruptedException e) {
      e.printStackTrace();
    }
  }

  /** Returns when the task may go on. */
  private void hold(boolean atStart, StageInfo stage, int partition) throws InterruptedException {
    if (stage == null || !stops(atStart, stage, partition)) {
      return;
    }
    if (isFirst()) {
      stop(phase.name().toLowerCase(Locale.ROOT));
      open.countDown();
    } else if (phase == Phase.BETWEEN) {
      open.await();
    }
  }

  private synchronized boolean isFirst() {
    boolean first = !stopped;
    stopped = true;
    return first;
  }

  private boolean stops(boolean atStart, StageInfo stage, int partition) {
    boolean reads = !stage.parentIds().isEmpty();
    return switch (phase) {
      case NONE -> false;
      // Sampling before a sort sees the same rows, in a stage that writes no shuffle.
      case WRITING, FIN -> !atStart && stage.shuffleDepId().isDefined();
      case BETWEEN -> atStart && reads;
      case READING -> atStart && reads && partition >= stage.numTasks() / 3;
    };
  }

  private static void daemon(String name, Runnable work) {
    Thread thread = new Thread(work, name);
    thread.setDaemon(true);
    thread.start();
  }

  @Override
  public void close() throws IOException {
    socket.close();
  }
}
