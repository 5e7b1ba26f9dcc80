package io.overhand.spark.conf;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;

import org.apache.spark.network.util.JavaUtils;

/** How texts become values. Each throws {@link IllegalArgumentException} with what is wrong. */
final class Values {
  private Values() {}

  static <E extends Enum<E>> E oneOf(Class<E> type, String text) {
    for (E value : type.getEnumConstants()) {
      if (value.name().equals(text.toUpperCase(Locale.ROOT))) {
        return value;
      }
    }
    throw new IllegalArgumentException("there is no such value");
  }

  static long bytes(String text, long least) {
    long bytes = JavaUtils.byteStringAsBytes(text);
    if (bytes < least) {
      throw new IllegalArgumentException("at least " + least + " bytes are needed");
    }
    return bytes;
  }

  static long millis(String text, long least) {
    long millis = JavaUtils.timeStringAsMs(text);
    if (millis < least) {
      throw new IllegalArgumentException("at least " + least + " ms are needed");
    }
    return millis;
  }

  static int between(String text, int least, int most) {
    int value = Integer.parseInt(text);
    if (value < least || value > most) {
      throw new IllegalArgumentException("it must be from " + least + " to " + most);
    }
    return value;
  }

  static boolean trueOrFalse(String text) {
    boolean value = text.equalsIgnoreCase("true");
    if (!value && !text.equalsIgnoreCase("false")) {
      throw new IllegalArgumentException("there is no such value");
    }
    return value;
  }

  static List<String> names(String text) {
    List<String> names = new ArrayList<>();
    for (String part : text.split(",")) {
      String name = part.trim();
      if (!name.isEmpty()) {
        names.add(name);
      }
    }
    return Collections.unmodifiableList(names);
  }

  static List<String> addresses(String text) {
    List<String> addresses = names(text);
    for (String address : addresses) {
      int colon = address.lastIndexOf(':');
      if (colon <= 0) {
        throw new IllegalArgumentException("\"" + address + "\" has no port");
      }
      int port;
      try {
        port = Integer.parseInt(address.substring(colon + 1));
      } catch (NumberFormatException e) {
        throw new IllegalArgumentException("\"" + address + "\" has no port", e);
      }
      if (port < 1 || port > 65535) {
        throw new IllegalArgumentException("\"" + address + "\": ports are from 1 to 65535");
      }
    }
    return addresses;
  }

  /** The one of {@code known} that is most like {@code key}: the fewest letters to add, remove or change. */
  static String nearest(String key, Iterable<String> known) {
    String best = "";
    int least = Integer.MAX_VALUE;
    for (String candidate : known) {
      int distance = distance(key, candidate);
      if (distance < least) {
        least = distance;
        best = candidate;
      }
    }
    return best;
  }

  private static int distance(String a, String b) {
    int[] row = new int[b.length() + 1];
    Arrays.setAll(row, i -> i);
    for (int i = 1; i <= a.length(); i++) {
      int diagonal = row[0];
      row[0] = i;
      for (int j = 1; j <= b.length(); j++) {
        int change = diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
        diagonal = row[j];
        row[j] = Math.min(change, Math.min(row[j], row[j - 1]) + 1);
      }
    }
    return row[b.length()];
  }
}
