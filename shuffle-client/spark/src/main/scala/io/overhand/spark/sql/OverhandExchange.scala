package io.overhand.spark.sql

import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.plans.physical.Partitioning
import org.apache.spark.sql.execution.{ShufflePartitionSpec, SparkPlan}
import org.apache.spark.sql.execution.exchange.{ShuffleExchangeExec, ShuffleOrigin}

/**
 * Spark's exchange, but for the RDD that is read from it ([[ShuffledRows]]).
 *
 * In Scala, because javac finds that what Spark's class has from Scala's traits does not fit together. Class files of one
 * Scala serve all lines as those of Java do, as long as nothing here has a function, a collection or a pattern in it.
 */
final class OverhandExchange(
    partitioning: Partitioning,
    input: SparkPlan,
    origin: ShuffleOrigin,
    advisorySize: Option[Long])
    extends ShuffleExchangeExec(partitioning, input, origin, advisorySize) {

  @transient private[this] var sparks: RDD[InternalRow] = _
  @transient private[this] var ours: RDD[InternalRow] = _

  override def doExecute(): RDD[InternalRow] = synchronized {
    val plain = super.doExecute()
    // One RDD for several plans, where Spark has one.
    if (plain ne sparks) {
      sparks = plain
      ours = ShuffledRows.inPlaceOf(plain, this)
    }
    ours
  }

  override def getShuffleRDD(specs: Array[ShufflePartitionSpec]): RDD[InternalRow] =
    ShuffledRows.inPlaceOf(super.getShuffleRDD(specs), this, specs)

  override def withNewChildInternal(newChild: SparkPlan): ShuffleExchangeExec =
    new OverhandExchange(outputPartitioning, newChild, shuffleOrigin, advisoryPartitionSize)

  /** Spark's own: two exchanges that do the same are found to be the same, whichever of them was replaced. */
  override def doCanonicalize(): SparkPlan = {
    val canonical = super.doCanonicalize().asInstanceOf[ShuffleExchangeExec]
    new ShuffleExchangeExec(
      canonical.outputPartitioning, canonical.child, canonical.shuffleOrigin, canonical.advisoryPartitionSize)
  }

  /** Not equal to Spark's: else Spark would take a plan in which it was replaced for one that has not changed. */
  override def equals(other: Any): Boolean = other.isInstanceOf[OverhandExchange] && super.equals(other)

  override def canEqual(other: Any): Boolean = other.isInstanceOf[OverhandExchange]

  override def hashCode(): Int = super.hashCode()
}
