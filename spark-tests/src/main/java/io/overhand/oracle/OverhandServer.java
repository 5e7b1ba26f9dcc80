package io.overhand.oracle;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** One {@code overhand standalone} process with a data folder of its own. */
final class OverhandServer implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Path binary;
  private final Path dataDir;
  private final Path log;
  private final List<String> flags;
  private Process process;
  private JsonNode endpoints;

  /** Starts the server on ports of its choice. */
  OverhandServer(Path binary, Path dataDir, Path log, List<String> flags) throws IOException {
    this.binary = binary;
    this.dataDir = dataDir;
    this.log = log;
    this.flags = flags;
    start(List.of("--listen", "127.0.0.1:0"));
  }

  /** What spark.overhand.coordinators takes. */
  String coordinators() {
    return endpoints.get("control").asText();
  }

  /** Flags for another server at the addresses of the last. */
  private List<String> sameAddresses() {
    return List.of(
        "--listen",
        coordinators(),
        "--set",
        "listen.data=" + endpoints.get("data").asText(),
        "--set",
        "listen.admin=" + endpoints.get("admin").asText());
  }

  private void start(List<String> listen) throws IOException {
    List<String> command =
        new ArrayList<>(List.of(binary.toString(), "standalone", "--data-dir", dataDir.toString()));
    command.addAll(listen);
    command.addAll(flags);
    process = new ProcessBuilder(command)
        .redirectError(ProcessBuilder.Redirect.appendTo(log.toFile()))
        .start();
    // One line on stdout says that it is ready; none means that it ended.
    String ready = process.inputReader().readLine();
    if (ready == null) {
      throw new IOException("the server ended before it was ready, see " + log);
    }
    endpoints = JSON.readTree(dataDir.resolve("endpoints.json").toFile());
  }

  /**
   * Ends the process by SIGKILL, forgets everything that it stored and who it was, and starts another at the same
   * addresses. The cluster's secret stays, as it would where it comes from the outside.
   */
  void restartEmpty() throws IOException, InterruptedException {
    process.destroyForcibly().waitFor();
    byte[] secret = Files.readAllBytes(dataDir.resolve("secret"));
    deleteTree(dataDir);
    Files.createDirectories(dataDir);
    Files.createFile(
        dataDir.resolve("secret"),
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    Files.write(dataDir.resolve("secret"), secret);
    start(sameAddresses());
  }

  /** Ends the process by SIGKILL and starts another on the same data and addresses. */
  void restartAfterKill() throws IOException, InterruptedException {
    process.destroyForcibly().waitFor();
    start(sameAddresses());
  }

  /** What {@code overhand status --json} says. */
  JsonNode status() throws IOException, InterruptedException {
    Process status = new ProcessBuilder(binary.toString(), "status", "--coordinator", coordinators(), "--json")
        .redirectError(ProcessBuilder.Redirect.appendTo(log.toFile()))
        .start();
    byte[] out = status.getInputStream().readAllBytes();
    if (status.waitFor() != 0) {
      throw new IOException("overhand status ended with " + status.exitValue() + ", see " + log);
    }
    return JSON.readTree(out);
  }

  /** How many applications the server knows. */
  int applications() throws IOException, InterruptedException {
    return status().get("applications").size();
  }

  /** How many shuffles the server holds. */
  int shuffles() throws IOException, InterruptedException {
    int shuffles = 0;
    for (JsonNode application : status().get("applications")) {
      shuffles += application.get("shuffles").size();
    }
    return shuffles;
  }

  /** The peak of the server's resident memory since it started, in bytes. */
  long peakMemory() throws IOException {
    return Files.readString(Path.of("/proc/" + process.pid() + "/status"))
        .lines()
        .filter(line -> line.startsWith("VmHWM:"))
        .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) << 10)
        .sum();
  }

  /** The segment files on the server's disk. */
  List<Path> segments() throws IOException {
    List<Path> found = new ArrayList<>();
    Files.walkFileTree(dataDir, new SimpleFileVisitor<>() {
      @Override
      public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
        if (file.getFileName().toString().endsWith(".seg")) {
          found.add(file);
        }
        return FileVisitResult.CONTINUE;
      }

      @Override
      public FileVisitResult visitFileFailed(Path file, IOException e) {
        return FileVisitResult.CONTINUE; // deleted while we were looking
      }
    });
    return found;
  }

  @Override
  public void close() {
    process.destroy();
    try {
      if (!process.waitFor(30, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
  }

  private static void deleteTree(Path root) throws IOException {
    try (Stream<Path> paths = Files.walk(root)) {
      for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(path);
      }
    }
  }
}
