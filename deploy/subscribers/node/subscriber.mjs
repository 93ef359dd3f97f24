// Read verdicts with kafkajs: node subscriber.mjs BOOTSTRAP [HOW_MANY].
import { Kafka, logLevel } from 'kafkajs';
import { Pager } from './pager.mjs';

const topic = process.env.VERDICTS_TOPIC ?? 'midwatch.verdicts';
const [bootstrap, most] = process.argv.slice(2);
const kafka = new Kafka({ clientId: 'example-kafkajs', brokers: bootstrap.split(','), logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: 'example-kafkajs' });
const pager = new Pager();
let read = 0;

await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
await consumer.run({
  autoCommit: false,
  eachMessage: async ({ partition, message }) => {
    const sent = message.value === null ? null : pager.take(JSON.parse(message.value));
    if (sent) console.log(JSON.stringify(sent));
    await consumer.commitOffsets([{ topic, partition, offset: String(BigInt(message.offset) + 1n) }]);
    read += 1;
    // kafkajs cannot be stopped from inside a message's own handler.
    if (read === Number(most)) setImmediate(() => consumer.disconnect());
  },
});
