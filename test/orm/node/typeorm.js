'use strict';
require('reflect-metadata');
const pg = require('pg');
const { DataSource, EntitySchema, MoreThan } = require('typeorm');
const { connection, tagDriver, reviews, LIST, PAGE, DEEP_PAGES, KEYSET_PAGES, SAVES, BULK } = require('./settings.js');

const id = { type: 'int', primary: true, generated: 'identity', generatedIdentity: 'BY DEFAULT' };
const Author = new EntitySchema({
  name: 'author',
  columns: { id, name: { type: 'text' }, country: { type: 'text' } },
  relations: { books: { type: 'one-to-many', target: 'book', inverseSide: 'author', lazy: true } },
});
const Book = new EntitySchema({
  name: 'book',
  columns: { id, title: { type: 'text' }, year: { type: 'int' } },
  relations: {
    author: {
      type: 'many-to-one',
      target: 'author',
      inverseSide: 'books',
      joinColumn: { name: 'author_id' },
      lazy: true,
    },
  },
});
const Review = new EntitySchema({
  name: 'review',
  columns: { id, book_id: { type: 'int' }, rating: { type: 'int' }, note: { type: 'text' } },
});
const Document = new EntitySchema({
  name: 'document',
  columns: { id, title: { type: 'text' }, body: { type: 'text' }, properties: { type: 'jsonb' } },
});

exports.open = async (scenario) => {
  const { host, port, user, database, application_name } = connection;
  tagDriver(pg, scenario);
  const source = new DataSource({
    type: 'postgres',
    host,
    port,
    username: user,
    database,
    applicationName: application_name,
    entities: [Author, Book, Review, Document],
  });
  await source.initialize();
  const [authors, books, saved, documents] = [Author, Book, Review, Document].map((entity) =>
    source.getRepository(entity),
  );
  const list = { order: { id: 'ASC' }, take: LIST };

  return {
    async lazy() {
      for (const author of await authors.find(list)) await author.books;
    },
    // the author by the book's id, in a join with the book
    async upward() {
      for (const book of await books.find(list)) await book.author;
    },
    async eager() {
      await authors.find({ ...list, relations: { books: true } });
      await authors.find({ ...list, relations: { books: true }, relationLoadStrategy: 'query' });
      await books.find({ ...list, relations: { author: true } });
    },
    async pages() {
      for (const page of DEEP_PAGES) {
        await books.findAndCount({ order: { id: 'ASC' }, take: PAGE, skip: page * PAGE });
      }
    },
    async wide() {
      await documents.find();
    },
    async lean() {
      await documents.find({ select: { id: true, title: true } });
      let after = 0;
      for (let page = 0; page < KEYSET_PAGES; page++) {
        const found = await books.find({ where: { id: MoreThan(after) }, order: { id: 'ASC' }, take: PAGE });
        after = found.at(-1).id;
      }
    },
    async saves() {
      for (const review of reviews(SAVES)) await saved.save(review);
    },
    async updates() {
      for (const book of await books.find(list)) {
        book.year += 1;
        await books.save(book);
      }
    },
    async bulk() {
      await saved.save(reviews(BULK));
      await saved.insert(reviews(BULK));
    },
    close: () => source.destroy(),
  };
};
