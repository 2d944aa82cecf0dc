#!/usr/bin/env bash
# Prints the spec of every pair of statements that can meet on one table:
#
#   pairs.gen.sh                  the choices of LEVEL
#   pairs.gen.sh LEVEL            the spec; LEVEL is what both transactions are
#   pairs.gen.sh LEVEL tables     SQL that makes its tables
#
# Each permutation has rows of its own: number n is k(n).
#
# The first session's statement meets the second session's on the same row,
# where it ends in COMMIT, ROLLBACK or ROLLBACK TO SAVEPOINT, or has been
# committed after the second one's snapshot; and on another row of the same
# batch, where nobody waits.
set -u
level=${1:-} what=${2:-spec}
settings="SET client_min_messages = warning;"
case $level in
    "") echo "rc rr ser triggers"; exit 0 ;;
    rc | triggers) begin="BEGIN" ;;
    rr) begin="BEGIN ISOLATION LEVEL REPEATABLE READ" ;;
    # a heap's plans decide what it locks against phantoms
    ser) begin="BEGIN ISOLATION LEVEL SERIALIZABLE"
         settings+=" SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;" ;;
    *) exit 2 ;;
esac

# statements SUFFIX ROW N: a step each; the two sessions write other values
statements() {
    local to=$1 row=$2 n=$3
    cat <<STEPS
step upd$to { UPDATE t SET v = v + $n WHERE id = k($row) RETURNING *; }
step key$to { UPDATE t SET id = k(6 + $n) WHERE id = k($row) RETURNING *; }
step uni$to { UPDATE t SET u = u + $n WHERE id = k($row) RETURNING *; }
step del$to { DELETE FROM t WHERE id = k($row) RETURNING *; }
step fu$to { SELECT * FROM t WHERE id = k($row) FOR UPDATE; }
step fnku$to { SELECT * FROM t WHERE id = k($row) FOR NO KEY UPDATE; }
step fs$to { SELECT * FROM t WHERE id = k($row) FOR SHARE; }
step fks$to { SELECT * FROM t WHERE id = k($row) FOR KEY SHARE; }
step mrg$to { MERGE INTO t USING (VALUES (k($row))) s (i) ON t.id = s.i WHEN MATCHED AND v > 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = v + $n WHEN NOT MATCHED THEN INSERT VALUES (i, -i, $n, 'merged'); }
step iou$to { INSERT INTO t VALUES (k($row), -k($row), $n, 'new') ON CONFLICT (id) DO UPDATE SET v = t.v + excluded.v RETURNING *; }
step ion$to { INSERT INTO t VALUES (k($row), -k($row), $n, 'new') ON CONFLICT DO NOTHING RETURNING *; }
step dup$to { INSERT INTO t VALUES (k($row), -k($row), $n, 'new') RETURNING *; }
STEPS
}
all="upd key uni del fu fnku fs fks mrg iou ion dup"

if [ "$what" = tables ]; then
    cat <<SQL
CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, v int, pad text);
INSERT INTO t SELECT i, i * 10, 0, 'row ' || i FROM generate_series(1, 7999) i WHERE i % 10 BETWEEN 1 AND 6;
CALL twin.arrange('t');
SQL
    [ "$level" != triggers ] || cat <<SQL
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
    RAISE WARNING '% %: % -> %', tg_when, tg_op, old, new;
    RETURN coalesce(new, old);
END \$\$;
CREATE TRIGGER b BEFORE UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER a AFTER UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION tell();
SQL
    exit
fi
[ "$level" != triggers ] || all="upd key del mrg iou"

cat <<SPEC
setup { CALL twin.next(); }

session s1
setup { $settings }
step b1 { $begin; }
step p1 { SAVEPOINT p; }
$(statements 1 3 1)
step c1 { COMMIT; }
step r1 { ROLLBACK; }
step rp1 { ROLLBACK TO p; }

session s2
setup { $settings }
step b2 { $begin; SELECT count(*) > 0 AS seen FROM t; }
$(statements 2 3 2)
$(statements o 4 2)
step c2 { COMMIT; }
step all2 { SELECT * FROM t WHERE id BETWEEN k(1) AND k(9) ORDER BY id; }

SPEC
for a in $all; do
    for b in $all; do
        echo "permutation b1 b2 ${a}1 ${b}2 c1 c2 all2"
        echo "permutation b1 b2 ${a}1 ${b}2 r1 c2 all2"
        echo "permutation b1 b2 p1 ${a}1 ${b}2 rp1 c1 c2 all2"
        [ "$begin" = BEGIN ] || echo "permutation b1 b2 ${a}1 c1 ${b}2 c2 all2"
    done
    for b in $all; do
        echo "permutation b1 b2 ${a}1 ${b}o c2 c1 all2"
    done
done
