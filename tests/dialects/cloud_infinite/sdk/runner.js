'use strict';
// Calls methods of Tencent's SDK for Node as told on stdin, a JSON document a line, and answers
// the same way, in the order in which calls end. {"$base64": …} is a Buffer in both directions.
//
// {id, client, method, params}: client are the constructor's options; equal options are one
// client, so that what it learned (the clock's offset) stays. Beside the SDK's own:
//   $anonymous: requests go without Authorization.
//   $temporary: what getAuthorization answers.
//   $clock: seconds by which this computer's clock is wrong, as long as the call runs.
// {id, error, data, sent}: sent is how many requests it took.

console.log = console.error;

const readline = require('readline');
const COS = require('cos-nodejs-sdk-v5');

const rightNow = Date.now;
const clients = new Map();

function revive(value) {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== 'object') return value;
  if (typeof value.$base64 === 'string') return Buffer.from(value.$base64, 'base64');
  const object = {};
  for (const key of Object.keys(value)) object[key] = revive(value[key]);
  return object;
}

function plain(value) {
  if (Buffer.isBuffer(value)) return { $base64: value.toString('base64') };
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  const object = {};
  // An Error's message is no enumerable property.
  for (const key of ['code', 'message', ...Object.keys(value)]) {
    if (value[key] !== undefined) object[key] = plain(value[key]);
  }
  return object;
}

function clientOf(options) {
  const name = JSON.stringify(options);
  if (!clients.has(name)) {
    const own = revive(options);
    if (own.$temporary) own.getAuthorization = (_, callback) => callback({ ...own.$temporary });
    const client = new COS(own);
    client.sent = 0;
    client.on('before-send', (request) => {
      client.sent += 1;
      if (own.$anonymous) delete request.headers.Authorization;
    });
    clients.set(name, client);
  }
  return clients.get(name);
}

function answer(call, client, before, error, data) {
  Date.now = rightNow;
  const line = { id: call.id, sent: client ? client.sent - before : 0 };
  line.error = error ? plain(error) : null;
  line.data = plain(data);
  process.stdout.write(JSON.stringify(line) + '\n');
}

function run(call) {
  let client;
  let before = 0;
  try {
    client = clientOf(call.client);
    before = client.sent;
    const params = revive(call.params);
    if (call.method === '$parse') return answer(call, client, before, null, COS.util.xml2json(params.xml));
    if (call.client.$clock) Date.now = () => rightNow() + call.client.$clock * 1000;
    if (params.$stream) {
      // A body whose length is not known.
      params.Body = require('stream').Readable.from([params.$stream]);
      delete params.$stream;
    }
    client[call.method](params, (error, data) => answer(call, client, before, error, data));
  } catch (error) {
    answer(call, client, before, error);
  }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => run(JSON.parse(line)));
