#!/bin/sh
# The Python example parses, and its protos compile the way it compiles them. Skipped without Debian's python3-grpcio.
set -eu
source_dir=$1
/usr/bin/python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$source_dir/docs/examples/rollout.py"
/usr/bin/python3 -c 'import grpc, google.protobuf' 2>/dev/null || { echo "python3-grpcio is not installed: skipped"; exit 0; }
exec /usr/bin/python3 "$source_dir/docs/examples/rollout.py" --help
