'use strict';
// What the programs have in common: where the server is, how much they read
// and write, and the tags of their statements.

// The driver takes the rest from PGHOST and the like itself.
exports.connection = {
  host: process.env.PGHOST,
  port: Number(process.env.PGPORT),
  user: process.env.PGUSER,
  database: process.env.PGDATABASE,
  application_name: process.env.PGAPPNAME,
};

exports.LIST = 40; // authors or books of a list
exports.PAGE = 20; // books of a page
exports.DEEP_PAGES = [200, 210, 220]; // numbers from 0
exports.KEYSET_PAGES = 40; // from the first on
exports.SAVES = 40;
exports.BULK = 100;

// Reviews that are not saved yet; book and text are named as in the table.
exports.reviews = (n) =>
  Array.from({ length: n }, (_, i) => ({ book_id: i + 1, rating: i % 6, note: `note ${i}` }));

// sql with SQLCommenter's tags at its end
function tagged(sql, scenario) {
  const tags = { action: scenario, controller: 'shop' };
  const list = Object.entries(tags).map(([key, value]) => `${key}='${encodeURIComponent(value)}'`);
  return `${sql.replace(/;\s*$/, '')} /*${list.join(',')}*/`;
}
exports.tagged = tagged;

// For ORMs without a place of their own to do it: the driver adds the tags.
exports.tagDriver = (pg, scenario) => {
  const query = pg.Client.prototype.query;
  pg.Client.prototype.query = function (config, ...rest) {
    if (typeof config === 'string') return query.call(this, tagged(config, scenario), ...rest);
    if (typeof config.text === 'string') {
      return query.call(this, { ...config, text: tagged(config.text, scenario) }, ...rest);
    }
    return query.call(this, config, ...rest);
  };
};
