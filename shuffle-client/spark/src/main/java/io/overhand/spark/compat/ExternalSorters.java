package io.overhand.spark.compat;

import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;

import org.apache.spark.Partitioner;
import org.apache.spark.TaskContext;
import org.apache.spark.serializer.Serializer;
import org.apache.spark.unsafe.Platform;
import org.apache.spark.util.collection.ExternalSorter;
import scala.Option;
import scala.math.Ordering;

/** Makes Spark's sorters: 4.1 has added the checksums of rows to the constructor. */
public final class ExternalSorters {
  private static final Constructor<?> CONSTRUCTOR = constructor();

  private ExternalSorters() {}

  /** A sorter by partition or by key, that doesn't aggregate. */
  @SuppressWarnings("unchecked")
  public static <K, V> ExternalSorter<K, V, V> create(
      TaskContext context, Option<Partitioner> partitioner, Option<Ordering<K>> ordering, Serializer serializer) {
    Class<?>[] types = CONSTRUCTOR.getParameterTypes();
    Object[] arguments = new Object[types.length];
    arguments[0] = context;
    arguments[1] = Option.empty();
    arguments[2] = partitioner;
    arguments[3] = ordering;
    arguments[4] = serializer;
    if (types.length == 6) {
      arguments[5] = Array.newInstance(types[5].getComponentType(), 0);
    }
    try {
      return (ExternalSorter<K, V, V>) CONSTRUCTOR.newInstance(arguments);
    } catch (InvocationTargetException e) {
      Platform.throwException(e.getCause());
      throw new AssertionError(e);
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException("this Spark's ExternalSorter can't be made", e);
    }
  }

  private static Constructor<?> constructor() {
    for (Constructor<?> constructor : ExternalSorter.class.getConstructors()) {
      int count = constructor.getParameterCount();
      if (count == 5 || count == 6 && constructor.getParameterTypes()[5].isArray()) {
        return constructor;
      }
    }
    throw new IllegalStateException("this Spark's ExternalSorter has no constructor that is known");
  }
}
