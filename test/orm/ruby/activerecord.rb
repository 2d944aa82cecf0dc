# frozen_string_literal: true

# ruby activerecord.rb SCENARIO: runs it ORM_ROUNDS times, with the pauses of a
# client that comes again.
require 'logger'
require 'active_record'

PAUSE_SECONDS = 0.2
LIST = 40 # authors or books of a list
PAGE = 20 # books of a page
DEEP_PAGES = [200, 210, 220].freeze # numbers from 0
KEYSET_PAGES = 40 # from the first on
SAVES = 40
BULK = 100

class Record < ActiveRecord::Base
  self.abstract_class = true
  # what QueryLogs of ActiveRecord 7 adds; this is there in older versions too
  default_scope { annotate("action='#{ARGV[0]}',controller='shop'") }
end

class Author < Record
  self.table_name = 'author'
  has_many :books
end

class Book < Record
  self.table_name = 'book'
  belongs_to :author
end

class Review < Record
  self.table_name = 'review'
  belongs_to :book, optional: false
end

class Document < Record
  self.table_name = 'document'
end

# Columns of reviews that are not saved yet.
def reviews(count)
  Array.new(count) { |i| { book_id: i + 1, rating: i % 6, note: "note #{i}" } }
end

module Shop
  module_function

  def lazy
    Author.order(:id).limit(LIST).each { |author| author.books.to_a }
  end

  def upward
    Book.order(:id).limit(LIST).each { |book| book.author.name }
  end

  def eager
    Author.includes(:books).order(:id).limit(LIST).each { |author| author.books.to_a }
    Book.eager_load(:author).order(:id).limit(LIST).each { |book| book.author.name }
  end

  def pages
    DEEP_PAGES.each { |page| Book.order(:id).limit(PAGE).offset(page * PAGE).to_a }
  end

  def wide
    Document.all.to_a
  end

  def lean
    Document.select(:id, :title).to_a
    after = 0
    KEYSET_PAGES.times { after = Book.where('id > ?', after).order(:id).limit(PAGE).to_a.last.id }
  end

  # each in a transaction of its own, after a look whether its book is there
  def saves
    reviews(SAVES).each { |columns| Review.create!(columns) }
  end

  def updates
    Book.order(:id).limit(LIST).each { |book| book.update!(year: book.year + 1) }
  end

  def bulk
    Review.insert_all!(reviews(BULK))
  end
end

ActiveRecord::Base.establish_connection(
  adapter: 'postgresql', host: ENV['PGHOST'], port: ENV['PGPORT'], username: ENV['PGUSER'],
  database: ENV['PGDATABASE'], variables: { application_name: ENV['PGAPPNAME'] }
)
Integer(ENV.fetch('ORM_ROUNDS', '3')).times do
  Shop.public_send(ARGV[0])
  sleep PAUSE_SECONDS
end
ActiveRecord::Base.connection_pool.disconnect!
