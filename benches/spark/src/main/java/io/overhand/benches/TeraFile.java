package io.overhand.benches;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.Serializable;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.CRC32;

/**
 * The files of a TeraSort: whole records after each other, one file for each partition, in one folder of this machine.
 */
final class TeraFile {
  private static final int RECORDS_AT_ONCE = 2048;

  private TeraFile() {}

  /** What is known of a file, or of several that follow each other. No record class: Kryo can't write one. */
  static final class Summary implements Serializable {
    private final long records;
    private final long checksum;
    private final boolean sorted;
    private final byte[] first;
    private final byte[] last;

    Summary(long records, long checksum, boolean sorted, byte[] first, byte[] last) {
      this.records = records;
      this.checksum = checksum;
      this.sorted = sorted;
      this.first = first;
      this.last = last;
    }

    long records() {
      return records;
    }

    /** The sum of the records' CRC-32s. */
    long checksum() {
      return checksum;
    }

    /** Whether the keys ascend. */
    boolean sorted() {
      return sorted;
    }

    /** The summary of this followed by `next`; sorted only if both are and the keys go on. */
    Summary then(Summary next) {
      if (records == 0 || next.records == 0) {
        Summary other = records == 0 ? next : this;
        return new Summary(other.records, other.checksum, sorted && next.sorted, other.first, other.last);
      }
      boolean goesOn = Arrays.compareUnsigned(last, next.first) <= 0;
      return new Summary(
          records + next.records,
          checksum + next.checksum,
          sorted && next.sorted && goesOn,
          first,
          next.last);
    }
  }

  static Path part(String folder, int number) {
    return Path.of(folder, String.format("part-%05d", number));
  }

  static List<String> parts(String folder) throws IOException {
    try (Stream<Path> files = Files.list(Path.of(folder))) {
      return files.map(Path::toString)
          .filter(name -> name.contains("part-"))
          .sorted()
          .toList();
    }
  }

  /** Generates the records of rows from `begin` to `end`. */
  static Summary generate(Path file, long begin, long end) throws IOException {
    CRC32 crc = new CRC32();
    long checksum = 0;
    byte[] chunk = new byte[RECORDS_AT_ONCE * TeraRecord.LENGTH];
    try (OutputStream out = Files.newOutputStream(file)) {
      for (long row = begin; row < end; ) {
        ByteBuffer buffer = ByteBuffer.wrap(chunk);
        for (; row < end && buffer.hasRemaining(); row++) {
          TeraRecord.generate(row, buffer);
        }
        for (int offset = 0; offset < buffer.position(); offset += TeraRecord.LENGTH) {
          checksum += TeraRecord.checksum(chunk, offset, crc);
        }
        out.write(chunk, 0, buffer.position());
      }
    }
    return new Summary(end - begin, checksum, false, null, null);
  }

  /** Writes records in the order in which they come. */
  static long write(Path file, Iterator<byte[]> records) throws IOException {
    byte[] chunk = new byte[RECORDS_AT_ONCE * TeraRecord.LENGTH];
    long count = 0;
    int filled = 0;
    try (OutputStream out = Files.newOutputStream(file)) {
      while (records.hasNext()) {
        if (filled == chunk.length) {
          out.write(chunk);
          filled = 0;
        }
        System.arraycopy(records.next(), 0, chunk, filled, TeraRecord.LENGTH);
        filled += TeraRecord.LENGTH;
        count++;
      }
      out.write(chunk, 0, filled);
    }
    return count;
  }

  /** Reads a file record by record; each is an array of its own. */
  static Iterator<byte[]> read(String file) {
    try {
      return new Reader(Files.newInputStream(Path.of(file)));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Counts, checks and sums up a file. */
  static Summary validate(String file) {
    return summary(read(file));
  }

  /** Counts, checks and sums up records in the order in which they come. */
  static Summary summary(Iterator<byte[]> all) {
    CRC32 crc = new CRC32();
    long records = 0;
    long checksum = 0;
    boolean sorted = true;
    byte[] first = null;
    byte[] last = null;
    for (; all.hasNext(); records++) {
      byte[] record = all.next();
      checksum += TeraRecord.checksum(record, 0, crc);
      sorted &= last == null || Arrays.compareUnsigned(last, 0, TeraRecord.KEY, record, 0, TeraRecord.KEY) <= 0;
      first = first == null ? record : first;
      last = record;
    }
    return new Summary(records, checksum, sorted, key(first), key(last));
  }

  static byte[] key(byte[] record) {
    return record == null ? null : Arrays.copyOf(record, TeraRecord.KEY);
  }

  private static final class Reader implements Iterator<byte[]> {
    private final InputStream in;
    private byte[] chunk = new byte[0];
    private int at;

    Reader(InputStream in) {
      this.in = in;
    }

    @Override
    public boolean hasNext() {
      if (at == chunk.length) {
        try {
          chunk = in.readNBytes(RECORDS_AT_ONCE * TeraRecord.LENGTH);
          at = 0;
          if (chunk.length % TeraRecord.LENGTH != 0) {
            throw new EOFException("the file ends inside a record");
          }
          if (chunk.length == 0) {
            in.close();
          }
        } catch (IOException e) {
          throw new UncheckedIOException(e);
        }
      }
      return at < chunk.length;
    }

    @Override
    public byte[] next() {
      if (!hasNext()) {
        throw new java.util.NoSuchElementException();
      }
      at += TeraRecord.LENGTH;
      return Arrays.copyOfRange(chunk, at - TeraRecord.LENGTH, at);
    }
  }
}
