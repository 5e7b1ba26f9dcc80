package io.overhand.spark.jni;

import java.lang.ref.PhantomReference;
import java.lang.ref.Reference;
import java.lang.ref.ReferenceQueue;
import java.util.HashMap;
import java.util.Map;

/**
 * Readers whose task has ended while another thread may still look at their rows (Spark 3.5 feeds Python from a thread
 * of its own). Their memory is given back once nobody can reach what hands the rows out.
 */
final class Stragglers {
  private final ReferenceQueue<Object> unreachable = new ReferenceQueue<>();
  private final Map<Reference<?>, NativeReader> readers = new HashMap<>();

  /** Closes {@code reader} at some time after {@code user} has become unreachable. */
  synchronized void add(Object user, NativeReader reader) {
    readers.put(new PhantomReference<>(user, unreachable), reader);
  }

  /** Closes the readers whose users are gone. */
  synchronized void closeUnreachable() {
    for (Reference<?> gone = unreachable.poll(); gone != null; gone = unreachable.poll()) {
      readers.remove(gone).close();
    }
  }
}
