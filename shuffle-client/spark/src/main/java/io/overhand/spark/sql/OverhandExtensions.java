package io.overhand.spark.sql;

import org.apache.spark.sql.SparkSessionExtensions;
import org.apache.spark.sql.catalyst.rules.Rule;
import org.apache.spark.sql.execution.ColumnarRule;
import org.apache.spark.sql.execution.SparkPlan;
import scala.runtime.AbstractFunction1;
import scala.runtime.BoxedUnit;

/** Makes SQL's exchanges Overhand's own: what {@code spark.sql.extensions} names. */
public final class OverhandExtensions extends AbstractFunction1<SparkSessionExtensions, BoxedUnit> {
  @Override
  @SuppressWarnings({"unchecked", "rawtypes"})
  public BoxedUnit apply(SparkSessionExtensions extensions) {
    // Raw: the session is of another class in each line of Spark, and not looked at.
    AbstractFunction1 rule =
        new AbstractFunction1<Object, ColumnarRule>() {
          @Override
          public ColumnarRule apply(Object session) {
            return new LastOfAll();
          }
        };
    extensions.injectColumnar(rule);
    return BoxedUnit.UNIT;
  }

  /** This kind of rule comes after those that plan exchanges, and sees each query stage of adaptive execution. */
  private static final class LastOfAll extends ColumnarRule {
    @Override
    public Rule<SparkPlan> postColumnarTransitions() {
      return new OwnExchanges();
    }
  }
}
