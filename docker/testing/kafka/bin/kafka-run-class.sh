#!/usr/bin/env bash
# Runs a class of Kafka's jars with the settings that Kafka's own script takes from the environment.
# shellcheck disable=SC2086 # each is a list of arguments
exec java ${KAFKA_HEAP_OPTS:--Xmx256m} ${KAFKA_JVM_PERFORMANCE_OPTS:-} ${KAFKA_JMX_OPTS:-} \
  -Dkafka.logs.dir="${LOG_DIR:-/opt/kafka/logs}" ${KAFKA_LOG4J_OPTS:--Dlog4j.configuration=file:/opt/kafka/config/tools-log4j.properties} \
  -cp "/opt/kafka/libs/*" ${KAFKA_OPTS:-} "$@"
