#!/bin/sh
# Prints the versions of a lock file as constraints: without hashes, extras and line ends.
set -eu
sed -n 's/^\([A-Za-z0-9._-]*\)\(\[[^]]*\]\)\{0,1\}==\([^ \\;]*\)\(.*\)$/\1==\3\4/p' "$1" | sed 's/ *\\$//'
