/**
 * SQL's exchanges, as lean as a shuffle through Overhand can be.
 *
 * <p>Spark sends each reduce task all of {@code ShuffledRowRDD}: the list of all partitions, which each of 10,000 tasks
 * reads anew, the dependency with its serializer, and 17 metrics, most of them for what a remote shuffle never does, that
 * come back with each result. {@link io.overhand.spark.sql.OverhandExtensions} puts {@link
 * io.overhand.spark.sql.OverhandExchange} in the place of Spark's {@code ShuffleExchangeExec}; its RDD is Spark's own on
 * the driver, and goes to tasks as {@link io.overhand.spark.sql.TaskRows}: where the shuffle is, and four metrics.
 */
package io.overhand.spark.sql;
