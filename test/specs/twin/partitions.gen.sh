#!/usr/bin/env bash
# Prints the spec of every pair of statements that can meet on a partitioned
# table, where one may move a row to another partition:
#
#   partitions.gen.sh                  the choices of LEVEL
#   partitions.gen.sh LEVEL            the spec
#   partitions.gen.sh LEVEL tables     SQL that makes its tables
#
# Each permutation has rows of its own: number n is k(n). 1 to 4 are in partition 1,
# 5 and 6 in 2.
set -u
case ${1:-} in
    "") echo "rc rr"; exit 0 ;;
    rc) begin="BEGIN" ;;
    rr) begin="BEGIN ISOLATION LEVEL REPEATABLE READ" ;;
    *) exit 2 ;;
esac

statements() {
    local to=$1 n=$2
    cat <<STEPS
step upd$to { UPDATE t SET v = v + $n WHERE id = k(3) RETURNING *; }
step mov$to { UPDATE t SET part = part + 1, v = v + $n WHERE id = k(3) RETURNING *; }
step del$to { DELETE FROM t WHERE id = k(3) RETURNING *; }
step leaf$to { UPDATE t1 SET v = v + $n WHERE id = k(3) RETURNING *; }
step fu$to { SELECT * FROM t WHERE id = k(3) FOR UPDATE; }
step fks$to { SELECT * FROM t WHERE id = k(3) FOR KEY SHARE; }
step mrg$to { MERGE INTO t USING (VALUES (k(3))) s (i) ON t.id = s.i WHEN MATCHED THEN UPDATE SET v = v + $n, part = part + 1 WHEN NOT MATCHED THEN INSERT VALUES (i, 3, $n); }
step iou$to { INSERT INTO t VALUES (k(3), 1, $n) ON CONFLICT (id, part) DO UPDATE SET v = t.v + excluded.v RETURNING *; }
step ins$to { INSERT INTO t VALUES (k(3), 2, $n) RETURNING *; }
STEPS
}
all="upd mov del leaf fu fks mrg iou ins"

if [ "${2:-spec}" = tables ]; then
    cat <<SQL
CREATE TABLE t (id int, part int, v int, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1);
CREATE TABLE t2 PARTITION OF t FOR VALUES IN (2);
CREATE TABLE t3 PARTITION OF t FOR VALUES IN (3);
INSERT INTO t SELECT i, CASE WHEN i > 1990 THEN 3 WHEN i % 10 > 4 THEN 2 ELSE 1 END, 0 FROM generate_series(1, 1999) i WHERE i % 10 BETWEEN 1 AND 6;
CALL twin.arrange('t1');
CALL twin.arrange('t2');
CALL twin.arrange('t3');
SQL
    exit
fi

cat <<SPEC
setup { CALL twin.next(); }

session s1
setup { SET client_min_messages = warning; }
step b1 { $begin; }
$(statements 1 1)
step c1 { COMMIT; }
step r1 { ROLLBACK; }

session s2
setup { SET client_min_messages = warning; }
step b2 { $begin; SELECT count(*) > 0 AS seen FROM t; }
$(statements 2 2)
step other2 { UPDATE t SET part = 2, v = 9 WHERE id = k(4) RETURNING *; }
step c2 { COMMIT; }
step all2 { SELECT tableoid::regclass, * FROM t WHERE id BETWEEN k(1) AND k(9) ORDER BY id, part; }

SPEC
for a in $all; do
    for b in $all; do
        echo "permutation b1 b2 ${a}1 ${b}2 c1 c2 all2"
        echo "permutation b1 b2 ${a}1 ${b}2 r1 c2 all2"
    done
    echo "permutation b1 b2 ${a}1 other2 c2 c1 all2"
done
