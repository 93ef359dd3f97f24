// The job of the throughput benchmark as close to the machine as it goes: librdkafka, simdjson, a hash map.
// Counts by minute and series in memory; keeps nothing. Arguments: bootstrap, topic, group, events.
#include <librdkafka/rdkafka.h>
#include <simdjson.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <unistd.h>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

constexpr size_t kBatch = 5000;
constexpr size_t kMinuteCharacters = 16;

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] void fail(const std::string &why) {
  fprintf(stderr, "%s\n", why.c_str());
  exit(1);
}

rd_kafka_t *consumer_of(const char *bootstrap, const char *topic, const char *group) {
  char error[512];
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  const char *settings[][2] = {{"bootstrap.servers", bootstrap},   {"group.id", group},
                               {"auto.offset.reset", "earliest"},  {"enable.auto.commit", "false"},
                               {"queued.min.messages", "200000"}};
  for (auto &pair : settings)
    if (rd_kafka_conf_set(conf, pair[0], pair[1], error, sizeof error) != RD_KAFKA_CONF_OK) fail(error);
  rd_kafka_t *kafka = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
  if (kafka == nullptr) fail(error);
  rd_kafka_poll_set_consumer(kafka);
  rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
  if (rd_kafka_subscribe(kafka, topics)) fail("cannot subscribe");
  rd_kafka_topic_partition_list_destroy(topics);
  return kafka;
}

// What an event is counted by: its type, environment and system, and the flow or the agent. Throws on a wrong event.
void place_of(simdjson::ondemand::document &event, std::string &place) {
  std::string_view time, environment, system, dimension, type = event["type"].get_string();
  time = event["time"].get_string();
  environment = event["environment"].get_string();
  system = event["system"].get_string();
  if (type == "authorization")
    dimension = event["agent"].get_string();
  else
    dimension = event["flow"].get_string();
  place.assign(time.substr(0, kMinuteCharacters)).append("|").append(type).append("|").append(environment);
  place.append("|").append(system).append("|").append(dimension);
}

}  // namespace

int main(int, char **argv) {
  rd_kafka_t *kafka = consumer_of(argv[1], argv[2], argv[3]);
  const uint64_t wanted = strtoull(argv[4], nullptr, 10);
  rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(kafka);
  std::vector<rd_kafka_message_t *> messages(kBatch);
  std::unordered_map<std::string, uint64_t> counts;
  simdjson::ondemand::parser parser;
  std::string text, place;
  uint64_t read = 0, begin = 0;
  double cpu = 0, wall = 0;
  while (read < wanted) {
    const ssize_t found = rd_kafka_consume_batch_queue(queue, 100, messages.data(), kBatch);
    for (ssize_t at = 0; at < found; at++) {
      rd_kafka_message_t *message = messages[size_t(at)];
      if (message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) fail(rd_kafka_message_errstr(message));
      if (!message->err) {
        text.reserve(message->len + simdjson::SIMDJSON_PADDING);
        text.assign(static_cast<char *>(message->payload), message->len);
        try {
          simdjson::ondemand::document event = parser.iterate(text.data(), text.size(), text.capacity());
          place_of(event, place);
        } catch (const simdjson::simdjson_error &error) {
          fail(error.what());
        }
        counts[place]++;
        read++;
      }
      rd_kafka_message_destroy(message);
    }
    if (read > 0 && begin == 0) {
      begin = read;
      cpu = cpu_seconds();
      wall = wall_seconds();
    }
  }
  const double cpu_taken = cpu_seconds() - cpu, wall_taken = wall_seconds() - wall;
  uint64_t counted = 0;
  for (const auto &pair : counts) counted += pair.second;
  printf("{\"events\":%llu,\"cpu_seconds\":%.9f,\"wall_seconds\":%.9f,\"read\":%llu,\"counted\":%llu}\n",
         (unsigned long long)(read - begin), cpu_taken, wall_taken, (unsigned long long)read,
         (unsigned long long)counted);
  fflush(stdout);
  _exit(0);
}
