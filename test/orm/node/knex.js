'use strict';
const createKnex = require('knex');
const { Model } = require('objection');
const { connection, tagged, reviews, LIST, PAGE, DEEP_PAGES, KEYSET_PAGES, SAVES, BULK } = require('./settings.js');

class Author extends Model {
  static tableName = 'author';
  static get relationMappings() {
    return {
      books: {
        relation: Model.HasManyRelation,
        modelClass: Book,
        join: { from: 'author.id', to: 'book.author_id' },
      },
    };
  }
}

class Book extends Model {
  static tableName = 'book';
  static get relationMappings() {
    return {
      author: {
        relation: Model.BelongsToOneRelation,
        modelClass: Author,
        join: { from: 'book.author_id', to: 'author.id' },
      },
    };
  }
}

class Review extends Model {
  static tableName = 'review';
}

class Document extends Model {
  static tableName = 'document';
}

// As SQLCommenter's package for Knex does it.
function tagStatements(client, scenario) {
  const query = client.query;
  client.query = function (session, statement) {
    if (typeof statement === 'string') return query.call(this, session, tagged(statement, scenario));
    return query.call(this, session, { ...statement, sql: tagged(statement.sql, scenario) });
  };
}

exports.open = async (scenario) => {
  const knex = createKnex({ client: 'pg', connection });
  tagStatements(knex.client, scenario);
  Model.knex(knex);
  const list = (model) => model.query().orderBy(`${model.tableName}.id`).limit(LIST);

  return {
    async lazy() {
      for (const author of await list(Author)) await author.$relatedQuery('books');
    },
    // without the models
    async upward() {
      for (const book of await knex('book').orderBy('id').limit(LIST)) {
        await knex('author').where({ id: book.author_id }).first();
      }
    },
    async eager() {
      await list(Author).withGraphFetched('books');
      await list(Book).withGraphJoined('author');
    },
    async pages() {
      for (const page of DEEP_PAGES) await Book.query().orderBy('id').page(page, PAGE);
    },
    async wide() {
      await Document.query();
    },
    async lean() {
      await Document.query().select('id', 'title');
      let after = 0;
      for (let page = 0; page < KEYSET_PAGES; page++) {
        const books = await Book.query().where('id', '>', after).orderBy('id').limit(PAGE);
        after = books.at(-1).id;
      }
    },
    async saves() {
      for (const review of reviews(SAVES)) await Review.query().insert(review);
    },
    async updates() {
      for (const book of await list(Book)) await book.$query().patch({ year: book.year + 1 });
    },
    async bulk() {
      await Review.query().insert(reviews(BULK));
      await knex.batchInsert('review', reviews(BULK), BULK / 2);
    },
    close: () => knex.destroy(),
  };
};
