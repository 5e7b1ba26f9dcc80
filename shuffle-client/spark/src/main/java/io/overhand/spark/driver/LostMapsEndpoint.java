package io.overhand.spark.driver;

import org.apache.spark.MapOutputTracker;
import org.apache.spark.MapOutputTrackerMaster;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkEnv;
import org.apache.spark.rpc.RpcCallContext;
import org.apache.spark.rpc.RpcEndpointRef;
import org.apache.spark.rpc.RpcEnv;
import org.apache.spark.rpc.ThreadSafeRpcEndpoint;
import org.apache.spark.util.RpcUtils;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.PartialFunction;
import scala.reflect.ClassTag$;
import scala.runtime.AbstractPartialFunction;
import scala.runtime.BoxedUnit;

/**
 * Takes reports of lost map outputs on the driver and makes Spark forget them: a {@code FetchFailedException} names
 * only one, and without this each of the others would cost another run of the stage.
 */
public final class LostMapsEndpoint implements ThreadSafeRpcEndpoint {
  private static final Logger LOG = LoggerFactory.getLogger(LostMapsEndpoint.class);
  private static final String NAME = "overhand";

  private final RpcEnv rpcEnv;

  private LostMapsEndpoint(RpcEnv rpcEnv) {
    this.rpcEnv = rpcEnv;
  }

  /** Starts the endpoint of this driver. */
  public static void start(RpcEnv rpcEnv) {
    rpcEnv.setupEndpoint(NAME, new LostMapsEndpoint(rpcEnv));
  }

  /**
   * Makes Spark forget {@code lost}, from the driver or from an executor. What has been replaced by another attempt
   * stays. A driver that can't be reached is only logged: the exception that follows still names one output.
   */
  public static void report(LostMaps lost, SparkConf conf) {
    try {
      MapOutputTracker tracker = SparkEnv.get().mapOutputTracker();
      if (tracker instanceof MapOutputTrackerMaster) {
        forget(lost, (MapOutputTrackerMaster) tracker);
      } else {
        RpcEndpointRef driver = RpcUtils.makeDriverRef(NAME, conf, SparkEnv.get().rpcEnv());
        driver.askSync(lost.encode(), ClassTag$.MODULE$.apply(Boolean.class));
      }
    } catch (RuntimeException e) {
      LOG.warn("the driver was not told that {} map outputs of shuffle {} are lost", lost.count(), lost.shuffleId(), e);
    }
  }

  private static void forget(LostMaps lost, MapOutputTrackerMaster tracker) {
    for (int i = 0; i < lost.count(); i++) {
      int mapIndex = lost.mapIndex(i);
      // Does nothing unless the location is that of this very attempt.
      tracker.unregisterMapOutput(
          lost.shuffleId(), mapIndex, MapOutputs.location(lost.shuffleId(), mapIndex, lost.attempt(i)));
    }
    LOG.warn("{} map outputs of shuffle {} are lost and will be made again", lost.count(), lost.shuffleId());
  }

  @Override
  public RpcEnv rpcEnv() {
    return rpcEnv;
  }

  @Override
  public PartialFunction<Object, BoxedUnit> receiveAndReply(RpcCallContext context) {
    return new AbstractPartialFunction<Object, BoxedUnit>() {
      @Override
      public boolean isDefinedAt(Object message) {
        return message instanceof long[];
      }

      @Override
      public BoxedUnit apply(Object message) {
        try {
          forget(LostMaps.decode((long[]) message), (MapOutputTrackerMaster) SparkEnv.get().mapOutputTracker());
          context.reply(true);
        } catch (RuntimeException e) {
          context.sendFailure(e);
        }
        return BoxedUnit.UNIT;
      }

      @Override
      public <A extends Object, B> B applyOrElse(A message, scala.Function1<A, B> otherwise) {
        @SuppressWarnings("unchecked")
        B done = isDefinedAt(message) ? (B) apply(message) : otherwise.apply(message);
        return done;
      }
    };
  }
}
