package io.overhand.spark.driver;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.AtomicReference;

import io.overhand.spark.conf.OverhandConf;
import io.overhand.spark.jni.Answer;
import io.overhand.spark.jni.ErrorKind;
import org.apache.spark.SecurityManager;
import org.apache.spark.SparkConf;
import org.apache.spark.internal.config.package$;
import org.apache.spark.rpc.RpcEnv;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import scala.Option;

/** An executor's side and the driver's, with Spark's RPC over a connection between them. */
class DriverEndpointTest {
  private final AtomicReference<LostMaps> forgotten = new AtomicReference<>();
  private RpcEnv driverEnv;
  private RpcEnv executorEnv;
  private RemoteDriver remote;

  /** Answers with what it was asked; refuses shuffle 13. */
  private final class Echo implements DriverSide {
    @Override
    public byte[] ask(int shuffleId, byte[] trouble) {
      if (shuffleId == 13) {
        throw new IllegalStateException("not this one");
      }
      return Answer.placement(trouble);
    }

    @Override
    public void forget(LostMaps lost) {
      forgotten.set(lost);
    }
  }

  @BeforeEach
  void start() {
    SparkConf conf = new SparkConf(false).set("spark.rpc.askTimeout", "20s");
    driverEnv = env("driver", conf, false);
    executorEnv = env("executor", conf, true);
    DriverEndpoint.start(driverEnv, new Echo());
    remote = new RemoteDriver(() -> executorEnv.setupEndpointRef(driverEnv.address(), DriverEndpoint.NAME));
  }

  private static RpcEnv env(String name, SparkConf conf, boolean client) {
    SecurityManager security = new SecurityManager(conf, Option.empty(), package$.MODULE$.AUTH_SECRET_FILE());
    return RpcEnv.create(name, "localhost", "localhost", 0, conf, security, 1, client);
  }

  @AfterEach
  void stop() {
    executorEnv.shutdown();
    driverEnv.shutdown();
    driverEnv.awaitTermination();
  }

  private static String text(byte[] answer) {
    return new String(answer, 1, answer.length - 1, StandardCharsets.UTF_8);
  }

  @Test
  void aQuestionReachesTheDriverAndItsAnswerComesBack() {
    assertArrayEquals(new byte[] {0, 5, 6}, remote.ask(7, new byte[] {5, 6}));
    assertArrayEquals(new byte[] {0}, remote.ask(7, new byte[0]));
  }

  @Test
  void aDriverThatFailsOrIsGoneIsAnAnswerToTryAgain() {
    byte[] answer = remote.ask(13, new byte[0]);
    assertEquals(1, answer[0]);
    assertTrue(text(answer).contains("not this one"), text(answer));

    driverEnv.shutdown();
    driverEnv.awaitTermination();
    assertEquals(1, remote.ask(7, new byte[0])[0]);
    remote.forget(new LostMaps(7, new int[] {1}, new long[] {2}));
    assertEquals(3, remote.rpcs());
  }

  @Test
  void lostMapsReachTheDriver() {
    remote.forget(new LostMaps(7, new int[] {1, 2}, new long[] {1L << 40, 3}));
    assertArrayEquals(new long[] {7, 1, 2, 1L << 40, 3}, forgotten.get().encode());
  }

  @Test
  void aDriverThatHasNotRegisteredSaysThatItIsClosed() {
    SparkConf conf = new SparkConf(false).set("spark.overhand.coordinators", "127.0.0.1:1");
    Driver driver = new Driver(conf, new OverhandConf(conf));
    assertArrayEquals(Answer.failure(ErrorKind.CLOSED, "the application has ended"), driver.ask(7, new byte[0]));
  }
}
