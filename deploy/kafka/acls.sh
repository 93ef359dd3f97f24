#!/usr/bin/env bash
# What each of Midwatch's parts may do in Kafka, and nothing else. Run it once, as somebody who may grant rights:
#
#   KAFKA_ACLS="kafka-acls.sh --bootstrap-server broker:9092 --command-config admin.properties" bash acls.sh
#
# Each part has a user of its own, by default the name of its role; ENGINE=User:midwatch names another. `midwatch run`
# also starts the page and the deliveries, as its own user: where it does, say ENGINE, PAGE and DELIVERY with one name,
# or set dashboard.enabled and delivery.enabled to false and run them apart. Who makes the topics (`midwatch topics
# create`) needs Create on them, and is an administrator once.
#
# The split that matters: telemetry and answers are written by different users. A producer that was broken into can say
# wrong things about its own agents; it cannot forge a verdict, silence a pager or approve a rollback.
set -euo pipefail

: "${KAFKA_ACLS:=kafka-acls.sh}"
: "${GROUP:=midwatch}"          # kafka.group_id
: "${PRODUCER:=User:producer}"  # agents, collectors, CI jobs
: "${ENGINE:=User:engine}"      # midwatch run
: "${JUDGE:=User:judge}"        # midwatch evaluate run
: "${PAGE:=User:page}"          # midwatch dashboard
: "${DELIVERY:=User:delivery}"  # midwatch sinks run
: "${ROLLBACK:=User:rollback}"  # midwatch rollback run
: "${OPERATOR:=User:operator}"  # people at the command line
: "${PUBLISH_DEPLOYMENT:=no}"    # yes: the rollback says itself what it rolled back (rollback.publish_deployment)

telemetry=(agent.interactions agent.authorizations agent.circuit-breakers agent.evaluations agent.deployments agent.usage
  otlp_spans otlp_logs)
answers=(midwatch.verdicts midwatch.firings midwatch.dead-letters midwatch.heartbeats midwatch.snapshots midwatch.reports)

# may USER "OPERATIONS" TOPIC...
may() {
  local user=$1 arguments=() each
  for each in $2; do arguments+=(--operation "$each"); done
  for each in "${@:3}"; do arguments+=(--topic "$each"); done
  $KAFKA_ACLS --add --allow-principal "$user" "${arguments[@]}"
}

# joins USER GROUP [prefixed]
joins() {
  $KAFKA_ACLS --add --allow-principal "$1" --operation Read --group "$2" --resource-pattern-type "${3:-literal}"
}

may "$PRODUCER" "Write Describe" "${telemetry[@]}"

may "$ENGINE" "Read Describe DescribeConfigs" "${telemetry[@]}" midwatch.controls midwatch.feedback
may "$ENGINE" "Read Describe DescribeConfigs" midwatch.heartbeats midwatch.snapshots
may "$ENGINE" "Write Describe DescribeConfigs" "${answers[@]}"
may "$ENGINE" "Describe DescribeConfigs" midwatch.actions midwatch.undelivered
joins "$ENGINE" "$GROUP"

may "$JUDGE" "Read Describe" agent.interactions midwatch.verdicts
may "$JUDGE" "Write Describe" agent.evaluations
joins "$JUDGE" "$GROUP-evaluation"

may "$PAGE" "Read Describe" midwatch.verdicts midwatch.firings midwatch.heartbeats midwatch.actions
may "$PAGE" "Read Describe" agent.interactions agent.evaluations
may "$PAGE" "Read Write Describe" midwatch.controls midwatch.feedback

may "$DELIVERY" "Read Describe" midwatch.verdicts
may "$DELIVERY" "Write Describe" midwatch.undelivered
joins "$DELIVERY" "$GROUP-sink-" prefixed

may "$ROLLBACK" "Read Describe" midwatch.verdicts midwatch.controls
may "$ROLLBACK" "Read Write Describe" midwatch.actions
joins "$ROLLBACK" "$GROUP-rollback" prefixed
if [ "$PUBLISH_DEPLOYMENT" = yes ]; then may "$ROLLBACK" "Write Describe" agent.deployments; fi

may "$OPERATOR" "Read Describe" "${telemetry[@]}" "${answers[@]}" midwatch.actions
may "$OPERATOR" "Read Write Describe" midwatch.controls midwatch.feedback
# `midwatch sinks list` reads how far each delivery has come.
$KAFKA_ACLS --add --allow-principal "$OPERATOR" --operation Describe --group "$GROUP-sink-" --resource-pattern-type prefixed
