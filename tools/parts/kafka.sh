#!/usr/bin/env bash
# Kafka 3.9: one broker, its own controller (KRaft), from the jars that Apache publishes. Its tools are on the same class
# path: java -cp "$(tools/parts/kafka.sh programs)/*" org.apache.kafka.tools.TopicCommand --bootstrap-server …
. "$(dirname "${BASH_SOURCE[0]}")/server.sh"
jars_sha256=f6fec00b7634b0c7edb2e2cce0debd03341cf24f3949ddfa25ef3d5eca663b57

programs() {
  local place="$programs_cache/kafka-3.9.0"
  if [ ! -f "$place/.complete" ]; then
    want java default-jre-headless
    want mvn maven
    rm -rf "$place"
    mkdir -p "$place"
    mvn --quiet --batch-mode --file "$tools/parts/kafka.pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
      -DoutputDirectory="$place" >&2 || stop "Maven could not fetch Kafka's jars; see above."
    [ "$(cd "$place" && LC_ALL=C sha256sum -- *.jar | sha256sum | cut -c1-64)" = "$jars_sha256" ] || stop "Kafka's jars have another content than expected ($jars_sha256)."
    touch "$place/.complete"
  fi
  printf '%s\n' "$place"
}

settings() { # <folder> <port> <controller's port>
  cat <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$3
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$1/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
END
}

run() {
  local folder="$1" jars port controller
  want java default-jre-headless
  jars="$(programs)"
  read -r port controller < <(ports "$folder" 2)
  settings "$folder" "$port" "$controller" >"$folder/server.properties"
  printf '%s\n' "log4j.rootLogger=INFO, stdout" "log4j.appender.stdout=org.apache.log4j.ConsoleAppender" \
    "log4j.appender.stdout.layout=org.apache.log4j.PatternLayout" "log4j.appender.stdout.layout.ConversionPattern=%d %p %c{1}: %m%n" \
    >"$folder/log4j.properties"
  local java=(java -Xmx512m -cp "$jars/*" -Dlog4j.configuration="file:$folder/log4j.properties")
  if [ ! -f "$folder/data/meta.properties" ]; then
    "${java[@]}" kafka.tools.StorageTool format -t "$(python3 -c 'import base64, uuid; print(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))')" \
      -c "$folder/server.properties" >"$folder/format.log" 2>&1 || { tail -n 5 "$folder/format.log" >&2; stop "Kafka's folder could not be made; the log is $folder/format.log."; }
  fi
  launch "$folder" "${java[@]}" kafka.Kafka "$folder/server.properties"
  ready "$folder" 90 grep "Kafka Server started" "$folder/log"
  echo "export TEST_KAFKA_BROKERS=127.0.0.1:$port"
}

serve "$@"
