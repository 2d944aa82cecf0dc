# Sourced after prepare.sh by tests that need a session beside others.

# A session that is told what to do line by line. Its answers are read from a
# file descriptor of its own: bash closes the coprocess's when that ends.
# open_session ARGS...: further ones of psql
open_session() {
    coproc SESSION { "$HONE_BIN/psql" -XAtq -d "${HONE_DB:-postgres}" "$@" 2>&1; }
    session_pid=$SESSION_PID
    exec {session_says}<&"${SESSION[0]}"
}
tell() { echo "$1" >&"${SESSION[1]}"; }
# ask LINE: the first line of the answer
ask() {
    local answer
    tell "$1"
    read -r answer <&"$session_says"
    echo "$answer"
}
close_session() {
    tell '\q'
    wait "$session_pid" 2>/dev/null
    exec {session_says}<&-
}
