#!/usr/bin/env bash
# Prints the spec of every pair of statements that can meet through a foreign
# key, both tables arranged:
#
#   foreign.gen.sh ACTION-LEVEL     without it, the choices
#
# Parent 1 has children 10 and 11, parent 3 has none.
set -u
case ${1:-} in
    "") echo "noaction-rc cascade-rc setnull-rc noaction-rr cascade-rr setnull-rr noaction-ser cascade-ser"; exit 0 ;;
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
step ci$to { INSERT INTO c VALUES (3$to, 3, $to) RETURNING *; }
step cu$to { UPDATE c SET p_id = 3 WHERE id = 10 RETURNING *; }
step cv$to { UPDATE c SET v = v + 1 WHERE id = 10 RETURNING *; }
step cd$to { DELETE FROM c WHERE id = 10 RETURNING *; }
step cl$to { SELECT * FROM c WHERE id = 10 FOR UPDATE; }
step pv$to { UPDATE p SET v = v + 1 WHERE id = 3 RETURNING *; }
step pk$to { UPDATE p SET id = 3$to WHERE id = 3 RETURNING *; }
step pd$to { DELETE FROM p WHERE id = 3 RETURNING *; }
step ppk$to { UPDATE p SET id = 1$to WHERE id = 1 RETURNING *; }
step ppd$to { DELETE FROM p WHERE id = 1 RETURNING *; }
STEPS
}
all="ci cu cv cd cl pv pk pd ppk ppd"

cat <<SPEC
setup
{
    CREATE TABLE p (id int PRIMARY KEY, v int);
    CREATE TABLE c (id int PRIMARY KEY, p_id int REFERENCES p ON UPDATE $action ON DELETE $action, v int);
    INSERT INTO p SELECT i, 0 FROM generate_series(1, 4) i;
    INSERT INTO c VALUES (10, 1, 0), (11, 1, 0), (20, 2, 0);
}
setup { CALL twin.arrange('p'); }
setup { CALL twin.arrange('c'); }
teardown { DROP TABLE c, p; }

session s1
setup { $settings }
step b1 { $begin; }
$(statements 1)
step c1 { COMMIT; }
step r1 { ROLLBACK; }

session s2
setup { $settings }
step b2 { $begin; SELECT count(*) FROM p; }
$(statements 2)
step c2 { COMMIT; }
step all2 { SELECT * FROM p ORDER BY id; SELECT * FROM c ORDER BY id; }

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
