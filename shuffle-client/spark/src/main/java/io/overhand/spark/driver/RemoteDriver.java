package io.overhand.spark.driver;

import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;

import io.overhand.spark.jni.Answer;
import io.overhand.spark.jni.ErrorKind;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkEnv;
import org.apache.spark.SparkException;
import org.apache.spark.rpc.RpcEndpointRef;
import org.apache.spark.util.RpcUtils;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;

/** The driver as executors reach it: by Spark's RPC, within {@code spark.rpc.askTimeout}. */
public final class RemoteDriver implements DriverSide {
  private static final Logger LOG = LoggerFactory.getLogger(RemoteDriver.class);

  private final Supplier<RpcEndpointRef> lookUp;
  private final AtomicLong rpcs = new AtomicLong();
  private RpcEndpointRef endpoint;

  /** A driver that is looked up when it is first asked. */
  public RemoteDriver(SparkConf conf) {
    this(() -> RpcUtils.makeDriverRef(DriverEndpoint.NAME, conf, SparkEnv.get().rpcEnv()));
  }

  RemoteDriver(Supplier<RpcEndpointRef> lookUp) {
    this.lookUp = lookUp;
  }

  @Override
  public byte[] ask(int shuffleId, byte[] trouble) {
    try {
      return send(new Question(shuffleId, trouble).encode(), ClassTag$.MODULE$.apply(byte[].class));
    } catch (Exception e) {
      // Spark's are checked ones, which Scala doesn't declare.
      keepInterrupt(e);
      return Answer.failure(ErrorKind.RETRY, "the driver did not answer about shuffle " + shuffleId + ": " + reason(e));
    }
  }

  @Override
  public void forget(LostMaps lost) {
    try {
      send(lost.encode(), ClassTag$.MODULE$.apply(Boolean.class));
    } catch (Exception e) {
      keepInterrupt(e);
      LOG.warn("the driver was not told that {} map outputs of shuffle {} are lost", lost.count(), lost.shuffleId(), e);
    }
  }

  @Override
  public long rpcs() {
    return rpcs.get();
  }

  private <T> T send(Object message, ClassTag<T> answer) {
    rpcs.incrementAndGet();
    return endpoint().askSync(message, answer);
  }

  private synchronized RpcEndpointRef endpoint() {
    if (endpoint == null) {
      endpoint = lookUp.get();
    }
    return endpoint;
  }

  /** Spark's own text says only that waiting ended; why is in the cause. */
  private static Throwable reason(Throwable e) {
    return e instanceof SparkException && e.getCause() != null ? e.getCause() : e;
  }

  private static void keepInterrupt(Exception e) {
    if (e instanceof InterruptedException) {
      Thread.currentThread().interrupt();
    }
  }
}
