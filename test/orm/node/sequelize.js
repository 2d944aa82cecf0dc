'use strict';
const { DataTypes, Op, Sequelize } = require('sequelize');
const { connection, tagged, reviews, LIST, PAGE, DEEP_PAGES, KEYSET_PAGES, SAVES, BULK } = require('./settings.js');

function defineModels(sequelize) {
  const options = { freezeTableName: true, timestamps: false };
  const Author = sequelize.define('author', { name: DataTypes.TEXT, country: DataTypes.TEXT }, options);
  const Book = sequelize.define('book', { title: DataTypes.TEXT, year: DataTypes.INTEGER }, options);
  const Review = sequelize.define('review', { rating: DataTypes.INTEGER, note: DataTypes.TEXT }, options);
  const Document = sequelize.define(
    'document',
    { title: DataTypes.TEXT, body: DataTypes.TEXT, properties: DataTypes.JSONB },
    options,
  );
  Author.hasMany(Book, { foreignKey: 'author_id' });
  Book.belongsTo(Author, { foreignKey: 'author_id' });
  Book.hasMany(Review, { foreignKey: 'book_id' });
  Review.belongsTo(Book, { foreignKey: 'book_id' });
  return { Author, Book, Review, Document };
}

// As SQLCommenter's package for Sequelize does it.
function tagStatements(sequelize, scenario) {
  const { prototype } = sequelize.dialect.Query;
  const run = prototype.run;
  prototype.run = function (sql, ...rest) {
    return run.call(this, tagged(sql, scenario), ...rest);
  };
}

exports.open = async (scenario) => {
  const { host, port, user, database, application_name } = connection;
  const sequelize = new Sequelize(database, user, '', {
    dialect: 'postgres',
    host,
    port,
    dialectOptions: { application_name },
    logging: false,
  });
  tagStatements(sequelize, scenario);
  const { Author, Book, Review, Document } = defineModels(sequelize);
  const list = { order: ['id'], limit: LIST };

  return {
    async lazy() {
      for (const author of await Author.findAll(list)) await author.getBooks();
    },
    // all at once, over the connections of the pool
    async parallel() {
      const authors = await Author.findAll(list);
      await Promise.all(authors.map((author) => author.getBooks()));
    },
    async upward() {
      for (const book of await Book.findAll(list)) await book.getAuthor();
    },
    async eager() {
      await Author.findAll({ ...list, include: Book });
      await Author.findAll({ ...list, include: { model: Book, separate: true } });
      await Book.findAll({ ...list, include: Author });
    },
    async pages() {
      for (const page of DEEP_PAGES) {
        await Book.findAndCountAll({ order: ['id'], limit: PAGE, offset: page * PAGE });
      }
    },
    async wide() {
      await Document.findAll();
    },
    async lean() {
      await Document.findAll({ attributes: ['id', 'title'] });
      let after = 0;
      for (let page = 0; page < KEYSET_PAGES; page++) {
        const books = await Book.findAll({ where: { id: { [Op.gt]: after } }, order: ['id'], limit: PAGE });
        after = books.at(-1).id;
      }
    },
    async saves() {
      for (const review of reviews(SAVES)) await Review.create(review);
    },
    async updates() {
      for (const book of await Book.findAll(list)) {
        book.year += 1;
        await book.save();
      }
    },
    async bulk() {
      await Review.bulkCreate(reviews(BULK));
    },
    close: () => sequelize.close(),
  };
};
