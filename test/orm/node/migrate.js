'use strict';
// node migrate.js ORM: makes twelve tables with what the ORM has for it, and
// once more when there is nothing to do.
const createKnex = require('knex');
const { DataTypes, Sequelize } = require('sequelize');
const { connection } = require('./settings.js');

const tables = Array.from({ length: 12 }, (_, i) => `shelf_${i + 1}`);

const migrationSource = {
  getMigrations: async () => tables,
  getMigrationName: (name) => name,
  getMigration: async (name) => ({
    up: (knex) =>
      knex.schema.createTable(name, (table) => {
        table.increments('id');
        table.integer('book_id').notNullable().references('book.id');
        table.text('place').index();
      }),
    down: (knex) => knex.schema.dropTable(name),
  }),
};

async function knex() {
  const db = createKnex({ client: 'pg', connection, migrations: { migrationSource } });
  await db.migrate.latest();
  await db.migrate.latest();
  await db.destroy();
}

async function sequelize() {
  const { host, port, user, database, application_name } = connection;
  const db = new Sequelize(database, user, '', {
    dialect: 'postgres',
    host,
    port,
    dialectOptions: { application_name },
    logging: false,
  });
  for (const name of tables) {
    const columns = { place: DataTypes.TEXT, book_id: { type: DataTypes.INTEGER, references: { model: 'book' } } };
    db.define(name, columns, { freezeTableName: true, indexes: [{ fields: ['place'] }] });
  }
  await db.sync();
  await db.sync({ alter: true });
  await db.close();
}

({ knex, sequelize })[process.argv[2]]().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
