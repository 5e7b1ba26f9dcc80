package io.overhand.spark.driver;

import java.util.function.Supplier;

import org.apache.spark.rpc.RpcCallContext;
import org.apache.spark.rpc.RpcEnv;
import org.apache.spark.rpc.ThreadSafeRpcEndpoint;
import scala.PartialFunction;
import scala.runtime.AbstractPartialFunction;
import scala.runtime.BoxedUnit;

/**
 * The driver's side as executors reach it by Spark's RPC: lost map outputs ({@code long[]}) and questions about a
 * placement ({@code byte[]}). Both are answered at once, on Spark's own thread. No class of ours travels: Spark may not
 * find it on a driver whose jars were added late.
 */
final class DriverEndpoint implements ThreadSafeRpcEndpoint {
  /** Under which executors find it. */
  static final String NAME = "overhand";

  private final RpcEnv rpcEnv;
  private final DriverSide driver;

  private DriverEndpoint(RpcEnv rpcEnv, DriverSide driver) {
    this.rpcEnv = rpcEnv;
    this.driver = driver;
  }

  /** Starts the endpoint of {@code driver}. */
  static void start(RpcEnv rpcEnv, DriverSide driver) {
    rpcEnv.setupEndpoint(NAME, new DriverEndpoint(rpcEnv, driver));
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
        return message instanceof long[] || message instanceof byte[];
      }

      @Override
      public BoxedUnit apply(Object message) {
        if (message instanceof long[]) {
          reply(
              context,
              () -> {
                driver.forget(LostMaps.decode((long[]) message));
                return true;
              });
        } else {
          reply(
              context,
              () -> {
                Question question = Question.decode((byte[]) message);
                return driver.ask(question.shuffleId(), question.trouble());
              });
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

  private static void reply(RpcCallContext context, Supplier<Object> answer) {
    try {
      context.reply(answer.get());
    } catch (RuntimeException e) {
      context.sendFailure(e);
    }
  }
}
