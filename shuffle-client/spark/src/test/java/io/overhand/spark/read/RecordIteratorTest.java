package io.overhand.spark.read;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

import io.overhand.spark.jni.OverhandException;
import org.apache.spark.SparkConf;
import org.apache.spark.serializer.JavaSerializer;
import org.apache.spark.serializer.KryoSerializer;
import org.apache.spark.serializer.SerializationStream;
import org.apache.spark.serializer.SerializerInstance;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import scala.Product2;
import scala.reflect.ClassTag$;

class RecordIteratorTest {
  private CollectedBatches batches;

  @AfterEach
  void free() {
    if (batches != null) {
      batches.free();
    }
  }

  private static byte[] stream(SerializerInstance serializer, int first, int count, boolean withCount) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    if (withCount) {
      ByteBuffer number = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(count);
      bytes.write(number.array(), 0, 4);
    }
    SerializationStream out = serializer.serializeStream(bytes);
    for (int i = first; i < first + count; i++) {
      out.writeKey(i % 3 == 0 ? null : (Object) i, ClassTag$.MODULE$.Any());
      out.writeValue("value " + i, ClassTag$.MODULE$.Any());
    }
    out.close();
    return bytes.toByteArray();
  }

  private static List<String> all(RecordIterator records) {
    List<String> read = new ArrayList<>();
    while (records.hasNext()) {
      Product2<Object, Object> record = records.next();
      read.add(record._1() + "=" + record._2());
    }
    return read;
  }

  private static List<String> expected(int count) {
    List<String> records = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      records.add((i % 3 == 0 ? null : (Object) i) + "=value " + i);
    }
    return records;
  }

  @Test
  void readsRecordsThatAreItemsWithOneStreamAcrossBatches() {
    SerializerInstance kryo = new KryoSerializer(new SparkConf(false)).newInstance();
    List<byte[]> items = new ArrayList<>();
    for (int i = 0; i < 3000; i++) {
      items.add(stream(kryo, i, 1, false));
    }
    batches =
        new CollectedBatches(
            Arrays.asList(items.subList(0, 1000), items.subList(1000, 1001), items.subList(1001, 3000)));
    assertEquals(expected(3000), all(new RecordIterator(batches, kryo, true)));
    assertEquals(3000, batches.read());
  }

  @Test
  void readsAStreamOfItsOwnForEachItem() {
    SerializerInstance java = new JavaSerializer(new SparkConf(false)).newInstance();
    batches =
        new CollectedBatches(
            Arrays.asList(
                Arrays.asList(stream(java, 0, 10, true), stream(java, 10, 1, true)),
                Collections.singletonList(stream(java, 11, 500, true))));
    assertEquals(expected(511), all(new RecordIterator(batches, java, false)));
    assertEquals(511, batches.read());
  }

  @Test
  void aRecordThatIsMissingIsAnErrorAndNotAnEnd() {
    SerializerInstance kryo = new KryoSerializer(new SparkConf(false)).newInstance();
    batches = new CollectedBatches(Collections.singletonList(Arrays.asList(stream(kryo, 0, 1, false), new byte[0])));
    assertThrows(OverhandException.class, () -> all(new RecordIterator(batches, kryo, true)));
  }

  @Test
  void aStreamOfFewerRecordsThanItSaysIsAnError() {
    SerializerInstance java = new JavaSerializer(new SparkConf(false)).newInstance();
    byte[] item = stream(java, 0, 10, true);
    item[0] = 11;
    batches = new CollectedBatches(Collections.singletonList(Collections.singletonList(item)));
    assertThrows(OverhandException.class, () -> all(new RecordIterator(batches, java, false)));
  }

  @Test
  void nothingExpectedIsNothingRead() {
    SerializerInstance kryo = new KryoSerializer(new SparkConf(false)).newInstance();
    batches = new CollectedBatches(Collections.emptyList());
    assertFalse(new RecordIterator(batches, kryo, true).hasNext());
  }

  @Test
  void bytesOfItemsFollowEachOtherAcrossBatches() throws IOException {
    batches =
        new CollectedBatches(
            Arrays.asList(
                Arrays.asList(new byte[] {1, 2}, new byte[0], new byte[] {3}),
                Collections.singletonList(new byte[] {4})));
    ItemInputStream in = ItemInputStream.acrossItems(batches);
    byte[] read = new byte[4];
    int count = 0;
    for (int n = in.read(read, 0, 4); n > 0; n = in.read(read, count, 4 - count)) {
      count += n;
      if (count == 4) {
        break;
      }
    }
    assertArrayEquals(new byte[] {1, 2, 3, 4}, read);
    assertEquals(-1, in.read());
  }

  @Test
  void oneItemAtATimeEndsWithEachItem() {
    batches = new CollectedBatches(Collections.singletonList(Arrays.asList(new byte[] {1, 2}, new byte[] {-1})));
    ItemInputStream in = ItemInputStream.itemByItem(batches);
    assertTrue(in.nextItem());
    assertEquals(1, in.read());
    assertEquals(1, in.available());
    assertTrue(in.nextItem());
    assertEquals(255, in.read());
    assertEquals(-1, in.read());
    assertFalse(in.nextItem());
  }
}
