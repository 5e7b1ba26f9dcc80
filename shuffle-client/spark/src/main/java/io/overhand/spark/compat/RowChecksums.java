package io.overhand.spark.compat;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Array;

import org.apache.spark.ShuffleDependency;
import org.apache.spark.unsafe.Platform;

/**
 * The checksums of rows that Spark 4.1 and later ask for: by them Spark finds out that a map task that ran again has
 * made other rows than before. One that is always zero would make it keep stale results, without a word.
 */
public final class RowChecksums {
  private static final MethodHandle OF_DEPENDENCY;
  private static final MethodHandle UPDATE;
  private static final MethodHandle AGGREGATE;

  static {
    MethodHandle ofDependency = null;
    MethodHandle update = null;
    MethodHandle aggregate = null;
    try {
      ClassLoader loader = ShuffleDependency.class.getClassLoader();
      Class<?> one = Class.forName("org.apache.spark.shuffle.checksum.RowBasedChecksum", false, loader);
      Class<?> many = Array.newInstance(one, 0).getClass();
      MethodHandles.Lookup lookup = MethodHandles.publicLookup();
      ofDependency =
          lookup
              .findVirtual(ShuffleDependency.class, "rowBasedChecksums", MethodType.methodType(many))
              .asType(MethodType.methodType(Object[].class, ShuffleDependency.class));
      update =
          lookup
              .findVirtual(one, "update", MethodType.methodType(void.class, Object.class, Object.class))
              .asType(MethodType.methodType(void.class, Object.class, Object.class, Object.class));
      aggregate =
          lookup
              .findStatic(one, "getAggregatedChecksumValue", MethodType.methodType(long.class, many))
              .asType(MethodType.methodType(long.class, Object[].class));
    } catch (ReflectiveOperationException e) {
      // Spark before 4.1 has none.
      ofDependency = null;
    }
    OF_DEPENDENCY = ofDependency;
    UPDATE = update;
    AGGREGATE = aggregate;
  }

  private final Object[] checksums;

  private RowChecksums(Object[] checksums) {
    this.checksums = checksums;
  }

  /** For records that Spark wants no checksums of. */
  public static RowChecksums none() {
    return new RowChecksums(new Object[0]);
  }

  /** The checksums of one map task; not active where Spark wants none. */
  public static RowChecksums of(ShuffleDependency<?, ?, ?> dependency) {
    if (OF_DEPENDENCY == null) {
      return none();
    }
    try {
      return new RowChecksums((Object[]) OF_DEPENDENCY.invokeExact((ShuffleDependency) dependency));
    } catch (Throwable e) {
      Platform.throwException(e);
      throw new AssertionError(e);
    }
  }

  /** Whether every record must be given to {@link #update}. */
  public boolean active() {
    return checksums.length > 0;
  }

  /** Takes a record of a partition. */
  public void update(int partition, Object key, Object value) {
    try {
      UPDATE.invokeExact(checksums[partition], key, value);
    } catch (Throwable e) {
      Platform.throwException(e);
    }
  }

  /** The checksum of all records, whatever their order was; zero where Spark wants none. */
  public long value() {
    if (!active()) {
      return 0;
    }
    try {
      return (long) AGGREGATE.invokeExact(checksums);
    } catch (Throwable e) {
      Platform.throwException(e);
      throw new AssertionError(e);
    }
  }
}
