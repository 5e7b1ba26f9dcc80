package io.overhand.spark.write;

import java.io.IOException;

import scala.Product2;
import scala.collection.Iterator;

/** Turns records into the items of an arena. There is one for each kind of record; see {@link Encoders}. */
interface RecordEncoder<K, V> {
  /** Encodes all records and returns how many there were. */
  long encode(Iterator<Product2<K, V>> records) throws IOException;
}
