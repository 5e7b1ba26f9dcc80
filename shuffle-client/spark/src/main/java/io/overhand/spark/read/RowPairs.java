package io.overhand.spark.read;

import org.apache.spark.sql.catalyst.InternalRow;
import scala.Product2;
import scala.Tuple2;
import scala.collection.AbstractIterator;
import scala.collection.Iterator;

/** Rows as the values of the pairs that Spark's reader gives. One pair serves for all, as one row does. */
final class RowPairs extends AbstractIterator<Product2<Object, Object>> {
  private final Iterator<InternalRow> rows;
  private Tuple2<Object, Object> pair;

  RowPairs(Iterator<InternalRow> rows) {
    this.rows = rows;
  }

  @Override
  public boolean hasNext() {
    return rows.hasNext();
  }

  @Override
  public Product2<Object, Object> next() {
    InternalRow row = rows.next();
    if (pair == null || pair._2() != row) {
      // The key is not what anybody reads: the partition was needed on the way here.
      pair = new Tuple2<>(0, row);
    }
    return pair;
  }
}
