
-- Moving to another tablespace (src/tiered/tablespace.c): what the test suite
-- calls. It commits as it goes.

CREATE PROCEDURE hone._set_tablespace(relation regclass, tablespace name)
LANGUAGE C AS 'MODULE_PATHNAME', 'hone_set_tablespace';
COMMENT ON PROCEDURE hone._set_tablespace(regclass, name) IS
    'test: moves a table with its TOAST table and indexes to a tablespace, while others read and write it';
REVOKE ALL ON PROCEDURE hone._set_tablespace(regclass, name) FROM PUBLIC;
