// `node bullmq.cjs enqueue TEXTS`, `node bullmq.cjs work INSTANCES`: a job a text, 100 at a time.
const { Queue, Worker } = require("bullmq");
const { Pool } = require("pg");

const connection = { path: process.env.BENCH_SOCKET, db: 1, maxRetriesPerRequest: null };
const url = `${process.env.BENCH_PROVIDER}/2010-04-01/Accounts/AC1/Messages.json`;
const headers = {
  Authorization: "Basic " + Buffer.from("AC1:token").toString("base64"),
  "Content-Type": "application/x-www-form-urlencoded",
};

async function enqueue(count) {
  const queue = new Queue("texts", { connection });
  for (let first = 1; first <= count; first += 1000) {
    const last = Math.min(first + 999, count);
    const jobs = [];
    for (let id = first; id <= last; id++) {
      jobs.push({ name: "send", data: { id }, opts: { removeOnComplete: true } });
    }
    await queue.addBulk(jobs);
  }
  await queue.close();
}

function work(instances) {
  const pool = new Pool({ max: 20 });
  const send = async (job) => {
    const { rows } = await pool.query(
      "UPDATE bench_rival SET state = 'sending', sent_at = clock_timestamp() WHERE id = $1" +
        " RETURNING phone, body",
      [job.data.id],
    );
    const form = new URLSearchParams({
      ValidityPeriod: "3600", To: rows[0].phone, Body: rows[0].body, From: "+12125550100",
    });
    const answer = await fetch(url, { method: "POST", headers, body: form.toString() });
    const { sid } = await answer.json();
    await pool.query(
      "UPDATE bench_rival SET state = 'accepted', provider_id = $2," +
        " changed_at = clock_timestamp() WHERE id = $1",
      [job.data.id, sid],
    );
  };
  for (let i = 0; i < instances; i++) new Worker("texts", send, { connection, concurrency: 100 });
}

const [what, number] = process.argv.slice(2);
if (what === "enqueue") enqueue(Number(number));
else work(Number(number));
