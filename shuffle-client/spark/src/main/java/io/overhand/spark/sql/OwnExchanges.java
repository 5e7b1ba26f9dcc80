package io.overhand.spark.sql;

import org.apache.spark.sql.catalyst.rules.Rule;
import org.apache.spark.sql.execution.SparkPlan;
import org.apache.spark.sql.execution.exchange.ShuffleExchangeExec;
import scala.Function1;
import scala.runtime.AbstractPartialFunction;

/** Puts {@link OverhandExchange} in the place of Spark's own exchange; those of other extensions stay. */
final class OwnExchanges extends Rule<SparkPlan> {
  @Override
  public SparkPlan apply(SparkPlan plan) {
    return plan.transformUp(new Replacing());
  }

  private static final class Replacing extends AbstractPartialFunction<SparkPlan, SparkPlan> {
    @Override
    public boolean isDefinedAt(SparkPlan plan) {
      return plan.getClass() == ShuffleExchangeExec.class;
    }

    @Override
    @SuppressWarnings("unchecked")
    public <A1 extends SparkPlan, B1> B1 applyOrElse(A1 plan, Function1<A1, B1> otherwise) {
      if (!isDefinedAt(plan)) {
        return otherwise.apply(plan);
      }
      ShuffleExchangeExec exchange = (ShuffleExchangeExec) (SparkPlan) plan;
      return (B1)
          new OverhandExchange(
              exchange.outputPartitioning(),
              exchange.child(),
              exchange.shuffleOrigin(),
              exchange.advisoryPartitionSize());
    }
  }
}
