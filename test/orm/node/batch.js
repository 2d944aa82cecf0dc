'use strict';
// fetch_batch, insert_batch and page, as a program calls them that has the
// driver alone. Prints what came back; python/batch.py prints the same.
const { Client } = require('pg');
const { connection } = require('./settings.js');

async function main() {
  const client = new Client(connection);
  await client.connect();
  const query = async (text, values) => (await client.query(text, values)).rows;
  try {
    const books = await query("SELECT * FROM hone.fetch_batch(NULL::book, 'id', $1)", [[7, 3, null, 7, -1]]);
    console.log(books.map((book) => book.title ?? 'none').join(', '));
    const authors = await query("SELECT * FROM hone.fetch_batch(NULL::author, 'name', $1)", [['author 2', 'nobody', 'author 1']]);
    console.log(authors.map((author) => author.id ?? 'none').join(', '));

    const rows = [{ name: 'author 1', country: 'x' }, { name: "O'Hara", country: 'y' }, { name: 'é"\\', country: 'z' }];
    const stored = await query(
      "SELECT n, inserted, key->>'name' AS name FROM hone.insert_batch('author', $1, on_conflict => $2, conflict_columns => $3, returned => '{name}')",
      [JSON.stringify(rows), 'nothing', ['name']],
    );
    console.log(stored.map((row) => `${row.n} ${row.inserted ? row.name : 'there'}`).join(', '));
    const changed = await query(
      "SELECT n, inserted, key->>'country' AS country FROM hone.insert_batch('author', jsonb_build_object('name', $1::text[], 'country', $2::text[]), on_conflict => 'update', conflict_columns => '{name}', returned => '{country}')",
      [["O'Hara", 'it\'s "new"'], ['v', 'w']],
    );
    console.log(changed.map((row) => `${row.n} ${row.inserted ? 'new' : 'changed'} ${row.country}`).join(', '));

    const page = "SELECT rows, next, has_next FROM hone.page('SELECT id, title FROM book WHERE year = $1', 'title DESC', $1, 15, params => $2)";
    const titles = [];
    let cursor = null;
    do {
      const [{ rows: found, next, has_next: more }] = await query(page, [cursor, JSON.stringify([1950])]);
      titles.push(...found.map((book) => book.title));
      cursor = more ? next : null;
    } while (cursor !== null);
    console.log(`${titles.length} ${new Set(titles).size} ${titles[0]} ${titles.at(-1)}`);
  } finally {
    await client.end();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
