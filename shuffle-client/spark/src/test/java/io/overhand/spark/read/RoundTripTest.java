package io.overhand.spark.read;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;

import io.overhand.spark.write.EncodedRecords;
import org.apache.spark.SparkConf;
import org.apache.spark.serializer.JavaSerializer;
import org.apache.spark.serializer.KryoSerializer;
import org.apache.spark.serializer.Serializer;
import org.junit.jupiter.api.Test;
import scala.Product2;
import scala.Tuple2;

/** What an encoder has put into an arena comes back from the iterator that reads its items. */
class RoundTripTest {
  private static final int PARTITIONS = 7;

  private static List<Tuple2<Object, Object>> records(int count) {
    Random random = new Random(count);
    List<Tuple2<Object, Object>> records = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      Object key = i % 11 == 0 ? null : "key " + i % 1000;
      Object value = i % 7 == 0 ? null : i % 501 == 0 ? new byte[random.nextInt(200_000)].length : (Object) i;
      records.add(new Tuple2<>(key, value));
    }
    return records;
  }

  private static List<String> sorted(List<String> texts) {
    Collections.sort(texts);
    return texts;
  }

  private static void comesBack(Serializer serializer, int count, int itemsInABatch) throws IOException {
    List<Tuple2<Object, Object>> records = records(count);
    List<String> expected = new ArrayList<>();
    records.forEach(record -> expected.add(record.toString()));

    EncodedRecords encoded = EncodedRecords.of(serializer, PARTITIONS, records);
    assertEquals(count, encoded.count());
    List<String> read = new ArrayList<>();
    for (List<byte[]> items : encoded.partitions()) {
      List<List<byte[]>> cut = new ArrayList<>();
      for (int at = 0; at < items.size(); at += itemsInABatch) {
        cut.add(items.subList(at, Math.min(items.size(), at + itemsInABatch)));
      }
      CollectedBatches batches = new CollectedBatches(cut);
      RecordIterator back =
          new RecordIterator(batches, serializer.newInstance(), serializer.supportsRelocationOfSerializedObjects());
      while (back.hasNext()) {
        Product2<Object, Object> record = back.next();
        read.add(new Tuple2<>(record._1(), record._2()).toString());
      }
      batches.free();
    }
    assertEquals(sorted(expected), sorted(read));
  }

  @Test
  void relocatableRecords() throws IOException {
    comesBack(new KryoSerializer(new SparkConf(false)), 20_000, 1000);
    comesBack(new KryoSerializer(new SparkConf(false)), 20_000, 3);
  }

  @Test
  void recordsThatCannotStandAlone() throws IOException {
    comesBack(new JavaSerializer(new SparkConf(false)), 20_000, 2);
  }

  @Test
  void noRecords() throws IOException {
    comesBack(new KryoSerializer(new SparkConf(false)), 0, 1);
    comesBack(new JavaSerializer(new SparkConf(false)), 0, 1);
  }
}
