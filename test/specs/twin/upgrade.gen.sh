#!/usr/bin/env bash
# Prints the spec of a row that two transactions lock together, before one of
# them wants more of it while a third looks on:
#
#   upgrade.gen.sh                  the choices of LEVEL
#   upgrade.gen.sh LEVEL            the spec
#   upgrade.gen.sh LEVEL tables     SQL that makes its tables
#
# Each permutation has rows of its own: number n is k(n).
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
step key$to { UPDATE t SET id = k(6 + $n) WHERE id = k(3) RETURNING *; }
step del$to { DELETE FROM t WHERE id = k(3) RETURNING *; }
step fu$to { SELECT * FROM t WHERE id = k(3) FOR UPDATE; }
step fnku$to { SELECT * FROM t WHERE id = k(3) FOR NO KEY UPDATE; }
step fs$to { SELECT * FROM t WHERE id = k(3) FOR SHARE; }
step fks$to { SELECT * FROM t WHERE id = k(3) FOR KEY SHARE; }
STEPS
}
# what can be held beside it
beside() {
    case $1 in
        fks) echo "fks fs fnku upd" ;;
        fs) echo "fks fs" ;;
        fnku | upd) echo "fks" ;;
    esac
}

if [ "${2:-spec}" = tables ]; then
    cat <<SQL
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t SELECT i, 0 FROM generate_series(1, 1599) i WHERE i % 10 BETWEEN 1 AND 6;
CALL twin.arrange('t');
SQL
    exit
fi

cat <<SPEC
setup { CALL twin.next(); }

session s1
setup { SET deadlock_timeout = '100s'; }
step b1 { $begin; SELECT count(*) > 0 AS seen FROM t; }
step p1 { SAVEPOINT p; }
$(statements 1 1)
step fks1b { SELECT * FROM t WHERE id = k(3) FOR KEY SHARE; }
step rp1 { ROLLBACK TO p; }
step c1 { COMMIT; }
step r1 { ROLLBACK; }

session s2
setup { SET deadlock_timeout = '300ms'; }
step b2 { $begin; SELECT count(*) > 0 AS seen FROM t; }
$(statements 2 2)
step c2 { COMMIT; }
step r2 { ROLLBACK; }

session s3
step no3 { SELECT * FROM t WHERE id = k(3) FOR UPDATE NOWAIT; }
step skip3 { SELECT * FROM t WHERE id BETWEEN k(2) AND k(4) ORDER BY id FOR KEY SHARE SKIP LOCKED; }
step skipu3 { SELECT * FROM t WHERE id BETWEEN k(2) AND k(4) ORDER BY id FOR UPDATE SKIP LOCKED; }
step skips3 { SELECT * FROM t WHERE id BETWEEN k(2) AND k(4) ORDER BY id FOR SHARE SKIP LOCKED; }
step all3 { SELECT * FROM t WHERE id BETWEEN k(1) AND k(9) ORDER BY id; }

SPEC
for first in fks fs fnku upd; do
    for second in $(beside $first); do
        for then in upd key del fu fnku fs; do
            # both hold the row; the first wants more, and has it when the second ends
            # (a heap waits in spite of SKIP LOCKED where the newest version is held, not the one seen)
            skip=skip3
            [[ $first-$then != upd-[kdf]* ]] || skip=
            echo "permutation b1 b2 ${first}1 ${second}2 skip3 skips3 skipu3 ${then}1 c2 $skip c1 all3"
            echo "permutation b1 b2 ${first}1 ${second}2 no3 ${then}1 r2 no3 r1 all3"
            # the row is let go again with the savepoint
            echo "permutation b1 p1 b2 ${first}1 ${second}2 rp1 ${then}2 fks1b c2 c1 all3"
        done
    done
done
# both want more: a deadlock, which the second session finds
echo "permutation b1 b2 fs1 fs2 upd1 upd2 c1 c2 all3"
echo "permutation b1 b2 fs1 fs2 del1 del2 c1 c2 all3"
echo "permutation b1 b2 fks1 fks2 del1 key2 c1 c2 all3"
