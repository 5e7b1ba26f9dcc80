package io.overhand.spark.compat;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;

import org.apache.spark.scheduler.MapStatus;
import org.apache.spark.storage.BlockManagerId;
import org.apache.spark.unsafe.Platform;

/** Makes map statuses: Spark 4.1 has added the checksum of the rows. */
public final class MapStatuses {
  private static final boolean WITH_CHECKSUM;
  private static final MethodHandle APPLY;

  static {
    MethodHandles.Lookup lookup = MethodHandles.publicLookup();
    MethodType plain = MethodType.methodType(MapStatus.class, BlockManagerId.class, long[].class, long.class);
    MethodHandle apply;
    boolean withChecksum = true;
    try {
      apply = lookup.findStatic(MapStatus.class, "apply", plain.appendParameterTypes(long.class));
    } catch (ReflectiveOperationException e) {
      withChecksum = false;
      try {
        apply = lookup.findStatic(MapStatus.class, "apply", plain);
      } catch (ReflectiveOperationException gone) {
        throw new ExceptionInInitializerError(gone);
      }
    }
    APPLY = apply;
    WITH_CHECKSUM = withChecksum;
  }

  private MapStatuses() {}

  /** The status of a map task whose output is at {@code location}, with the bytes of each partition. */
  public static MapStatus create(BlockManagerId location, long[] sizes, long mapId, long checksum) {
    try {
      return WITH_CHECKSUM
          ? (MapStatus) APPLY.invokeExact(location, sizes, mapId, checksum)
          : (MapStatus) APPLY.invokeExact(location, sizes, mapId);
    } catch (Throwable e) {
      Platform.throwException(e);
      throw new AssertionError(e);
    }
  }
}
