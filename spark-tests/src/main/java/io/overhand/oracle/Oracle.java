package io.overhand.oracle;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The differential oracle: a table of jobs is run on Spark's own shuffle, which says what is right, and through
 * Overhand in every {@link Mode}; the rows must be equal. Prints a line for each job and mode, and a closing line with
 * how many passed.
 *
 * <p>Settings come as system properties: {@code oracle.server} (the binary), {@code oracle.scratch} (a folder for
 * everything), {@code oracle.modes} and {@code oracle.jobs} (comma-separated parts of names; empty for all), {@code
 * oracle.label}, {@code oracle.manager} (the shuffle manager that is under test).
 */
public final class Oracle {
  private static final String MANAGER =
      System.getProperty("oracle.manager", "io.overhand.spark.OverhandShuffleManager");
  /** Spark's own shuffle in both places shows that the jobs themselves are repeatable. */
  private static final boolean SELF_CHECK = MANAGER.equals("sort");

  /** What the run on Spark's own shuffle came to. */
  private record Reference(Outcome outcome, TaskCounter.Counts counts) {}

  private final Path scratch = Path.of(System.getProperty("oracle.scratch"));
  private final Map<String, Reference> references = new HashMap<>();
  private int passed;
  private int failed;

  private Oracle() {}

  /** Runs the oracle; the exit status is 0 if everything passed. */
  public static void main(String[] arguments) throws Exception {
    Oracle oracle = new Oracle();
    List<String> failures = oracle.run(chosen());
    failures.forEach(System.out::println);
    System.out.printf(
        "%s: %d passed, %d failed%n",
        System.getProperty("oracle.label", "oracle"), oracle.passed, oracle.failed);
    System.exit(oracle.failed == 0 && oracle.passed > 0 ? 0 : 1);
  }

  private static List<Mode> chosen() {
    List<String> modes = parts("oracle.modes");
    List<String> jobs = parts("oracle.jobs");
    return Mode.all().stream()
        .filter(mode -> modes.isEmpty() || modes.contains(mode.name()))
        .map(mode -> mode.only(mode.jobs().stream()
            .filter(job -> jobs.isEmpty() || jobs.stream().anyMatch(job.name()::contains))
            .toList()))
        .filter(mode -> !mode.jobs().isEmpty())
        .toList();
  }

  private static List<String> parts(String property) {
    return Stream.of(System.getProperty(property, "").split(","))
        .filter(part -> !part.isEmpty())
        .toList();
  }

  private List<String> run(List<Mode> modes) throws Exception {
    List<String> failures = new ArrayList<>();
    try (Session session =
        new Session("reference", Map.of("spark.shuffle.manager", "sort"), scratch, false, Optional.empty())) {
      for (Mode mode : modes) {
        for (Job job : mode.jobs()) {
          if (!references.containsKey(job.name())) {
            refer(session, job, failures);
          }
        }
      }
    }
    for (Mode mode : modes) {
      try {
        run(mode, failures);
      } catch (Exception e) {
        report("(the mode itself)", mode.name(), -1, 0, failure(e), failures);
      }
    }
    return failures;
  }

  private void refer(Session session, Job job, List<String> failures) throws Exception {
    long begun = System.nanoTime();
    session.reset();
    try {
      Outcome outcome = job.body().run(session);
      TaskCounter.Counts counts = session.counts();
      ServiceJobs.expect(counts.recordsWritten() > 0 || job.is(Job.Trait.NO_RECORDS), "the job does not shuffle");
      references.put(job.name(), new Reference(outcome, counts));
      line(job.name(), "spark's own", outcome.rows(), System.nanoTime() - begun, outcome.shape());
    } catch (Exception e) {
      report(job.name(), "spark's own", -1, System.nanoTime() - begun, failure(e), failures);
    }
  }

  private void run(Mode mode, List<String> failures) throws Exception {
    Map<String, String> conf = new HashMap<>(mode.conf());
    conf.put("spark.shuffle.manager", MANAGER);
    if (mode.service() != Mode.Service.RUNNING) {
      // Nothing listens on port 1.
      conf.put("spark.overhand.coordinators", "127.0.0.1:1");
      runJobs(mode, conf, Optional.empty(), failures);
      return;
    }
    if (SELF_CHECK) {
      runJobs(mode, conf, Optional.empty(), failures);
      return;
    }
    Path data = Files.createTempDirectory(scratch, "data-" + mode.name());
    try (OverhandServer server = new OverhandServer(
        Path.of(System.getProperty("oracle.server")),
        data,
        scratch.resolve("server-" + mode.name() + ".log"),
        mode.flags())) {
      conf.put("spark.overhand.coordinators", server.coordinators());
      runJobs(mode, conf, Optional.of(server), failures);
      long begun = System.nanoTime();
      String problem = null;
      try {
        ServiceJobs.await(
            "the ended application is gone from the server, its disk empty",
            30,
            () -> server.applications() == 0 && server.segments().isEmpty());
      } catch (Exception e) {
        problem = failure(e);
      }
      report("server-empty-at-the-end", mode.name(), 0, System.nanoTime() - begun, problem, failures);
    }
  }

  private void runJobs(Mode mode, Map<String, String> conf, Optional<OverhandServer> server, List<String> failures)
      throws Exception {
    try (TwoHosts cluster = mode.twoHosts() ? new TwoHosts(scratch) : null) {
      if (cluster != null) {
        conf.put("spark.master", cluster.url());
      }
      runJobsOnCluster(mode, conf, server, failures);
    }
  }

  private void runJobsOnCluster(
      Mode mode, Map<String, String> conf, Optional<OverhandServer> server, List<String> failures)
      throws Exception {
    try (Warnings warnings = new Warnings();
        Session session =
            new Session(mode.name(), conf, scratch, mode.service() == Mode.Service.RUNNING, server)) {
      for (Job job : mode.jobs()) {
        long begun = System.nanoTime();
        session.reset();
        Outcome outcome = null;
        String problem;
        try {
          outcome = job.body().run(session);
          problem = problem(mode, job, outcome, session.counts());
        } catch (Exception e) {
          problem = failure(e);
        }
        if (mode.service() == Mode.Service.NONE_AND_FAILURE) {
          problem = refusal(problem, System.nanoTime() - begun, conf.get("spark.overhand.coordinators"));
        }
        report(
            job.name(),
            mode.name(),
            outcome == null ? -1 : outcome.rows(),
            System.nanoTime() - begun,
            problem,
            failures);
      }
      if (mode.service() == Mode.Service.NONE_AND_FALLBACK) {
        report(
            "fallback-warns",
            mode.name(),
            0,
            0,
            warnings.count() == 0 ? "there was no warning of the fallback" : null,
            failures);
      }
    }
  }

  /** What is wrong with the outcome of a job, or null. */
  private String problem(Mode mode, Job job, Outcome outcome, TaskCounter.Counts counts) {
    Reference reference = references.get(job.name());
    if (reference == null) {
      return "it failed on Spark's own shuffle";
    }
    List<String> problems = new ArrayList<>();
    Outcome right = reference.outcome();
    if (outcome.rows() != right.rows()) {
      problems.add(String.format("%,d rows instead of %,d", outcome.rows(), right.rows()));
    } else if (outcome.digest() != right.digest()) {
      problems.add("other rows");
    }
    if (!outcome.shape().equals(right.shape())) {
      problems.add("shape '" + outcome.shape() + "' instead of '" + right.shape() + "'");
    }
    if (!job.is(Job.Trait.LOSES_EXECUTORS) && counts.executorsLost() > 0) {
      problems.add(counts.executorsLost() + " executors lost");
    }
    if (!job.is(Job.Trait.LOSES_OUTPUTS) && !job.is(Job.Trait.LOSES_THE_SERVER)) {
      if (counts.fetchFailures() > 0) {
        problems.add(counts.fetchFailures() + " fetch failures");
      }
      if (counts.redone() > 0
          && mode.service() == Mode.Service.RUNNING
          && !SELF_CHECK
          && !mode.name().equals("speculation")) {
        problems.add(counts.redone() + " map tasks redone");
      }
    }
    boolean disturbed = job.is(Job.Trait.LOSES_EXECUTORS)
        || job.is(Job.Trait.LOSES_OUTPUTS)
        || job.is(Job.Trait.REPEATS_TASKS)
        || job.is(Job.Trait.LOSES_THE_SERVER);
    if (job.is(Job.Trait.LOSES_EXECUTORS) && counts.executorsLost() == 0) {
      problems.add("no executor was lost");
    }
    if (job.is(Job.Trait.REPEATS_TASKS) && counts.failed() + counts.speculative() == 0) {
      problems.add("no task was repeated");
    }
    if (job.is(Job.Trait.LOSES_OUTPUTS) && counts.redone() == 0) {
      problems.add("no map task was redone");
    }
    if (!disturbed) {
      problems.addAll(metricProblems(job, counts, reference.counts()));
    }
    return problems.isEmpty() ? null : String.join("; ", problems);
  }

  /** Spark's task metrics must be as true as with its own shuffle: records equal, bytes there and plausible. */
  private static List<String> metricProblems(Job job, TaskCounter.Counts counts, TaskCounter.Counts right) {
    List<String> problems = new ArrayList<>();
    if (counts.recordsWritten() != right.recordsWritten()) {
      problems.add(String.format(
          "%,d records written instead of %,d", counts.recordsWritten(), right.recordsWritten()));
    }
    if (!job.is(Job.Trait.READS_VARY) && counts.recordsRead() != right.recordsRead()) {
      problems.add(String.format("%,d records read instead of %,d", counts.recordsRead(), right.recordsRead()));
    }
    if (!plausible(counts.bytesWritten(), right.bytesWritten())) {
      problems.add(
          String.format("%,d bytes written, Spark's own %,d", counts.bytesWritten(), right.bytesWritten()));
    }
    if (!plausible(counts.bytesRead(), right.bytesRead())) {
      problems.add(String.format("%,d bytes read, Spark's own %,d", counts.bytesRead(), right.bytesRead()));
    }
    if (right.recordsWritten() > 1000 && counts.writeNanos() == 0) {
      problems.add("no write time");
    }
    return problems;
  }

  /** Codecs and small blocks differ: within a factor of 20, and nothing only for nothing. */
  private static boolean plausible(long bytes, long right) {
    return (bytes == 0) == (right == 0) && bytes <= right * 20 + 10_000 && right <= bytes * 20 + 10_000;
  }

  /** Without a server and with fallback = never a job must fail soon, and say whom it could not reach. */
  private static String refusal(String problem, long nanos, String coordinators) {
    if (problem == null) {
      return "it did not fail";
    }
    if (!problem.contains(coordinators)) {
      return "the error does not name the coordinators: " + problem;
    }
    return nanos > 30_000_000_000L ? "it failed only after " + nanos / 1_000_000_000 + " s" : null;
  }

  private void report(String job, String mode, long rows, long nanos, String problem, List<String> failures) {
    if (problem == null) {
      passed++;
    } else {
      failed++;
      failures.add("  failed: " + job + ", " + mode + ": " + problem);
    }
    line(job, mode, rows, nanos, problem == null ? "ok" : "FAILED: " + problem);
  }

  private static void line(String job, String mode, long rows, long nanos, String result) {
    System.out.printf("%-34s %-18s %,12d rows %6.1f s  %s%n", job, mode, rows, nanos / 1e9, result);
  }

  /** The messages of an exception and its causes, in one line. */
  private static String failure(Throwable e) {
    e.printStackTrace();
    StringBuilder text = new StringBuilder();
    for (Throwable cause = e; cause != null; cause = cause.getCause()) {
      String message =
          String.valueOf(cause.getMessage()).lines().limit(3).reduce("", (a, b) -> a + " " + b.trim());
      text.append(text.isEmpty() ? "" : " <- ")
          .append(cause.getClass().getSimpleName())
          .append(':')
          .append(message);
    }
    return text.length() > 600 ? text.substring(0, 600) + "…" : text.toString();
  }

  /** Counts the warnings that Overhand logs in the driver. */
  private static final class Warnings implements AutoCloseable {
    private final java.util.concurrent.atomic.AtomicInteger count = new java.util.concurrent.atomic.AtomicInteger();
    private final org.apache.logging.log4j.core.appender.AbstractAppender appender;

    Warnings() {
      appender = new org.apache.logging.log4j.core.appender.AbstractAppender("warnings", null, null, true, null) {
        @Override
        public void append(org.apache.logging.log4j.core.LogEvent event) {
          if (event.getLoggerName().contains("overhand")
              && event.getLevel().isMoreSpecificThan(org.apache.logging.log4j.Level.WARN)) {
            count.incrementAndGet();
          }
        }
      };
      appender.start();
      root().addAppender(appender);
    }

    int count() {
      return count.get();
    }

    @Override
    public void close() throws IOException {
      root().removeAppender(appender);
    }

    private static org.apache.logging.log4j.core.Logger root() {
      return (org.apache.logging.log4j.core.Logger) org.apache.logging.log4j.LogManager.getRootLogger();
    }
  }
}
