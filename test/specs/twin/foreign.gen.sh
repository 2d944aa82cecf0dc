#!/usr/bin/env bash
# Prints the spec of every pair of statements that can meet through a foreign
# key, both tables arranged:
#
#   foreign.gen.sh                         the choices of ACTION-LEVEL
#   foreign.gen.sh ACTION-LEVEL            the spec
#   foreign.gen.sh ACTION-LEVEL tables     SQL that makes its tables
#
# Each permutation has rows of its own: number n is k(n). Parent 1 has children
# 1 and 5, parent 2 has
# children 3 and 4, others have none.
set -u
case ${1:-} in
    "") echo "noaction-rc cascade-rc setnull-rc noaction-rr cascade-rr noaction-ser cascade-ser"; exit 0 ;;
    noaction-*) action="NO ACTION" ;;
    cascade-*) action="CASCADE" ;;
    setnull-*) action="SET NULL" ;;
    *) exit 2 ;;
esac
settings="SET client_min_messages = warning;"
case $1 in
    *-rc) begin="BEGIN" ;;
    *-rr) begin="BEGIN ISOLATION LEVEL REPEATABLE READ" ;;
    *-ser) begin="BEGIN ISOLATION LEVEL SERIALIZABLE"
           settings+=" SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;" ;;
esac

statements() {
    local to=$1
    cat <<STEPS
step ci$to { INSERT INTO c VALUES (k(6 + $to), k(3), $to) RETURNING *; }
step cu$to { UPDATE c SET p_id = k(3) WHERE id = k(1) RETURNING *; }
step cv$to { UPDATE c SET v = v + 1 WHERE id = k(1) RETURNING *; }
step cd$to { DELETE FROM c WHERE id = k(1) RETURNING *; }
step cl$to { SELECT * FROM c WHERE id = k(1) FOR UPDATE; }
step pv$to { UPDATE p SET v = v + 1 WHERE id = k(3) RETURNING *; }
step pk$to { UPDATE p SET id = k(6 + $to) WHERE id = k(3) RETURNING *; }
step pd$to { DELETE FROM p WHERE id = k(3) RETURNING *; }
step ppk$to { UPDATE p SET id = k(6 + $to) WHERE id = k(1) RETURNING *; }
step ppd$to { DELETE FROM p WHERE id = k(1) RETURNING *; }
STEPS
}
all="ci cu cv cd cl pv pk pd ppk ppd"

if [ "${2:-spec}" = tables ]; then
    cat <<SQL
CREATE TABLE p (id int PRIMARY KEY, v int);
CREATE TABLE c (id int PRIMARY KEY, p_id int REFERENCES p ON UPDATE $action ON DELETE $action, v int);
INSERT INTO p SELECT i, 0 FROM generate_series(1, 2099) i WHERE i % 10 BETWEEN 1 AND 4;
INSERT INTO c SELECT i, CASE i % 10 WHEN 1 THEN i WHEN 5 THEN i - 4 WHEN 3 THEN i - 1 ELSE i - 2 END, 0
    FROM generate_series(1, 2099) i WHERE i % 10 IN (1, 3, 4, 5);
CALL twin.arrange('p');
CALL twin.arrange('c');
SQL
    exit
fi

cat <<SPEC
setup { CALL twin.next(); }

session s1
setup { $settings }
step b1 { $begin; }
$(statements 1)
step c1 { COMMIT; }
step r1 { ROLLBACK; }

session s2
setup { $settings }
step b2 { $begin; SELECT count(*) > 0 AS seen FROM p; }
$(statements 2)
step c2 { COMMIT; }
step all2 { SELECT * FROM p WHERE id BETWEEN k(1) AND k(9) ORDER BY id; SELECT * FROM c WHERE id BETWEEN k(1) AND k(9) ORDER BY id; }

SPEC
for a in $all; do
    for b in $all; do
        echo "permutation b1 b2 ${a}1 ${b}2 c1 c2 all2"
        case $begin in
            BEGIN) echo "permutation b1 b2 ${a}1 ${b}2 r1 c2 all2" ;;
            *) echo "permutation b1 b2 ${a}1 c1 ${b}2 c2 all2" ;;
        esac
    done
done
