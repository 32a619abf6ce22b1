// Webhooks by graphile-worker: a job is committed in PostgreSQL before the call is answered.
import { Logger, run } from 'graphile-worker';
import { concurrency, deliver, listen } from './webhooks.js';

const runner = await run({
    connectionString: process.env.DATABASE_URL,
    concurrency,
    taskList: { deliver },
    logger: new Logger(() => () => {}),
    preset: {
        worker: {
            maxPoolSize: 20,
            // What its documentation recommends for many jobs.
            localQueue: { size: concurrency + 1 },
            completeJobBatchDelay: 0,
            failJobBatchDelay: 0,
        },
    },
});
listen((call) => runner.addJob('deliver', call, { maxAttempts: 8 }));
