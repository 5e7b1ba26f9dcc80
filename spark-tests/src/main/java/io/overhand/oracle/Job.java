package io.overhand.oracle;

import java.util.EnumSet;
import java.util.Set;

/** A job of the table: what it is called, what may happen in it, and how it runs. */
record Job(String name, Set<Trait> traits, Body body) {
  /** What is special about a job. */
  enum Trait {
    /** Runs with every codec and with encryption, not only with the defaults. */
    CORE,
    /** Takes long, or much memory: runs with the defaults only. */
    LARGE,
    /** Shuffles nothing: all others must. */
    NO_RECORDS,
    /** Reads as many records as AQE's view of the sizes makes it, so that their number may differ. */
    READS_VARY,
    /** Executors die in it. */
    LOSES_EXECUTORS,
    /** Tasks fail in it, or run twice. */
    REPEATS_TASKS,
    /** Map outputs are lost in it: tasks are redone. */
    LOSES_OUTPUTS,
    /** The server goes and another comes: tasks are redone, or the job fails with an error that says so. */
    LOSES_THE_SERVER
  }

  /** The job itself. */
  interface Body {
    Outcome run(Session session) throws Exception;
  }

  static Job job(String name, Body body, Trait... traits) {
    Set<Trait> set = EnumSet.noneOf(Trait.class);
    set.addAll(Set.of(traits));
    return new Job(name, set, body);
  }

  boolean is(Trait trait) {
    return traits.contains(trait);
  }
}
