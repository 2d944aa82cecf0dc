'use strict';
const pg = require('pg');
const { asc, count, eq, gt, relations } = require('drizzle-orm');
const { drizzle } = require('drizzle-orm/node-postgres');
const { integer, jsonb, pgTable, text } = require('drizzle-orm/pg-core');
const { connection, tagDriver, reviews, LIST, PAGE, DEEP_PAGES, KEYSET_PAGES, SAVES, BULK } = require('./settings.js');

const id = () => integer().primaryKey().generatedByDefaultAsIdentity();
const author = pgTable('author', { id: id(), name: text().notNull(), country: text().notNull() });
const book = pgTable('book', {
  id: id(),
  author_id: integer().notNull(),
  title: text().notNull(),
  year: integer().notNull(),
});
const review = pgTable('review', {
  id: id(),
  book_id: integer().notNull(),
  rating: integer().notNull(),
  note: text().notNull(),
});
const document = pgTable('document', {
  id: id(),
  title: text().notNull(),
  body: text().notNull(),
  properties: jsonb().notNull(),
});
const schema = {
  author,
  book,
  authorRelations: relations(author, ({ many }) => ({ books: many(book) })),
  bookRelations: relations(book, ({ one }) => ({
    author: one(author, { fields: [book.author_id], references: [author.id] }),
  })),
};

exports.open = async (scenario) => {
  tagDriver(pg, scenario);
  const pool = new pg.Pool(connection);
  const db = drizzle(pool, { schema });
  const books = () => db.select().from(book).orderBy(asc(book.id)).limit(LIST);

  return {
    async lazy() {
      for (const one of await db.query.author.findMany({ orderBy: asc(author.id), limit: LIST })) {
        await db.query.book.findMany({ where: eq(book.author_id, one.id) });
      }
    },
    async upward() {
      for (const one of await books()) await db.select().from(author).where(eq(author.id, one.author_id));
    },
    async eager() {
      await db.query.author.findMany({ with: { books: true }, orderBy: asc(author.id), limit: LIST });
      await books().leftJoin(author, eq(author.id, book.author_id));
    },
    async pages() {
      for (const page of DEEP_PAGES) {
        await db.select({ total: count() }).from(book);
        await db.select().from(book).orderBy(asc(book.id)).limit(PAGE).offset(page * PAGE);
      }
    },
    async wide() {
      await db.select().from(document);
    },
    async lean() {
      await db.select({ id: document.id, title: document.title }).from(document);
      let after = 0;
      for (let page = 0; page < KEYSET_PAGES; page++) {
        const found = await db.select().from(book).where(gt(book.id, after)).orderBy(asc(book.id)).limit(PAGE);
        after = found.at(-1).id;
      }
    },
    async saves() {
      for (const one of reviews(SAVES)) await db.insert(review).values(one).returning();
    },
    async updates() {
      for (const one of await books()) {
        await db.update(book).set({ year: one.year + 1 }).where(eq(book.id, one.id));
      }
    },
    async bulk() {
      await db.insert(review).values(reviews(BULK));
    },
    close: () => pool.end(),
  };
};
