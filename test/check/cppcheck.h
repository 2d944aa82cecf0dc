/*
 * Stand-ins for PostgreSQL's macros, read by cppcheck in front of every file:
 * it sees no header of PostgreSQL's, and gives up on a file with a macro that
 * it cannot parse.
 */
#define DEBUG1 14
#define LOG 15
#define NOTICE 18
#define WARNING 19
#define ERROR 21
#define FATAL 22
#define PANIC 23

void		ended_by_error(void) __attribute__((noreturn));
int			no_error_yet(void);

#define ereport(level, ...) do { __VA_ARGS__; if ((level) >= ERROR) ended_by_error(); } while (0)
#define elog(level, ...) do { if ((level) >= ERROR) ended_by_error(); } while (0)
#define Assert(condition) do { if (!(condition)) ended_by_error(); } while (0)
#define pg_unreachable() ended_by_error()

#define PG_TRY() do { if (no_error_yet()) {
#define PG_CATCH() } else {
#define PG_FINALLY() } {
#define PG_END_TRY() } } while (0)
#define PG_RE_THROW() ended_by_error()

#define PG_RETURN_VOID() return (Datum) 0
#define PG_RETURN_NULL() do { fcinfo->isnull = true; return (Datum) 0; } while (0)
#define PG_RETURN_DATUM(x) return (x)
#define PG_RETURN_INT32(x) return (Datum) (x)
#define PG_RETURN_INT64(x) return (Datum) (x)
#define PG_RETURN_TIMESTAMPTZ(x) return (Datum) (x)
#define PG_RETURN_FLOAT8(x) return Float8GetDatum(x)
#define PG_RETURN_POINTER(x) return PointerGetDatum(x)
#define PG_RETURN_TEXT_P(x) return PointerGetDatum(x)
#define PG_RETURN_ARRAYTYPE_P(x) return PointerGetDatum(x)

#define foreach(cell, list) for (cell = list_head(list); cell != NULL; cell = lnext(list, cell))
#define dlist_foreach(iter, list) for (iter = dlist_begin(list); iter.cur != NULL; iter = dlist_after(iter))
#define CppAsString2(x) #x
#define INT64_FORMAT "%ld"
#define UINT64_FORMAT "%lu"
