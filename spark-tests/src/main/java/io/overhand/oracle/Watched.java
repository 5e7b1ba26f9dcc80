package io.overhand.oracle;

import java.util.Iterator;

/** An iterator that tells, before it gives a record, how many it gave; and when it ends. */
final class Watched<T> implements Iterator<T> {
  /** Called on the task's thread. */
  interface Observer {
    void before(long given);
  }

  private final Iterator<T> records;
  private final Observer each;
  private final Runnable atEnd;
  private long given;
  private boolean ended;

  private Watched(Iterator<T> records, Observer each, Runnable atEnd) {
    this.records = records;
    this.each = each;
    this.atEnd = atEnd;
  }

  static <T> Iterator<T> each(Iterator<T> records, Observer each) {
    return new Watched<>(records, each, () -> {});
  }

  static <T> Iterator<T> end(Iterator<T> records, Runnable atEnd) {
    return new Watched<>(records, given -> {}, atEnd);
  }

  @Override
  public boolean hasNext() {
    boolean more = records.hasNext();
    if (!more && !ended) {
      ended = true;
      atEnd.run();
    }
    return more;
  }

  @Override
  public T next() {
    each.before(given++);
    return records.next();
  }
}
