package io.overhand.spark.jni;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.ref.WeakReference;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;

import io.overhand.spark.conf.OverhandConf;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.core.LogEvent;
import org.apache.logging.log4j.core.Logger;
import org.apache.logging.log4j.core.appender.AbstractAppender;
import org.apache.logging.log4j.core.config.Property;
import org.apache.spark.SparkConf;
import org.apache.spark.unsafe.Platform;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The native client against workers that are not there, or take connections and never answer. */
@Timeout(120)
class NativeClientTest {
  private static final String NOWHERE = "127.0.0.1:1";
  private static final BooleanSupplier NEVER = () -> false;

  private static NativeClient client(AskDriver driver) {
    SparkConf conf = new SparkConf(false).set("spark.overhand.coordinators", NOWHERE);
    return new NativeClient(new OverhandConf(conf), null, 1, driver);
  }

  private static byte[] notFound(int shuffle, byte[] trouble) {
    return Answer.failure(ErrorKind.NOT_FOUND, "there is no shuffle " + shuffle);
  }

  private static byte[] placement(String address) {
    return PlacementBytes.of(address);
  }

  /** Takes connections, by the system alone, and says nothing. */
  private static ServerSocket silentServer() throws IOException {
    return new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
  }

  private static String address(ServerSocket server) {
    return "127.0.0.1:" + server.getLocalPort();
  }

  /** Writes a record of four bytes, and waits for the commit. */
  private static void write(NativeWriter writer) {
    long[] chunk = new long[2];
    writer.next(0, 0, 64, false, chunk);
    Platform.putLong(null, chunk[0], 4L << 32);
    Platform.putInt(null, chunk[0] + 8, 77);
    writer.finish(12);
  }

  private static ReadRequest onePiece() {
    return new ReadRequest(0, 1, 0, 1, new long[] {0, 5});
  }

  /** Says yes once {@code waited} is over, and keeps the thread that asked. */
  private static final class KilledAfter implements BooleanSupplier {
    private final long killedAt;
    private volatile Thread askedBy;

    KilledAfter(long millis) {
      killedAt = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis);
    }

    @Override
    public boolean getAsBoolean() {
      askedBy = Thread.currentThread();
      return System.nanoTime() - killedAt >= 0;
    }
  }

  private static void endsSoonAfterItIsKilled(KilledAfter killed, Runnable call) {
    OverhandException e = assertThrows(OverhandException.class, call::run);
    long late = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - killed.killedAt);
    assertEquals(ErrorKind.CLOSED, e.kind(), e.getMessage());
    assertTrue(e.getMessage().contains("interrupted"), e.getMessage());
    assertTrue(late < 3000, "it took " + late + " ms");
    assertEquals(Thread.currentThread(), killed.askedBy);
  }

  @Test
  void aWriterThatWaitsForAWorkerEndsWhenItsTaskIsKilled() throws IOException {
    KilledAfter killed = new KilledAfter(1500);
    byte[] placement;
    try (ServerSocket server = silentServer()) {
      placement = placement(address(server));
      AskDriver driver = (shuffle, trouble) -> Answer.placement(placement);
      try (NativeClient client = client(driver);
          NativeWriter writer = client.writer(placement, 0, 5, killed)) {
        endsSoonAfterItIsKilled(killed, () -> write(writer));
      }
    }
  }

  @Test
  void aReaderThatWaitsForAWorkerEndsWhenItsTaskIsKilled() throws IOException {
    KilledAfter killed = new KilledAfter(1500);
    try (ServerSocket server = silentServer();
        NativeClient client = client(NativeClientTest::notFound);
        NativeReader reader = client.reader(placement(address(server)), onePiece(), killed)) {
      endsSoonAfterItIsKilled(killed, reader::next);
    }
  }

  @Test
  void aWriterWhoseWorkerIsGoneAsksTheDriverAndFailsWithItsWord() {
    AtomicInteger shuffle = new AtomicInteger();
    AtomicInteger kind = new AtomicInteger();
    AskDriver driver =
        (asked, trouble) -> {
          shuffle.set(asked);
          kind.set(trouble[0]);
          return notFound(asked, trouble);
        };
    try (NativeClient client = client(driver);
        NativeWriter writer = client.writer(placement(NOWHERE), 0, 5, NEVER)) {
      OverhandException e = assertThrows(OverhandException.class, () -> write(writer));
      assertTrue(e.getMessage().contains("there is no shuffle 7"), e.getMessage());
      assertEquals(7, shuffle.get());
      assertEquals(2, kind.get(), "a broken chain");
    }
  }

  @Test
  void whatTheDriversCallThrowsBecomesAFailureWithItsText() {
    AskDriver driver =
        (shuffle, trouble) -> {
          throw new IllegalStateException("no way to the driver");
        };
    try (NativeClient client = client(driver);
        NativeWriter writer = client.writer(placement(NOWHERE), 0, 5, NEVER)) {
      OverhandException e = assertThrows(OverhandException.class, () -> write(writer));
      assertEquals(ErrorKind.RETRY, e.kind());
      assertTrue(e.getMessage().contains("java.lang.IllegalStateException: no way to the driver"), e.getMessage());
    }
  }

  @Test
  void anAnswerThatIsNoneIsAFailure() {
    for (byte[] answer : new byte[][] {null, {}, {0, 1, 2}}) {
      try (NativeClient client = client((shuffle, trouble) -> answer);
          NativeWriter writer = client.writer(placement(NOWHERE), 0, 5, NEVER)) {
        assertThrows(OverhandException.class, () -> write(writer));
      }
    }
  }

  @Test
  void nothingIsKeptOfCallbacks() throws InterruptedException {
    AtomicInteger asked = new AtomicInteger();
    byte[] large = new byte[1 << 20];
    AskDriver driver =
        (shuffle, trouble) -> {
          asked.incrementAndGet();
          large[0] = (byte) ErrorKind.NOT_FOUND.code();
          return large.clone();
        };
    WeakReference<AskDriver> ofDriver = new WeakReference<>(driver);
    WeakReference<BooleanSupplier> ofTask = null;
    NativeClient client = client(driver);
    int threads = Thread.activeCount();
    // More than the heap holds, if the answers were kept; more than a thread's frame, if the references were.
    for (int i = 0; i < 300; i++) {
      AtomicBoolean interrupted = new AtomicBoolean();
      BooleanSupplier task = interrupted::get;
      ofTask = new WeakReference<>(task);
      try (NativeWriter writer = client.writer(placement(NOWHERE), 0, 5, task)) {
        assertThrows(OverhandException.class, () -> write(writer));
      }
    }
    assertTrue(asked.get() >= 300, asked + " questions");
    assertTrue(Thread.activeCount() <= threads + 2, Thread.activeCount() + " threads, before " + threads);
    client.close();
    driver = null;
    assertNotNull(ofTask);
    assertGone(ofTask);
    assertGone(ofDriver);
  }

  @Test
  void whatWasAskedIsCountedAndKnownAfterTheEnd() {
    NativeClient client = client(NativeClientTest::notFound);
    assertEquals(0, client.counters().get("driver_calls"));
    try (NativeWriter writer = client.writer(placement(NOWHERE), 0, 5, NEVER)) {
      assertThrows(OverhandException.class, () -> write(writer));
    }
    client.close();
    assertEquals(1, client.counters().get("driver_calls"));
    assertEquals(1, client.counters().get("shard_outputs"));
    assertEquals(0, client.counters().get("frames"));
    assertThrows(IllegalArgumentException.class, () -> client.counters().get("nothing"));
  }

  private static void assertGone(WeakReference<?> object) throws InterruptedException {
    for (int i = 0; i < 100 && object.get() != null; i++) {
      System.gc();
      Thread.sleep(50);
    }
    assertNull(object.get());
  }

  @Test
  void warningsOfTheNativeCodeReachTheLog() throws InterruptedException {
    BlockingQueue<String> lines = new LinkedBlockingQueue<>();
    AbstractAppender appender =
        new AbstractAppender("collected", null, null, false, Property.EMPTY_ARRAY) {
          @Override
          public void append(LogEvent event) {
            lines.add(event.getLevel() + " " + event.getMessage().getFormattedMessage());
          }
        };
    appender.start();
    Logger logger = (Logger) LogManager.getLogger("io.overhand.native.overhand_client.client.tokens");
    logger.addAppender(appender);
    long soon = System.currentTimeMillis() / 1000 + 3;
    try (NativeClient client = client(NativeClientTest::notFound);
        NativeWriter writer = client.writer(PlacementBytes.of(NOWHERE, NOWHERE, soon), 0, 5, NEVER)) {
      assertEquals(0, writer.heldBytes());
      String line = lines.poll(30, TimeUnit.SECONDS);
      assertNotNull(line);
      assertTrue(line.startsWith("WARN a token was not renewed app=app-1 error="), line);
    } finally {
      logger.removeAppender(appender);
    }
  }
}
