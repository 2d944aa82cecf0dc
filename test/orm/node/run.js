'use strict';
// node run.js ORM SCENARIO: does what ORM.js has under this name ORM_ROUNDS
// times, with the pauses of a client that comes again.
const { setTimeout: sleep } = require('node:timers/promises');

const PAUSE_MS = 200;

async function main([orm, scenario]) {
  const shop = await require(`./${orm}.js`).open(scenario);
  try {
    for (let round = 0; round < Number(process.env.ORM_ROUNDS ?? 3); round++) {
      await shop[scenario]();
      await sleep(PAUSE_MS);
    }
  } finally {
    await shop.close();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
