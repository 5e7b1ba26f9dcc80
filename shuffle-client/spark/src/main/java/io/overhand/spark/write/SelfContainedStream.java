package io.overhand.spark.write;

import java.io.ByteArrayOutputStream;

import org.apache.spark.serializer.SerializationStream;
import org.apache.spark.serializer.SerializerInstance;
import org.apache.spark.unsafe.Platform;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;

/**
 * Records of one partition in a serialization stream of their own, for serializers whose records can't stand alone. It
 * becomes one item: how many records there are, then the stream's bytes.
 */
final class SelfContainedStream {
  /** A stream is ended when it has so many bytes. */
  static final int TARGET = 64 << 10;

  private final SerializerInstance serializer;
  private final Buffer buffer = new Buffer();
  private SerializationStream stream;
  private int records;

  SelfContainedStream(SerializerInstance serializer) {
    this.serializer = serializer;
  }

  /** Adds a record. True if the stream should be moved into the arena now. */
  boolean add(Object key, Object value) {
    ClassTag<Object> any = ClassTag$.MODULE$.Any();
    if (stream == null) {
      stream = serializer.serializeStream(buffer);
    }
    stream.writeKey(key, any);
    stream.writeValue(value, any);
    records++;
    return buffer.size() >= TARGET;
  }

  /** Ends the stream and adds it to the arena, if it has any record. */
  void moveTo(Arena arena, int partition) {
    if (records == 0) {
      return;
    }
    stream.close();
    stream = null;
    long at = arena.add(partition, Math.addExact(buffer.size(), Integer.BYTES));
    Platform.putInt(null, at, records);
    buffer.copyTo(at + Integer.BYTES);
    buffer.clear();
    records = 0;
  }

  private static final class Buffer extends ByteArrayOutputStream {
    void copyTo(long address) {
      Platform.copyMemory(buf, Platform.BYTE_ARRAY_OFFSET, null, address, count);
    }

    void clear() {
      reset();
      if (buf.length > 4 * TARGET) {
        buf = new byte[TARGET];
      }
    }
  }
}
