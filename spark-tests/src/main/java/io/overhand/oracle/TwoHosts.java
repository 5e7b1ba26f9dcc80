package io.overhand.oracle;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.SparkConf;
import org.apache.spark.deploy.master.Master;
import org.apache.spark.deploy.worker.Worker;
import org.apache.spark.rpc.RpcEnv;
import scala.Option;

/**
 * A standalone cluster inside this process whose two workers are on two addresses of this machine. In local-cluster all
 * executors are on one host, and Spark starts no second attempt of a task on the host that has the first.
 */
final class TwoHosts implements AutoCloseable {
  private static final List<String> HOSTS = List.of("127.0.0.1", "127.0.0.2");

  private final List<RpcEnv> parts = new ArrayList<>();
  private final String url;

  TwoHosts(Path scratch) {
    SparkConf conf = new SparkConf(false)
        .set("spark.master.rest.enabled", "false")
        .set("spark.shuffle.service.enabled", "false");
    RpcEnv master = Master.startRpcEnvAndEndpoint(HOSTS.get(0), 0, 0, conf)._1();
    parts.add(master);
    url = "spark://" + master.address().hostPort();
    for (int i = 0; i < HOSTS.size(); i++) {
      parts.add(Worker.startRpcEnvAndEndpoint(
          HOSTS.get(i),
          0,
          0,
          1,
          1024,
          new String[] {url},
          scratch.resolve("work").toString(),
          Option.apply(i),
          conf,
          Option.empty()));
    }
  }

  /** What spark.master takes. */
  String url() {
    return url;
  }

  @Override
  public void close() {
    for (int i = parts.size() - 1; i >= 0; i--) {
      parts.get(i).shutdown();
    }
    parts.forEach(RpcEnv::awaitTermination);
  }
}
