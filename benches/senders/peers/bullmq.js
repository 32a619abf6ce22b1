// Webhooks by BullMQ: redis has a job on disk (appendfsync always) before the call is answered.
import { Queue, Worker } from 'bullmq';
import { concurrency, deliver, listen } from './webhooks.js';

const connection = { url: process.env.REDIS_URL, maxRetriesPerRequest: null };
const queue = new Queue('deliver', {
    connection,
    defaultJobOptions: { attempts: 8, backoff: { type: 'exponential', delay: 5_000 }, removeOnComplete: 1_000 },
});
new Worker('deliver', (job) => deliver(job.data), { connection, concurrency });
listen((call) => queue.add('deliver', call));
