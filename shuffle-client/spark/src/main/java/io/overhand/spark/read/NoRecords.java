package io.overhand.spark.read;

import java.util.NoSuchElementException;

import scala.collection.AbstractIterator;

/** An iterator without an element. */
final class NoRecords<T> extends AbstractIterator<T> {
  @Override
  public boolean hasNext() {
    return false;
  }

  @Override
  public T next() {
    throw new NoSuchElementException();
  }
}
