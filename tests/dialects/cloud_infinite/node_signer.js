'use strict';
// Reads {secretId, secretKey, port, cases} and writes what the SDK makes of each case, in order:
//   authorization  COS.getAuthorization                    -> the header
//   url, url_sync  getObjectUrl, by callback and by return -> the address
//   sent           a method of the client, sent to 127.0.0.1:port -> null; the server has it
const COS = require('cos-nodejs-sdk-v5');
const { secretId, secretKey, port, cases } = JSON.parse(require('fs').readFileSync(0, 'utf8'));

function client(options) {
  const given = Object.assign({ Protocol: 'http:', Ip: `127.0.0.1:${port}` }, options);
  for (const name of ['Ip', 'Domain', 'Proxy']) {
    if (given[name] === null) delete given[name];
    else if (given[name]) given[name] = given[name].replace('PORT', port);
  }
  const sts = given.Session;
  delete given.Session;
  if (sts) given.getAuthorization = (_, done) => done(sts);
  else Object.assign(given, { SecretId: secretId, SecretKey: secretKey });
  return new COS(given);
}

async function run({ kind, options, call, args }) {
  if (kind === 'authorization') {
    return COS.getAuthorization(Object.assign({ SecretId: secretId, SecretKey: secretKey }, args));
  }
  if (kind === 'url_sync') return client(options).getObjectUrl(args);
  if (kind === 'url') {
    return new Promise((done, failed) =>
      client(options).getObjectUrl(args, (error, data) => (error ? failed(error) : done(data.Url))));
  }
  // What the SDK thinks of the empty answer is no matter here.
  await new Promise((done) => client(options)[call](args, done));
  return null;
}

(async () => {
  const results = [];
  for (const each of cases) results.push(await run(each));
  process.stdout.write(JSON.stringify(results));
})();
