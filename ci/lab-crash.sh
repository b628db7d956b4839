# kill -9 of meshproof on a real cluster, sourced by ci/lab-test.sh and ci/full.sh. They define say, die, expect, others and $meshproof.
# shellcheck shell=bash

# Records of the journal after which a debug build kills itself; see src/journal/crash.rs.
started() { echo "\"stage-started\",\"stage\":\"$1\""; }
finished() { echo "\"stage-finished\",\"stage\":\"$1\""; }
ran() { echo "\"command-started\",\"argv\":[\"$1\",\"$2\""; }

# killed_up RECORD: `up` dies there, and leaves an orphan
killed_up() {
  local got=0
  MESHPROOF_KILL_AT=$1 "$meshproof" up >/dev/null 2>"$work/killed.txt" || got=$?
  [ "$got" = 137 ] || { tail -5 "$work/killed.txt" >&2; die "up ended with $got, not by SIGKILL at $1"; }
}

# alive PROGRAM: a child of a killed run is still at work
alive() { pgrep -f "$1" >/dev/null; }

# What down must have removed
nothing_left() {
  [ ! -e "$MESHPROOF_STATE" ] || die "the state directory is still there"
  ! alive 'kind create cluster --name istio-cluster' || die 'kind is still at work'
  ! alive 'istioctl install' || die 'istioctl is still at work'
  [ "$before" = "$(others)" ] || { diff <(echo "$before") <(others) >&2; die 'something of others changed or something of ours remains'; }
}
